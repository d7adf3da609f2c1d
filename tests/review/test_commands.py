"""`calibrate`, `explain` and `events mark` as typed, on a real database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from ruamel.yaml import YAML
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.clock import Stamp
from monitor.config import load_config
from monitor.config.presence import PresenceConfig
from monitor.errors import MonitorError
from monitor.events.database import open_database
from monitor.events.history import ScoreRecorder
from monitor.events.models import OccupancyEvent
from monitor.events.schema import migrate
from monitor.imaging import jpeg
from monitor.messages import EndReason, Frame, Score
from monitor.review.simulate import simulate
from monitor.review.trace import Trace, logistic

from .traces import noise

START = datetime(2026, 3, 2, 1, tzinfo=UTC)
VISIT = 1000.0, 1030.0
"""Seconds after START in which somebody is there."""

EVENT = UUID("8f14e45f-ceea-467f-a0e6-1d2c3b4a5968")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty minutes of stored scores with one visit, and the event that came of it."""
    folder = tmp_path_factory.mktemp("site")
    url = f"sqlite:///{folder}/monitor.db"
    migrate(url)
    engine = open_database(url)
    odds = noise(1200.0, 7, mean=-4.0, spread=0.6)
    at = np.arange(odds.size) / 5.0
    odds[(at >= VISIT[0]) & (at <= VISIT[1])] += 7.0
    recorder = ScoreRecorder(engine)
    picture = np.zeros((2, 2, 3), np.uint8)
    for seconds, value in zip(at.tolist(), logistic(odds).tolist(), strict=True):
        stamp = Stamp(seconds, START + timedelta(seconds=seconds))
        recorder.on_score(
            Score("dock", "frame", value, Frame("dock", 0, stamp, None, (), picture), stamp)
        )
    recorder.write(all_of_it=True)
    [span] = simulate(Trace("all", START, at, logistic(odds)), PresenceConfig())
    assert span.confirmed is not None
    with Session(engine) as session, session.begin():
        session.add(event(span.start, span.end, span.confirmed))
    engine.dispose()
    (folder / "snapshots").mkdir()
    (folder / "snapshots" / "event.jpg").write_bytes(jpeg.encode(np.full((9, 9, 3), 7, np.uint8)))
    YAML().dump(
        {
            "database": {"url": url},
            "snapshots": {"folder": str(folder / "snapshots")},
            "cameras": {"dock": {"source": {"url": "clip.mp4"}, "decode": "all"}},
        },
        folder / "site.yaml",
    )
    return folder


def event(start: float, end: float, confirmed: float) -> OccupancyEvent:
    def moment(seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    return OccupancyEvent(
        id=EVENT,
        camera="dock",
        zone="frame",
        started_at=moment(start),
        confirmed_at=moment(confirmed),
        last_seen_at=moment(end),
        ended_at=moment(end),
        end_reason=EndReason.VACATED,
        peak_score=0.9,
        mean_score=0.8,
        score_count=9,
        model_id="m",
        settings=PresenceConfig().model_dump(mode="json"),
        snapshot="event.jpg",
        created_at=START,
        updated_at=START,
    )


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str) -> MonitorError:
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, MonitorError), result.output
    return result.exception


def calibrating(site: Path, *more: str) -> list[str]:
    start = ["calibrate", "-c", str(site / "site.yaml"), "--camera", "dock", "--timezone", "UTC"]
    return [*start, "-o", str(site / "report"), *more]


EMPTY = "2026-03-02 01:00..2026-03-02 01:15"


def test_calibrate_from_stored_scores(site: Path) -> None:
    there = "2026-03-02 01:16:40..2026-03-02 01:17:10"
    told = run(
        *calibrating(
            site, "--negatives", EMPTY, "--positives", there, "--budget", "1/hour", "-f", "json"
        )
    )
    tree = json.loads(told)
    assert tree["negatives"]["hours"] == pytest.approx(0.25, abs=0.001)
    assert tree["after"]["false_events"] == 0
    assert tree["after"]["recall"] == 1.0
    assert not tree["proven"]
    assert tree["hours_to_prove"] == pytest.approx(3.0, abs=0.01)
    folder = site / "report"
    drawn = {path.name for path in folder.iterdir()}
    assert drawn >= {"frame-roc.png", "frame-histogram.png", "frame-timeline.png", "report.json"}
    patch = YAML(typ="safe").load(folder / "patch.yaml")
    assert patch["cameras"]["dock"]["presence"] == tree["presence"]


