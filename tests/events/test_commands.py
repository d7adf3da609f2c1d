"""`events` and `db` as people type them."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from monitor.cli.app import app
from monitor.errors import DatabaseError, MonitorError, UsageError
from monitor.events.models import Coverage
from monitor.events.spool import Spool

from .builders import opening
from .test_queries import fill, row, seconds

ROOT = Path(__file__).resolve().parents[2]
HOUR = 3600.0


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands run where no database lies about, and on none the developer has named."""
    monkeypatch.delenv("PRESENCE_DB", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def told(engine: Engine) -> list[dict[str, object]]:
    values = [
        row("dock", "gate", 0, HOUR),
        row("dock", "gate", 2 * HOUR, None),
        row("hall", "frame", 600, 660),
    ]
    fill(engine, values)
    return values


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def failure(result: Result) -> MonitorError:
    assert isinstance(result.exception, MonitorError), result.output
    return result.exception


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_has_every_field_in_utc_newest_first(url: str, told: list[dict[str, object]]) -> None:
    found = lines(run("events", "list", "--db", url, "--format", "json"))
    assert [line["id"] for line in found] == [str(told[i]["id"]) for i in (1, 2, 0)]
    assert found[2]["started_at"] == "2026-03-01T12:00:00+00:00"
    assert found[2]["duration_s"] == HOUR
    assert found[2]["end_reason"] == "vacated"
    assert found[0]["ended_at"] is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--open"], [1]),
        (["--camera", "hall"], [2]),
        (["--zone", "gate", "--limit", "1"], [1]),
        (["--since", "2026-03-01T12:05Z"], [1, 2]),
        (["--since", "2026-03-01T12:05Z", "--until", "2026-03-01T13:00Z"], [2]),
        (["--since", "2026-03-01T12:05Z", "--until", "2026-03-01T12:06Z", "--overlapping"], [0]),
        (["--at", "2026-03-01T12:10:30Z"], [2, 0]),
        (["--at", "2026-03-01 13:10:30", "--timezone", "Europe/Berlin"], [2, 0]),
    ],
)
def test_filters(
    url: str, told: list[dict[str, object]], words: list[str], expected: list[int]
) -> None:
    found = lines(run("events", "list", "--db", url, "--format", "json", *words))
    assert [line["id"] for line in found] == [str(told[i]["id"]) for i in expected]


def test_the_table_shows_local_times(url: str, told: list[dict[str, object]]) -> None:
    shown = run("events", "list", "--db", url, "--timezone", "Asia/Tokyo", "--camera", "hall")
    assert "2026-03-01 21:10:00" in shown.stdout
    assert "0:01:00" in shown.stdout
    assert "vacated" in shown.stdout


def test_csv_is_csv(url: str, told: list[dict[str, object]]) -> None:
    shown = run("events", "list", "--db", url, "--format", "csv")
    assert len(list(csv.DictReader(io.StringIO(shown.stdout)))) == 3


def test_show_and_its_errors(url: str, told: list[dict[str, object]]) -> None:
    event_id = str(told[0]["id"])
    (found,) = lines(run("events", "show", event_id, "--db", url, "--format", "json"))
    assert found["id"] == event_id
    assert found["settings"] == {}
    assert event_id in run("events", "show", event_id, "--db", url).stdout
    assert "no event id" in failure(run("events", "show", "17", "--db", url)).what
    assert "there is no event" in failure(run("events", "show", str(uuid4()), "--db", url)).what


def test_stats(url: str, told: list[dict[str, object]]) -> None:
    span = ["--since", "2026-03-01T12:30Z", "--until", "2026-03-01T15:00Z"]
    found = lines(run("events", "stats", "--db", url, "--format", "json", *span))
    assert found == [
        {"camera": "dock", "events": 2, "open": 1, "occupied_s": 5400.0, "longest_s": 3600.0}
    ]
    days = lines(
        run("events", "stats", "--db", url, "--by", "day", "--camera", "hall", "--format", "json")
    )
    assert len(days) == 1
    assert days[0]["day"] == "2026-03-01"


