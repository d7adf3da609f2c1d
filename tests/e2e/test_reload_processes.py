"""Another configuration while capture processes read the cameras: the real daemon."""

from __future__ import annotations

import shutil
import signal
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from .conftest import Monitor, wait_for
from .test_reload import observed, rewrite, told, went_on
from .test_run import Start, camera


def capture_processes(monitor: Monitor) -> set[int]:
    children = Path(f"/proc/{monitor.process.pid}/task/{monitor.process.pid}/children")
    threads = children.parent.parent.glob("*/children")  # whichever thread started them
    pids = [int(pid) for each in threads for pid in each.read_text().split()]
    return {pid for pid in pids if b"capture" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@pytest.mark.timeout(240)
def test_sighup_reaches_the_capture_processes(start: Start, footage: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copy(footage, tmp_path / "elsewhere.mp4")
    names = ("dock", "gate", "attic", "yard")
    cameras = {name: deepcopy(camera(footage, loop=True)) for name in names}  # no YAML aliases
    monitor = start(cameras, capture={"processes": 2})
    wait_for(lambda: all(each["scored"] for each in monitor.report()), 90, "scores of all")
    wait_for(lambda: all(each["frame_age"] is not None for each in monitor.report()),
             30, "the processes' own report")  # fmt: skip
    processes = capture_processes(monitor)
    assert len(processes) == 2

    def other(config: dict[str, Any]) -> None:
        cameras = config["cameras"]
        del cameras["attic"]
        cameras["yard"]["presence"]["enter_threshold"] = 0.75
        cameras["gate"]["source"]["url"] = str(elsewhere)
        cameras["lobby"] = {"source": {"url": str(footage), "loop": True}}
        cameras["nowhere"] = {"source": {"url": "rtsp://127.0.0.1:1/x"}}
        config["logging"]["level"] = "debug"

    rewrite(monitor, other)
    assert not told(monitor, "next try")
    with observed(monitor, "dock") as dock, observed(monitor, "yard") as yard:
        monitor.process.send_signal(signal.SIGHUP)
        (line,) = wait_for(lambda: told(monitor, "configuration reloaded"), 30, "the reload")
        wait_for(lambda: [c for c in monitor.report() if c["name"] == "lobby" and c["scored"]],
                 30, "scores of the new camera")  # fmt: skip
        wait_for(lambda: told(monitor, "next try"), 30, "a reader's own words, in detail")
        wait_for(lambda: went_on(dock) and went_on(yard), 30, "frames of those untouched")
    assert line["changes"] == [
        "cameras started: lobby, nowhere",
        "cameras stopped: attic",
        "cameras reopened: gate",
        "cameras judged otherwise: yard",
        "zones ended: attic/frame",
        "sections: logging",
    ]
    for untouched in (dock, yard):
        counts = [each["received"] for each in untouched]
        assert counts == sorted(counts), "the reader of an unchanged camera began anew"
        assert counts[-1] > counts[0]
        assert max(each["frame_age"] for each in untouched) < 4.0
        assert {each["reconnects"] for each in untouched} == {0}
    assert yard[-1]["zones"][0]["enter_threshold"] == 0.75
    report = {each["name"]: each for each in monitor.report()}
    assert set(report) == {"dock", "gate", "yard", "lobby", "nowhere"}
    assert report["nowhere"]["outage"] == "refused"
    assert {each["camera"] for each in told(monitor, "next try")} == {"nowhere"}
    wait_for(lambda: [c for c in monitor.report() if c["name"] == "gate"
                      and c["state"] == "streaming"], 30, "the reopened camera")  # fmt: skip
    assert capture_processes(monitor) == processes, "a process was replaced"
    assert monitor.stop() == 0
    assert "Traceback" not in monitor.log.read_text()
