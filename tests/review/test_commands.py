"""`calibrate`, `explain` and `events mark` as typed, on a real database."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from ruamel.yaml import YAML
from sqlalchemy import delete
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.clock import Stamp
from monitor.config import load_config
from monitor.config.presence import PresenceConfig
from monitor.errors import BudgetError, MonitorError
from monitor.events.database import open_database
from monitor.events.history import ScoreRecorder
from monitor.events.models import CameraHealthRow, OccupancyEvent
from monitor.events.schema import migrate
from monitor.imaging import jpeg
from monitor.messages import EndReason, Frame, HealthKind, Score
from monitor.review.patch import apply_patch
from monitor.review.simulate import simulate
from monitor.review.trace import Trace, logistic

from .traces import noise

START = datetime(2026, 3, 2, 1, tzinfo=UTC)
VISIT = 1000.0, 1030.0
"""Seconds after START in which somebody is there."""

EVENT = UUID("8f14e45f-ceea-467f-a0e6-1d2c3b4a5968")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty minutes of stored scores with one visit, and the event that came of it. Of the camera
    `old` it was not kept what the scores counted for."""
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
        for camera, counted in (("dock", value), ("old", None)):
            frame = Frame(camera, 0, stamp, None, (), picture)
            recorder.on_score(Score(camera, "frame", value, frame, stamp), counted)
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
            "cameras": {
                name: {"source": {"url": "clip.mp4"}, "decode": "all"} for name in ("dock", "old")
            },
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


def test_ten_minutes_prove_nothing_of_a_week_and_that_is_said(site: Path) -> None:
    before = (site / "site.yaml").read_text()
    ten = "2026-03-02 01:00..2026-03-02 01:10"
    arguments = calibrating(site, "--negatives", ten, "--budget", "1/week", "--apply", "-f", "json")
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, BudgetError), result.output
    assert result.exception.exit_code == 3
    assert "cannot be promised in frame (too little footage: less than 5 h)" in str(
        result.exception
    )
    tree = json.loads(result.stdout)
    assert tree["too_little_footage"]
    assert not tree["keeps_budget"]
    [warning] = tree["warnings"]
    assert "10 min of footage with 0 false events bound them at 3,0" in warning
    assert "a proof 503 h" in warning
    assert f"warning: frame: {warning}" in result.stderr
    assert (site / "site.yaml").read_text() == before


def test_stored_scores_of_which_nobody_knows_what_they_counted_for_prove_nothing(
    site: Path,
) -> None:
    arguments = calibrating(site, "--negatives", EMPTY, "--budget", "1/hour", "-f", "json")
    arguments[arguments.index("dock")] = "old"
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, BudgetError), result.output
    tree = json.loads(result.stdout)
    assert tree["negatives"]["known_hours"] == 0.0
    assert tree["before"]["false_rate_bound_95"] is None
    assert "it was not kept what the monitor took them for" in tree["warnings"][0]
    # A zone that does not weigh takes scores for what they say: then they are known.
    before = (site / "site.yaml").read_text()
    try:
        unweighing = {"presence": {"background": {"enabled": False}}}
        apply_patch(site / "site.yaml", {"cameras": {"old": unweighing}})
        tree = json.loads(run(*arguments))
    finally:
        (site / "site.yaml").write_text(before)
    assert tree["negatives"]["known_hours"] == pytest.approx(0.25, abs=0.001)


def test_a_budget_that_cannot_be_kept_has_its_exit_code_and_a_report(site: Path) -> None:
    before = (site / "site.yaml").read_text()
    arguments = calibrating(
        site, "--negatives", EMPTY, "--budget", "1/year", "--apply", "-f", "json"
    )
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, BudgetError), result.output
    assert result.exception.exit_code == 3
    assert "the budget of 1/year cannot be promised in frame (too little" in result.exception.what
    assert "nothing was applied" in result.exception.what
    tree = json.loads(result.stdout)
    assert not tree["keeps_budget"]
    assert tree["expected_false_events"] > 1.0
    report = json.loads((site / "report" / "report.json").read_text())
    assert report["zones"][0]["keeps_budget"] is False
    assert (site / "report" / "patch.yaml").is_file()
    assert (site / "site.yaml").read_text() == before
    shown = run_monitor("calibrate", "--help")
    assert "exit code is 3" in " ".join(shown.stdout.split())


def run_monitor(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(__file__).parents[2] / "run_monitor.py"
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_light_that_is_switched_in_the_negatives_is_judged_as_the_monitor_does(
    site: Path,
) -> None:
    """The visit, taken for the light: by camera health its scores came while guards held."""
    negatives = "2026-03-02 01:16..2026-03-02 01:19"
    options = ("--negatives", negatives, "--trust-negatives", "--budget", "1/hour", "-f", "json")
    bare = json.loads(CliRunner().invoke(app, calibrating(site, *options)).stdout)
    assert bare["before"]["false_events"] == 1
    engine = open_database(f"sqlite:///{site}/monitor.db")
    moment = START + timedelta(seconds=VISIT[0] - 1.0)
    with Session(engine) as session, session.begin():
        row = CameraHealthRow(
            id=uuid4(), camera="dock", kind=HealthKind.LIGHT_SWITCHED, started_at=moment,
            confirmed_at=moment, ended_at=moment + timedelta(seconds=33), detail="",
        )  # fmt: skip
        session.add(row)
    guards = {"cameras": {"dock": {"guards": {"bound": 60.0}}}}
    try:
        before = (site / "site.yaml").read_text()
        apply_patch(site / "site.yaml", guards)
        held = json.loads(run(*calibrating(site, *options)))
    finally:
        (site / "site.yaml").write_text(before)
        with Session(engine) as session, session.begin():
            session.execute(delete(CameraHealthRow))
        engine.dispose()
    assert held["before"]["false_events"] == 0
    assert held["negatives"]["guarded_s"] == pytest.approx(33.0, abs=0.5)
    assert held["negatives"]["hours"] == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--negatives", EMPTY, "--zone", "gate"), "no zone 'gate'"),
        (("--negatives", "2026-03-02 03:00..2026-03-02 02:00"), "is empty"),
        (("--negatives", "2026-03-03 03:00..2026-03-03 04:00"), "no scores are kept"),
        (("--negatives", "nowhere.mp4"), "no such file"),
        (("--negatives", str(Path(__file__).parent)), "no video in it"),
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
    error = refused("events", "mark", str(EVENT), "--correct", "--clear")
    assert "say one of" in (error.remedy or "")