def test_gaps(url: str, engine: Engine) -> None:
    span = {"camera": "dock", "zone": "gate", "last_seen_at": seconds(0)}
    with Session(engine) as session, session.begin():
        session.add(Coverage(id=uuid4(), started_at=seconds(0), ended_at=seconds(60), **span))
        session.add(Coverage(id=uuid4(), started_at=seconds(90), ended_at=seconds(99), **span))
    words = ["--db", url, "--until", "2026-03-01T12:01:35Z"]
    (gap,) = lines(run("events", "gaps", *words, "--format", "json"))
    assert gap == {
        "camera": "dock",
        "zone": "gate",
        "start": "2026-03-01T12:01:00+00:00",
        "end": "2026-03-01T12:01:30+00:00",
        "lasted_s": 30.0,
    }
    assert "21:01:00" in run("events", "gaps", *words, "--timezone", "Asia/Tokyo").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--camera", "dcok"], "there is no camera 'dcok'"),
        (["--zone", "gaet"], "there is no zone 'gaet'"),
        (["--since", "13:00", "--until", "12:00"], "the span is empty"),
        (["--since", "tomorrowish"], "is no moment"),
        (["--since", "0019-01-01"], "lies outside"),
        (["--timezone", "Mars/Olympus"], "no time zone"),
    ],
)
def test_slips_of_the_keyboard(
    url: str, told: list[dict[str, object]], words: list[str], said: str
) -> None:
    error = failure(run("events", "list", "--db", url, *words))
    assert isinstance(error, UsageError)
    assert said in error.what
    assert error.remedy


def test_a_known_camera_without_events_in_the_span_is_no_error(
    url: str, told: list[dict[str, object]]
) -> None:
    assert (
        lines(run("events", "list", "--db", url, "--camera", "hall", "--open", "-f", "json")) == []
    )


