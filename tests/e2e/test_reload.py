"""Another configuration while the monitor runs: the real daemon, signals, and the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from .conftest import PROJECT, Monitor, wait_for
from .test_run import Start, camera


def rewrite(monitor: Monitor, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the configuration file."""
    file, yaml = monitor.folder / "monitor.yaml", YAML()
    config = yaml.load(file)
    change(config)
    yaml.dump(config, file)
    return file


def told(monitor: Monitor, event: str) -> list[dict[str, Any]]:
    """The log lines of that event."""
    lines = (json.loads(line) for line in monitor.log.read_text().splitlines() if line[:1] == "{")
    return [line for line in lines if line["event"] == event]


def reload(monitor: Monitor) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROJECT / "run_monitor.py"), "reload", "--config",
         str(monitor.folder / "monitor.yaml")],
        capture_output=True,
        text=True,
        cwd=monitor.folder,
        timeout=90,
        check=False,
    )  # fmt: skip


@contextmanager
def observed(monitor: Monitor, name: str) -> Iterator[list[dict[str, Any]]]:
    """What the API says of a camera, again and again meanwhile."""
    seen: list[dict[str, Any]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            seen.extend(each for each in monitor.report() if each["name"] == name)

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    over.set()
    thread.join()


def went_on(reports: list[dict[str, Any]]) -> bool:
    return bool(reports) and reports[-1]["received"] > reports[0]["received"]


def reasons(monitor: Monitor) -> dict[str, str]:
    answer = httpx.get(f"{monitor.url}/readyz").json()
    return {reason["part"]: reason["what"] for reason in answer["reasons"]}


@pytest.mark.timeout(240)
def test_sighup_takes_what_changed_and_leaves_the_rest_alone(start: Start, footage: Path) -> None:
    looped = camera(footage, loop=True)
    monitor = start({"dock": looped, "gate": {**looped, "presence": {"exit_after": "5m"}}})
    wait_for(lambda: [row for row in monitor.events() if row["camera"] == "gate"], 60, "a visit")

    def other(config: dict[str, Any]) -> None:
        del config["cameras"]["gate"]
        config["cameras"]["dock"]["presence"]["enter_threshold"] = 0.75
        config["cameras"]["lobby"] = {"source": {"url": str(footage), "loop": True}}
        config["web"]["port"] = 1
        config["logging"]["level"] = "debug"

    rewrite(monitor, other)
    with observed(monitor, "dock") as dock:
        monitor.process.send_signal(signal.SIGHUP)
        wait_for(lambda: told(monitor, "configuration reloaded"), 30, "the reload")
        wait_for(lambda: [c for c in monitor.report() if c["name"] == "lobby" and c["scored"]],
                 30, "scores of the new camera")  # fmt: skip
        wait_for(lambda: went_on(dock), 30, "frames of the one that stays")
    assert [each["name"] for each in monitor.report()] == ["dock", "lobby"]
    assert dock[-1]["zones"][0]["enter_threshold"] == 0.75
    counts = [each["received"] for each in dock]
    assert counts == sorted(counts), "the reader of an unchanged camera began anew"
    assert counts[-1] > counts[0]
    assert max(each["frame_age"] for each in dock) < 4.0
    assert {each["reconnects"] for each in dock} == {0}
    (waiting,) = told(monitor, "these keys wait for a restart")
    assert waiting["keys"] == ["web.port"]
    gate = [row for row in monitor.events() if row["camera"] == "gate"]
    assert gate[-1]["end_reason"] == "config_changed"
    thresholds = {json.loads(row["settings"])["enter_threshold"] for row in gate}
    assert thresholds == {0.7}
    assert monitor.stop() == 0
    assert "Traceback" not in monitor.log.read_text()


@pytest.mark.timeout(240)
def test_a_bad_file_changes_nothing_and_is_told_everywhere(start: Start, footage: Path) -> None:
    monitor = start({"dock": camera(footage, loop=True)})
    wait_for(lambda: monitor.report()[0]["scored"], 60, "scores")

    def break_it(config: dict[str, Any]) -> None:
        config["cameras"]["dock"]["presence"]["enter_treshold"] = 0.9

    rewrite(monitor, break_it)
    refused = reload(monitor)
    assert refused.returncode == 78
    assert "monitor.yaml:" in refused.stderr
    assert "enter_treshold" in refused.stderr
    assert not told(monitor, "the configuration is rejected, the last good one stays in force")
    monitor.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "config" in reasons(monitor), 30, "the rejection in /readyz")
    assert "enter_treshold" in reasons(monitor)["config"]
    assert "presence_config_last_reload_ok 0.0" in httpx.get(f"{monitor.url}/metrics").text
    (line,) = told(monitor, "the configuration is rejected, the last good one stays in force")
    assert "enter_treshold" in line["problems"][0]
    before = monitor.report()[0]["received"]
    time.sleep(1.0)
    assert monitor.report()[0]["received"] > before

    def mend(config: dict[str, Any]) -> None:
        del config["cameras"]["dock"]["presence"]["enter_treshold"]
        config["cameras"]["dock"]["sample_fps"] = 4

    rewrite(monitor, mend)
    taken = reload(monitor)
    assert taken.returncode == 0, taken.stderr
    assert taken.stdout == "cameras reopened: dock\n"
    assert "config" not in reasons(monitor)
    metrics = httpx.get(f"{monitor.url}/metrics").text
    assert "presence_config_generation 2.0" in metrics
    assert "presence_config_last_reload_ok 1.0" in metrics
    wait_for(lambda: monitor.report()[0]["state"] == "streaming", 30, "the reopened camera")
    assert monitor.stop() == 0
    assert reload(monitor).returncode == 69
    assert "Traceback" not in monitor.log.read_text()
