"""From pixels to rows: the daemon on real footage, through kills and restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import PROJECT, VISIT, Monitor, wait_for

Start = Callable[..., Monitor]
QUICK = {"presence": {"exit_after": "1s", "max_gap": "4s"}}


def camera(footage: Path, **more: Any) -> dict[str, Any]:
    return {"source": {"url": str(footage), **more}, **QUICK}


def closed(monitor: Monitor) -> list[dict[str, Any]]:
    return [row for row in monitor.events() if row["ended_at"]]


def test_a_visit_becomes_one_event_with_its_snapshot(start: Start, footage: Path) -> None:
    monitor = start({"dock": camera(footage), "gate": camera(footage)})
    wait_for(lambda: len(closed(monitor)) == 2, 30, "two visits")
    assert monitor.stop(signal.SIGINT) == 0
    events = monitor.events()
    assert {row["camera"] for row in events} == {"dock", "gate"}
    for row in events:
        assert row["end_reason"] == "vacated"
        assert 0.7 <= row["peak_score"] <= 1.0
        assert row["score_count"] >= 5
        assert (monitor.folder / "snapshots" / row["snapshot"]).read_bytes()[:2] == b"\xff\xd8"
    log = monitor.log.read_text()
    assert log.count("somebody is here") == 2
    assert log.count("everybody left") == 2
    assert "Traceback" not in log


def test_health_api_and_metrics_are_derived_from_what_happens(start: Start, footage: Path) -> None:
    nowhere = {"source": {"url": "rtsp://user:hunter2@127.0.0.1:1/x"}, **QUICK}
    monitor = start({"dock": camera(footage, loop=True), "gone": nowhere})

    def degraded() -> bool:
        ready = httpx.get(f"{monitor.url}/readyz")
        return ready.status_code == 200 and ready.json()["verdict"] == "degraded"

    wait_for(degraded, 20, "one camera seen, one not")
    assert httpx.get(f"{monitor.url}/healthz").status_code == 200
    metrics = httpx.get(f"{monitor.url}/metrics").text
    assert 'camera="dock"' in metrics
    cameras = {each["name"]: each for each in monitor.report()}
    assert cameras["dock"]["scored"] > 0
    assert cameras["gone"]["outage"] == "refused"
    wait_for(monitor.events, 20, "an event")
    wait_for(
        lambda: httpx.get(f"{monitor.url}/api/cameras/dock/picture.jpg").content[:2] == b"\xff\xd8",
        5,
        "a picture",
    )
    assert monitor.stop() == 0
    assert "hunter2" not in monitor.log.read_text()


def test_a_worker_killed_in_mid_batch_costs_nothing(start: Start, footage: Path) -> None:
    monitor = start({"dock": camera(footage)})
    wait_for(lambda: monitor.report()[0]["scored"] > 3, 20, "the first scores")
    children = Path(f"/proc/{monitor.process.pid}/task/{monitor.process.pid}/children")
    for pid in children.read_text().split():
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"worker" in command:
            os.kill(int(pid), signal.SIGKILL)
            break
    else:
        pytest.fail("there is no worker process")
    wait_for(lambda: closed(monitor), 30, "the visit")
    assert monitor.stop() == 0
    assert len(monitor.events()) == 1
    assert "inference worker" in monitor.log.read_text()


def test_an_open_event_outlives_kill_9_and_resumes(start: Start, footage: Path) -> None:
    monitor = start({"dock": camera(footage)})
    wait_for(monitor.events, 30, "an open event")
    monitor.process.kill()
    monitor.process.wait()
    (before,) = monitor.events()
    assert before["ended_at"] is None
    again = start({"dock": {**camera(footage), "presence": {"max_gap": "60s"}}})
    time.sleep(1.0)
    (after,) = again.events()
    assert after["id"] == before["id"]
    assert after["ended_at"] is None
    assert again.report()[0]["zones"][0]["state"] == "occupied"


def test_an_event_that_nobody_resumes_in_time_ends_with_restart(
    start: Start, footage: Path
) -> None:
    monitor = start({"dock": camera(footage)})
    wait_for(monitor.events, 30, "an open event")
    monitor.process.kill()
    monitor.process.wait()
    time.sleep(4.5)
    again = start({"dock": camera(footage)})
    (ended,) = wait_for(lambda: closed(again), 10, "the end of the old event")[:1]
    assert ended["end_reason"] == "restart"
    assert ended["ended_at"] >= ended["started_at"]


def run_once(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROJECT / "run_monitor.py"), "run", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=config.parent,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("cameras: {a: {source: {url: FOOTAGE}, thresold: 1}}", 78, "thresold"),
        ("cameras: {a: {source: {url: missing.mp4}}}", 78, "missing.mp4"),
        ("cameras: {a: {source: {url: FOOTAGE}}}\ninference: {model: nowhere}", 78, "nowhere"),
        (
            "cameras: {a: {source: {url: FOOTAGE}}}\nweb: {enabled: false}\n"
            "database: {url: 'sqlite:////proc/monitor.db'}",
            74,
            "/proc/monitor.db",
        ),
        (
            "cameras: {a: {source: {url: FOOTAGE}}}\nweb: {host: 203.0.113.1}",
            69,
            "web.host",
        ),
    ],
)
def test_what_cannot_run_says_why_and_exits_with_its_code(
    text: str, code: int, said: str, footage: Path, tmp_path: Path
) -> None:
    config = tmp_path / "monitor.yaml"
    config.write_text(text.replace("FOOTAGE", str(footage)))
    ended = run_once(config)
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) < 30
    assert not (tmp_path / "var").exists() or not list((tmp_path / "var").rglob("*.db"))


def test_a_second_monitor_on_the_same_database_is_refused(start: Start, footage: Path) -> None:
    first = start({"dock": camera(footage, loop=True)})
    second = first.folder / "second.yaml"
    text = (first.folder / "monitor.yaml").read_text()
    second.write_text(text)
    ended = run_once(second)
    assert ended.returncode == 74
    said = f"another monitor works on this database: process {first.process.pid}"
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    reading = subprocess.run(
        [sys.executable, str(PROJECT / "run_monitor.py"), "audit", "verify", "-c", str(second)],
        capture_output=True, text=True, check=False, cwd=first.folder,
    )  # fmt: skip
    assert reading.returncode == 0, reading.stderr
    assert "anchor 1:" in reading.stdout  # the configuration it started with
    first.process.kill()
    first.process.wait()
    again = start({"dock": camera(footage, loop=True)})
    assert again.stop() == 0


def test_a_damaged_database_is_refused_with_the_way_back(start: Start, footage: Path) -> None:
    monitor = start({"dock": camera(footage)})
    assert monitor.stop() == 0
    path = monitor.folder / "monitor.db"
    backup = [sys.executable, str(PROJECT / "run_monitor.py"), "db"]
    url = f"sqlite:///{path}"
    subprocess.run([*backup, "backup", str(monitor.folder / "copy.db"), "--db", url], check=True)
    data = bytearray(path.read_bytes())
    data[4096 : 4096 * 30] = os.urandom(4096 * 29)
    path.write_bytes(data)
    ended = run_once(monitor.folder / "monitor.yaml")
    assert ended.returncode == 74
    assert "db restore" in ended.stderr
    assert path.read_bytes() == data
    subprocess.run([*backup, "restore", str(monitor.folder / "copy.db"), "--db", url], check=True)
    again = start({"dock": camera(footage)})
    assert again.stop() == 0


def test_replay_gives_the_visit_in_media_seconds(footage: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "run_monitor.py", "replay", str(footage), "--format", "json"],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=True,
        timeout=60,
    )
    import json

    (line,) = ended.stdout.splitlines()
    result = json.loads(line)
    assert result["duration_s"] == pytest.approx(12.0, abs=0.2)
    # Keyframes while nothing changes, dense frames round the changes.
    assert 12 <= result["frames_scored"] <= result["frames_decoded"] < 180
    (event,) = result["events"]
    assert event["start_s"] == pytest.approx(VISIT[0], abs=1.0)
    assert event["end_s"] == pytest.approx(VISIT[1], abs=1.0)
    assert event["peak_score"] > 0.7
