"""The whole product as a process of its own: started, watched through its port, stopped."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "scripts"))

from make_demo import Clip, make  # noqa: E402

VISIT = (3.0, 8.0)
CLIP = Clip("visit.mp4", (VISIT,), seconds=12.0)


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of the launch pad with one visitor from second 3 to 8."""
    return make(CLIP, tmp_path_factory.mktemp("footage"))


@dataclass
class Monitor:
    """A running `run_monitor.py run`."""

    process: subprocess.Popen[str]
    url: str
    folder: Path
    log: Path

    def events(self) -> list[dict[str, Any]]:
        """The rows of the event table, oldest first."""
        with sqlite3.connect(self.folder / "monitor.db") as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM occupancy_events ORDER BY started_at")
            return [dict(row) for row in rows]

    def report(self) -> list[dict[str, Any]]:
        """The cameras as the API shows them."""
        answer = httpx.get(f"{self.url}/api/cameras").raise_for_status().json()
        return list(answer["cameras"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)


def wait_for(what: Callable[[], Any], seconds: float, why: str) -> Any:
    """The first true answer within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.1)
    pytest.fail(f"{why}: not within {seconds} s")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Monitor]]:
    """Starts monitors on a configuration given as a mapping; kills what is left."""
    running: list[Monitor] = []

    def begin(cameras: dict[str, Any], **sections: Any) -> Monitor:
        config = {
            "database": {"url": f"sqlite:///{tmp_path}/monitor.db"},
            "snapshots": {"folder": str(tmp_path / "snapshots")},
            "web": {"port": 0},
            "logging": {"format": "json"},
            "inference": {"workers": 1},
            "cameras": cameras,
            **sections,
        }
        file = tmp_path / "monitor.yaml"
        YAML().dump(config, file)
        log = tmp_path / f"log-{len(running)}.jsonl"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, str(PROJECT / "run_monitor.py"), "run", "--config", str(file)],
                stderr=stream,
                cwd=tmp_path,
                env={**os.environ, "COLUMNS": "200"},
                text=True,
            )
        monitor = Monitor(process, "", tmp_path, log)
        running.append(monitor)
        monitor.url = wait_for(lambda: _dashboard(monitor), 120, "the monitor did not start")
        return monitor

    yield begin
    for monitor in running:
        if monitor.process.poll() is None:
            monitor.process.kill()
            monitor.process.wait()


def _dashboard(monitor: Monitor) -> str | None:
    if monitor.process.poll() is not None:
        pytest.fail(f"the monitor ended: {monitor.log.read_text()[-3000:]}")
    import json

    for line in monitor.log.read_text().splitlines():
        if line.startswith("{") and (entry := json.loads(line)).get("event") == "watching":
            return str(entry["dashboard"])
    return None
