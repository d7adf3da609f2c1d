"""A disk that really fills up and one that really turns read-only: loud, alive, nothing lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve()
NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "--mount"]


READ_ONLY = "readonly|read-only|Read-only|unable to open|may not write"


def on_a_small_disk(folder: Path, what: str) -> dict[str, Any]:
    if (
        shutil.which("unshare") is None
        or subprocess.run([*NAMESPACE, "true"], check=False).returncode
    ):
        pytest.skip("this machine lets nobody mount a small disk")
    disk = folder / "disk"
    disk.mkdir()
    done = subprocess.run(
        [*NAMESPACE, sys.executable, str(HERE.with_name("full_disk.py")), str(disk), what],
        cwd=HERE.parents[2], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(disk.iterdir()) == []  # it was all on the small disk
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(("what", "said"), [("full", "full"), ("read-only", READ_ONLY)])
def test_events_outlive_a_disk_that_takes_nothing(what: str, said: str, tmp_path: Path) -> None:
    answer = on_a_small_disk(tmp_path, what)
    assert re.search(said, answer["reason"])
    assert answer["lag"] > 0.0
    assert answer["alive"]
    assert answer["flushed"]
    assert answer["stopped"]
    assert (answer["events"], answer["ended"]) == (40, 10)
    assert (answer["named"], answer["lost_pictures"]) == (40, 0)
    assert answer["problems"] == []


def test_a_full_picture_disk_delays_pictures_not_events(tmp_path: Path) -> None:
    answer = on_a_small_disk(tmp_path, "pictures")
    assert answer["reason"].startswith("snapshots: No space left")
    assert (answer["events"], answer["ended"], answer["named"]) == (40, 10, 40)
    assert answer["problems"] == []


def test_opening_on_such_a_disk_says_what_is_wrong(tmp_path: Path) -> None:
    full, read_only = on_a_small_disk(tmp_path, "start")["said"]
    assert re.search("full.*free some space", full)
    assert re.search(READ_ONLY, read_only)
