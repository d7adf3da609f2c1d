"""Reading the configuration again: taken, rejected, or stopped half-way; and told in each case."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from monitor.config import MonitorConfig, load_config
from monitor.config.changes import Changes, compare, in_force
from monitor.daemon.handle import Handle, Running, await_reload, find_running
from monitor.daemon.reload import Reloader
from monitor.events.schema import migrate
from monitor.storage.audit import find_entries
from monitor.storage.database import open_database

TEXT = """
cameras:
  dock: {source: {url: rtsp://127.0.0.1/1}}
web: {port: 8080}
"""


class Status:
    """Counts as the daemon's does."""

    def __init__(self) -> None:
        self.generation, self.rejected = 1, ""

    def configuration_taken(self) -> int:
        self.generation, self.rejected = self.generation + 1, ""
        return self.generation

    def configuration_rejected(self, why: str) -> None:
        self.rejected = why


class House:
    """Goes by any configuration at once, unless it `breaks`."""

    def __init__(self, config: MonitorConfig) -> None:
        self.config, self.status, self.breaks = config, Status(), False

    def reconfigure(self, wanted: MonitorConfig) -> Changes:
        if self.breaks:
            raise RuntimeError("no memory for one more camera")
        changes = compare(self.config, wanted)
        self.config = in_force(self.config, wanted)
        return changes


class Monitor:
    """A reloader at work, and how it is asked."""

    def __init__(self, folder: Path) -> None:
        self.file, self.path = folder / "monitor.yaml", folder / "monitor.db.run"
        self.file.write_text(TEXT)
        url = f"sqlite:///{folder}/monitor.db"
        migrate(url)
        self.engine: Engine = open_database(url)
        self.house: Any = House(load_config(self.file, look=False))
        self.handle = Handle(self.path, self.file)
        self.handle.take()
        self.asked = threading.Event()
        self.reloader = Reloader(self.file, self.house, self.engine, self.handle, asked=self.asked)
        self.reloader.start()

    def reload(self, text: str) -> tuple[Running, list[Any]]:
        """What it says of itself after reading that, and the log."""
        self.file.write_text(text)
        before = find_running(self.path)
        assert before is not None
        with capture_logs() as lines:
            self.asked.set()
            after = await_reload(self.path, before, 20.0)
        assert after is not None
        return after, lines


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Monitor]:
    monitor = Monitor(tmp_path)
    yield monitor
    monitor.reloader.stop()
    monitor.handle.release()
    monitor.engine.dispose()


def test_a_good_file_is_taken_and_audited_and_what_must_wait_is_named(monitor: Monitor) -> None:
    after, lines = monitor.reload(TEXT.replace("8080", "9090") + "logging: {level: debug}")
    assert (after.generation, after.reloads, after.rejected) == (2, 1, "")
    assert after.changed == ("sections: logging",)
    assert after.restart == ("web.port",)
    assert [line["log_level"] for line in lines if "restart" in line["event"]] == ["warning"]
    assert monitor.house.config.web.port == 8080
    entry = find_entries(monitor.engine)[0]
    assert (entry.action, entry.subject) == ("config", "reload")
    assert entry.at > datetime(2026, 1, 1, tzinfo=UTC)


def test_a_bad_file_is_told_line_by_line_and_a_good_one_ends_that(monitor: Monitor) -> None:
    after, lines = monitor.reload(TEXT + "loging: {}\nretention: {events: never}")
    assert (after.generation, after.reloads) == (1, 1)
    assert "monitor.yaml:" in after.rejected
    assert monitor.house.status.rejected == after.rejected
    (said,) = [line for line in lines if line["log_level"] == "error"]
    assert len(said["problems"]) == 2
    assert not find_entries(monitor.engine)
    again, _ = monitor.reload(TEXT)
    assert (again.generation, again.reloads, again.rejected) == (2, 2, "")
    assert monitor.house.status.rejected == ""


def test_a_file_that_is_gone_changes_nothing(monitor: Monitor) -> None:
    before = find_running(monitor.path)
    assert before is not None
    monitor.file.unlink()
    monitor.asked.set()
    after = await_reload(monitor.path, before, 20.0)
    assert after is not None
    assert after.rejected
    assert after.generation == 1


def test_an_accident_half_way_is_told_and_the_next_try_is_made(monitor: Monitor) -> None:
    monitor.house.breaks = True
    after, _ = monitor.reload(TEXT)
    assert "restart" in after.rejected
    monitor.house.breaks = False
    again, _ = monitor.reload(TEXT)
    assert again.rejected == ""


def test_stopping_does_not_wait_to_be_asked(monitor: Monitor) -> None:
    begun = time.monotonic()
    monitor.reloader.stop()
    assert time.monotonic() - begun < 2.0