def test_where_the_database_comes_from(
    url: str, told: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "no such database" in failure(run("events", "list")).what
    assert list(tmp_path.glob("var")) == []
    monkeypatch.setenv("PRESENCE_DB", url)
    assert len(lines(run("events", "list", "--format", "json"))) == 3
    config = tmp_path / "my.yaml"
    config.write_text(
        f"database: {{url: 'sqlite:///{tmp_path}/other.db'}}\n"
        "cameras: {dock: {source: {url: 'rtsp://camera/stream'}}}\n"
    )
    assert "other.db" in failure(run("events", "list", "--config", str(config))).where
    assert len(lines(run("events", "list", "-c", str(config), "--db", url, "-f", "json"))) == 3


@pytest.fixture
def watched(engine: Engine, told: list[dict[str, object]]) -> None:
    """The dock has been seen since noon, the hall for ten minutes and a half."""
    noted = seconds(4 * HOUR)
    with Session(engine) as session, session.begin():
        session.add(
            Coverage(id=uuid4(), camera="dock", zone="gate", started_at=seconds(0),
                     last_seen_at=noted, ended_at=noted)
        )  # fmt: skip
        session.add(
            Coverage(id=uuid4(), camera="hall", zone="frame", started_at=seconds(0),
                     last_seen_at=seconds(630), ended_at=seconds(630))
        )  # fmt: skip


def test_now_and_at(url: str, watched: None) -> None:
    words = ["--db", url, "--format", "json"]
    states = {line["camera"]: line for line in lines(run("events", "now", *words))}
    assert {state["state"] for state in states.values()} == {"not seen"}
    found = lines(run("events", "at", "2026-03-01T12:10:20Z", *words))
    assert [(line["camera"], line["state"], line["since"]) for line in found] == [
        ("dock", "occupied", "2026-03-01T12:00:00+00:00"),
        ("hall", "occupied", "2026-03-01T12:10:00+00:00"),
    ]
    (line,) = lines(run("events", "at", "2026-03-01T13:30Z", "--camera", "dock", *words))
    assert (line["state"], line["since"], line["event_id"]) == (
        "vacant", "2026-03-01T13:00:00+00:00", None,
    )  # fmt: skip
    shown = run("events", "at", "2026-03-01 22:30", "--timezone", "Asia/Tokyo", "--db", url)
    assert "2026-03-01 22:00:00" in shown.stdout
    assert "no camera 'dcok'" in failure(run("events", "now", "--camera", "dcok", *words)).what


def test_ratio_and_days(url: str, watched: None) -> None:
    words = ["--db", url, "--format", "json", "--timezone", "UTC", "--camera", "dock"]
    span = ["--until", "2026-03-01T15:00Z"]
    found = lines(run("events", "ratio", "--by", "hour", *words, *span))
    assert [(line["period"], line["ratio"]) for line in found] == [
        ("2026-03-01T12:00+00:00", 1.0),
        ("2026-03-01T13:00+00:00", 0.0),
        ("2026-03-01T14:00+00:00", 1.0),
    ]
    (line,) = lines(run("events", "ratio", "--by", "weekday", *words, *span))
    assert (line["period"], line["start"]) == ("sunday", None)
    assert (line["occupied_s"], line["vacant_s"], line["not_seen_s"]) == (2 * HOUR, HOUR, 0.0)
    table = run("events", "ratio", "--db", url, *span, "--timezone", "UTC").stdout
    heading = next(line for line in table.splitlines() if "occupied" in line)
    assert " s " not in heading
    assert "66.7%" in table
    (day,) = lines(run("events", "days", *words, *span))
    assert (day["day"], day["stays"]) == ("2026-03-01", 2)
    assert day["first"] == "2026-03-01T12:00:00+00:00"


def test_longest_and_overlaps(url: str, watched: None) -> None:
    words = ["--db", url, "--format", "json"]
    found = lines(run("events", "longest", "--limit", "2", *words))
    assert [(line["camera"], line["lasted_s"]) for line in found] == [
        ("dock", 2 * HOUR), ("dock", HOUR),
    ]  # fmt: skip
    assert len(run("events", "longest", "--db", url).stdout.splitlines()) > 4
    (both,) = lines(run("events", "overlaps", "--camera", "dock", "--with", "hall/frame", *words))
    assert (both["other_camera"], both["lasted_s"]) == ("hall", 60.0)
    assert lines(run("events", "overlaps", "--with", "cellar", *words)) == []
    assert "names no camera" in failure(run("events", "overlaps", "--with", "/x", *words)).what


def test_ungranted(url: str, told: list[dict[str, object]]) -> None:
    found = lines(run("events", "ungranted", "--db", url, "--camera", "dock", "-f", "json"))
    assert len(found) == 2


def test_csv_rounds_nothing(url: str, engine: Engine) -> None:
    fill(engine, [row("dock", "gate", 0.123456, 9) | {"peak_score": 0.9999976}])
    (line,) = csv.DictReader(io.StringIO(run("events", "list", "--db", url, "-f", "csv").stdout))
    assert line["peak_score"] == "0.9999976"
    assert line["started_at"] == "2026-03-01T12:00:00.123456+00:00"


def test_upgrade_then_check(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/monitor.db"
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_monitor.py"), "db", "upgrade", "--db", url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(f"{url} has schema ")
    checked = run("db", "check", "--db", url)
    assert (checked.exit_code, checked.stdout) == (0, "all is well\n")


def test_check_reports_and_exits_1(url: str, tmp_path: Path, engine: Engine) -> None:
    fill(engine, [row("dock", "gate", 0, 9) | {"snapshot": "2026-03-01/gone.jpg"}])
    Spool(tmp_path / "monitor.db.spool").append([opening()])
    checked = run("db", "check", "--db", url, "--format", "json")
    assert checked.exit_code == 1
    found = [json.loads(line) for line in checked.stdout.splitlines()]
    assert [line["defect"] for line in found] == ["missing_snapshot", "spooled"]


def test_a_broken_database_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_bytes(b"x" * 5000)
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_monitor.py"), "events", "list"],
        env={**os.environ, "PRESENCE_DB": f"sqlite:///{tmp_path}/notes.db"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == DatabaseError.exit_code
    assert "Traceback" not in done.stderr
    assert "remedy" in done.stderr


def test_reading_an_outdated_database_names_the_command(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    sqlite3.connect(path).close()
    error = failure(run("events", "list", "--db", f"sqlite:///{path}"))
    assert "db upgrade" in error.remedy
