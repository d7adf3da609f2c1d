"""A short kill -9 campaign; `python -m benchmarks.kill_campaign` is the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ALL_BACKENDS
from .servers import Server

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ALL_BACKENDS


@pytest.mark.timeout(600)
def test_what_was_acknowledged_survives_kill_9(
    backend: str, request: pytest.FixtureRequest
) -> None:
    kills = 3 if backend == "sqlite" else 2
    command = [sys.executable, "-m", "benchmarks.kill_campaign", "--kills", str(kills)]
    if backend != "sqlite":
        server: Server = request.getfixturevalue(backend)
        server.execute("DROP DATABASE IF EXISTS kills")
        server.execute("CREATE DATABASE kills")
        command += ["--db", server.url("kills")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:] or done.stdout[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["failures"] == []
    assert report["kills"] == kills
    assert report["acknowledged"] > 0