def test_calibrate_applies_what_check_accepts(site: Path) -> None:
    before = (site / "site.yaml").read_text()
    run(*calibrating(site, "--negatives", EMPTY, "--budget", "1/hour", "--apply"))
    presence = load_config(site / "site.yaml", look=False).cameras["dock"].presence
    patch = YAML(typ="safe").load(site / "report" / "patch.yaml")
    wanted = patch["cameras"]["dock"]["presence"]
    assert presence.enter_threshold == wanted["enter_threshold"]
    assert (site / "site.yaml.before").read_text() == before
    (site / "site.yaml").write_text(before)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--negatives", EMPTY, "--zone", "gate"), "no zone 'gate'"),
        (("--negatives", "2026-03-02 03:00..2026-03-02 02:00"), "is empty"),
        (("--negatives", "2026-03-03 03:00..2026-03-03 04:00"), "no scores are kept"),
        (("--negatives", "nowhere.mp4"), "no such file"),
        (("--negatives", EMPTY, "--budget", "never"), "no budget"),
        ((), "no negatives"),
        (("--negatives", "2026-03-02 01:00..2026-03-02 01:20"), "somebody seems to be"),
    ],
)
def test_calibrate_says_what_is_wrong(site: Path, more: tuple[str, ...], said: str) -> None:
    assert said in refused(*calibrating(site, *more)).what


def test_an_unknown_camera_is_named_with_those_there_are(site: Path) -> None:
    error = refused("calibrate", "-c", str(site / "site.yaml"), "--camera", "dcok")
    assert "no camera 'dcok'" in error.what
    assert "dock" in error.remedy


def test_explain_an_event(site: Path) -> None:
    png = site / "why.png"
    database = ["--db", f"sqlite:///{site}/monitor.db", "--timezone", "UTC"]
    told = run("explain", str(EVENT), *database, "--plot", str(png))
    assert "first evidence: score" in told
    assert "reaches enter_threshold 0.7" in told
    assert "exit_after 5s" in told
    assert png.read_bytes().startswith(b"\x89PNG")
    record = json.loads(run("explain", str(EVENT), *database, "-f", "json"))
    assert record["reproduced"]
    assert record["settings"]["enter_threshold"] == 0.7
    assert refused("explain", str(uuid4()), *database).what.startswith("there is no event")
    assert "neither a file nor an event" in refused("explain", "what", *database).what


def test_marks_are_noted_and_their_pictures_labelled(site: Path, tmp_path: Path) -> None:
    options = ["-c", str(site / "site.yaml"), "--who", "ann", "--learn", str(tmp_path / "learning")]
    assert "false alarm" in run("events", "mark", str(EVENT), "--false-alarm", *options)
    labelled = tmp_path / "learning" / "labelled.txt"
    assert labelled.read_text() == f"nobody/dock/{EVENT}.jpg 0\n"
    run("events", "mark", str(EVENT), "--correct", *options)
    assert labelled.read_text() == f"someone/dock/{EVENT}.jpg 1\n"
    tree = json.loads(
        run(
            *calibrating(site, "--negatives", EMPTY, "--marked", "--budget", "1/hour", "-f", "json")
        )
    )
    assert tree["positives"]["visits"] == 1
    run("events", "mark", str(EVENT), "--clear", *options)
    assert labelled.read_text() == ""
    engine = open_database(f"sqlite:///{site}/monitor.db")
    with engine.connect() as connection:
        said = connection.exec_driver_sql(
            "SELECT actor, action, details FROM audit_log WHERE action = 'mark' ORDER BY seq"
        ).all()
    engine.dispose()
    assert [row[0] for row in said] == ["ann"] * 3
    assert "false_alarm" in said[0][2]
    assert "say one of" in refused("events", "mark", str(EVENT), "--correct", "--clear").what
