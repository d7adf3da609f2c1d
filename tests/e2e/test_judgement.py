"""From what the real daemon kept: a calibration that it takes over, and pictures to train on."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from ruamel.yaml import YAML

from monitor.web.credentials import hash_token

from .conftest import PROJECT, Monitor, wait_for
from .test_reload import reload, rewrite
from .test_run import Start, camera, closed

TOKEN = "operators-token-0123456789abcdef0123456789"


def product(monitor: Monitor, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROJECT / "run_monitor.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=monitor.folder,
        timeout=300,
        check=False,
    )


def span(row: dict[str, Any], *, after: float, until: float) -> str:
    """From so many seconds after an event's end until so many after it; before it if negative."""
    end = datetime.fromisoformat(row["ended_at"]).replace(tzinfo=None)
    first, last = (end + timedelta(seconds=seconds) for seconds in (after, until))
    return f"{first.isoformat()}+00:00..{last.isoformat()}+00:00"


@pytest.mark.timeout(400)
def test_what_it_scored_calibrates_it(start: Start, footage: Path) -> None:
    """Score history, `calibrate --negatives SPAN`, the file changed, a reload: other thresholds."""
    slow = {"exit_after": "1s", "max_gap": "4s", "smoothing": "1.5s"}  # there are better settings
    dock = {"dock": {**camera(footage), "presence": slow}}
    first = start(dock)
    (visit,) = wait_for(lambda: closed(first), 60, "the visit")
    wait_for(lambda: first.report()[0]["state"] != "streaming", 30, "the end of the film")
    assert first.stop() == 0  # writes the running minute
    monitor = start(dock)
    stay = 5.0
    made = product(
        monitor, "calibrate", "-c", "monitor.yaml", "--camera", "dock", "--budget", "60/hour",
        "--negatives", span(visit, after=1.0, until=3.5),
        "--negatives", span(visit, after=-stay - 2.5, until=-stay - 0.5),
        "--positives", span(visit, after=-stay + 1.0, until=-0.5),
        "--output", "calibration", "--apply", "--format", "json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert found["keeps_budget"]
    assert found["after"]["recall"] == 1.0
    patch = YAML(typ="safe").load(monitor.folder / "calibration" / "patch.yaml")
    wanted = patch["cameras"]["dock"]["presence"]
    assert (monitor.folder / "monitor.yaml.before").is_file()
    taken = reload(monitor)
    assert taken.returncode == 0, taken.stderr
    assert "cameras judged otherwise: dock" in taken.stdout
    (zone,) = monitor.report()[0]["zones"]
    plain = wanted["mode"] == "plain"
    assert zone["enter_threshold"] == (
        wanted["enter_threshold"] if plain else wanted["evidence"]["enter_belief"]
    )
    assert monitor.stop() == 0
    assert "Traceback" not in monitor.log.read_text()


@pytest.mark.timeout(400)
def test_learning_is_turned_on_by_a_reload_and_training_takes_its_folder(
    start: Start, footage: Path
) -> None:
    operators = {"port": 0, "tokens": {"ops": {"hash": hash_token(TOKEN), "role": "operator"}}}
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    monitor = start({"dock": camera(footage, loop=True)}, web=operators)
    wait_for(lambda: len(closed(monitor)) >= 2, 90, "two visits")
    learned = monitor.folder / "learning"
    assert not (monitor.folder / "var" / "learning").exists()

    def turn_on(config: dict[str, Any]) -> None:
        config["learning"] = {"enabled": True, "folder": str(learned), "every": 0}

    rewrite(monitor, turn_on)
    taken = reload(monitor)
    assert taken.returncode == 0, taken.stderr
    assert taken.stdout == "sections: learning\n"
    for row, mark in zip(closed(monitor), ("correct", "false_alarm"), strict=False):
        event = UUID(str(row["id"]))
        answer = httpx.put(
            f"{monitor.url}/api/events/{event}/mark", json={"mark": mark}, headers=bearer
        )
        assert answer.status_code == 200, answer.text

    def kept() -> bool:
        text = httpx.get(f"{monitor.url}/metrics", headers=bearer).text
        count = 'presence_learning_pictures_total{result="kept"} '
        return float(text.partition(count)[2].split()[0]) >= 2  # and doubtful ones, if any

    wait_for(kept, 60, "pictures")
    assert monitor.stop() == 0
    labelled = (learned / "labelled.txt").read_text().splitlines()
    assert sorted(line.split()[1] for line in labelled) == ["0", "1"]
    trained = product(
        monitor, "model", "train", "--config", str(PROJECT / "configs/training/pplcnet_x1_0.yaml"),
        "--train-list", "learning/labelled.txt", "--val-list", "learning/labelled.txt",
        "--output", "learned", "-o", "epochs=2", "-o", "start_eval_epoch=2", "-o",
        "optimizer.warmup_epoch=0", "-o", "data.workers=1", "-o", "data.batch_size=2",
        "-o", "augment.rand_crop.size=64",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    history = json.loads((monitor.folder / "learned" / "history.json").read_text())
    assert len(history["epochs"]) == 2
    assert "Traceback" not in monitor.log.read_text()
