"""`db check --fix` mends what it may, touches nothing that is held, and writes it all down."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from monitor.cli.app import app
from monitor.errors import DatabaseError
from monitor.events.database import writing
from monitor.events.holds import hold
from monitor.events.integrity import Defect, check_database
from monitor.events.models import Hold
from monitor.events.repair import Outcome, Repairer
from monitor.events.snapshots import SnapshotStore, snapshot_path
from monitor.events.spool import Spool
from monitor.messages import EndReason
from monitor.storage.audit import find_entries
from monitor.storage.chain import verify
from monitor.storage.ownership import Ownership

from .builders import JPEG, NOON, opening
from .conftest import ALL_BACKENDS, rows
from .test_queries import fill, row, seconds

BACKENDS = ALL_BACKENDS
LATER = NOON + timedelta(days=1)


def mend(engine: Engine, folder: Path) -> list[Outcome]:
    store, spool = SnapshotStore(folder / "snapshots"), folder / "events.spool"
    found = list(check_database(engine, snapshots=store, spool=spool))
    repairer = Repairer(engine, snapshots=store, spool=spool, actor="ann", now=LATER)
    done = list(repairer.repair(found))
    repaired = [entry for entry in find_entries(engine) if entry.action == "repair"]
    assert len(repaired) == sum(each.fixed for each in done)
    assert verify(engine).fault is None
    left = list(check_database(engine, snapshots=store, spool=spool))
    assert left == [each.problem for each in done if not each.fixed]
    return done


def picture(folder: Path, event_id: UUID, *, name: str | None = None) -> str:
    path = name or snapshot_path(event_id, NOON)
    SnapshotStore(folder / "snapshots").write(path, JPEG)
    os.utime(folder / "snapshots" / path, (1e9, 1e9))
    return path


def test_a_healthy_database_is_left_as_it_is(engine: Engine, tmp_path: Path) -> None:
    fill(engine, [row("dock", "a", 0, 10), row("dock", "a", 20, None)])
    assert mend(engine, tmp_path) == []
    assert find_entries(engine) == []


def test_an_event_is_cut_where_the_next_one_starts(engine: Engine, tmp_path: Path) -> None:
    first, second, third = (
        row("dock", "a", 0, 500), row("dock", "a", 50, 60), row("dock", "a", 100, 110)
    )  # fmt: skip
    open_one = row("hall", "b", 0, None)
    fill(engine, [first, second, third, open_one, row("hall", "b", 70, 80)])
    assert [each.fixed for each in mend(engine, tmp_path)] == [True, True]
    ended = {event.id: (event.ended_at, event.end_reason) for event in rows(engine)}
    assert ended[UUID(str(first["id"]))] == (seconds(50), EndReason.VACATED)
    assert ended[UUID(str(open_one["id"]))] == (seconds(70), EndReason.RESTART)
    assert ended[UUID(str(second["id"]))] == (seconds(60), EndReason.VACATED)


def test_held_events_are_left_alone(engine: Engine, tmp_path: Path) -> None:
    first = row("dock", "a", 0, 500) | {"snapshot": "2026-03-01/gone.jpg"}
    fill(engine, [first, row("dock", "a", 50, 60)])
    picture(tmp_path, uuid4(), name=f"2026-03-01/{first['id']}.jpg")
    hold(engine, UUID(str(first["id"])), who="bob", why="case 7", now=NOON)
    before = rows(engine)[0]
    done = mend(engine, tmp_path)
    by_defect = {each.problem.defect: each.fixed for each in done}
    assert by_defect == {
        Defect.OVERLAPPING: False, Defect.MISSING_SNAPSHOT: False, Defect.STRAY_SNAPSHOT: True
    }  # fmt: skip
    after = rows(engine)[0]
    assert (after.ended_at, after.snapshot) == (before.ended_at, before.snapshot)


def test_an_event_of_a_clock_that_was_ahead_is_no_reason_to_cut(
    engine: Engine, tmp_path: Path
) -> None:
    fill(engine, [row("dock", "a", 0, None), row("dock", "a", 1e8, 1e8 + 5)])
    (outcome,) = mend(engine, tmp_path)
    assert not outcome.fixed
    assert "future" in outcome.what


def test_rows_and_pictures_find_each_other_or_part(engine: Engine, tmp_path: Path) -> None:
    lost = row("dock", "a", 0, 10) | {"snapshot": "2026-03-01/lost.jpg"}
    unnamed = row("dock", "a", 20, 30)
    fill(engine, [lost, unnamed])
    again = picture(tmp_path, UUID(str(unnamed["id"])))
    stray = picture(tmp_path, uuid4())
    foreign = picture(tmp_path, uuid4(), name="2026-03-02/holiday.jpg")
    outcomes = {each.problem.subject: each for each in mend(engine, tmp_path)}
    assert {subject: each.fixed for subject, each in outcomes.items()} == {
        str(lost["id"]): True, again: True, stray: True, foreign: False
    }  # fmt: skip
    first, second = rows(engine)
    assert (first.snapshot, second.snapshot) == (None, again)
    folder = tmp_path / "snapshots"
    assert (folder / "lost" / stray).read_bytes() == JPEG
    assert not (folder / stray).exists()
    assert (folder / foreign).exists()
    details = json.loads(find_entries(engine)[0].details)
    assert "moved to lost/" in details["what"] or "snapshot" in details["what"]


def test_an_empty_folder_may_be_one_that_is_not_mounted(engine: Engine, tmp_path: Path) -> None:
    fill(engine, [row("dock", "a", 0, 10) | {"snapshot": "2026-03-01/x.jpg"}])
    (outcome,) = mend(engine, tmp_path)
    assert (outcome.fixed, outcome.what) == (False, "the snapshot folder is empty; is it mounted?")
    assert rows(engine)[0].snapshot == "2026-03-01/x.jpg"


def test_while_messages_wait_no_picture_is_a_stray(engine: Engine, tmp_path: Path) -> None:
    stray = picture(tmp_path, uuid4())
    Spool(tmp_path / "events.spool").append([opening()])
    assert [each.fixed for each in mend(engine, tmp_path)] == [False, False]
    assert (tmp_path / "snapshots" / stray).exists()


def test_an_inverted_event_ends_when_it_was_last_seen(
    engine: Engine, backend: str, tmp_path: Path
) -> None:
    if backend != "sqlite":
        return  # the others have no way around their constraints
    fill(engine, [row("dock", "a", 50, 60) | {"last_seen_at": seconds(58)}])
    with engine.begin() as connection:
        connection.execute(text("PRAGMA ignore_check_constraints = ON"))
        connection.execute(
            text("UPDATE occupancy_events SET ended_at = '2026-01-01 00:00:00.000000'")
        )
        connection.execute(text("PRAGMA ignore_check_constraints = OFF"))
    store = SnapshotStore(tmp_path / "snapshots")
    found = list(check_database(engine, snapshots=store, spool=None))
    repairer = Repairer(engine, snapshots=store, spool=None, actor="ann", now=LATER)
    outcomes = {each.problem.defect: each for each in repairer.repair(found)}
    assert outcomes[Defect.INVERTED].fixed
    assert rows(engine)[0].ended_at == seconds(58)
    assert list(check_database(engine, snapshots=store, spool=None)) == []


def test_a_hold_whose_event_somebody_removed_and_a_broken_chain_are_only_told(
    engine: Engine, backend: str, tmp_path: Path
) -> None:
    if backend != "sqlite":
        return  # the others have no way around their foreign keys
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("BEGIN")
        with Session(connection) as session:
            session.add(Hold(event_id=uuid4(), at=NOON, who="bob", why="case 7"))
            session.flush()
        connection.exec_driver_sql("UPDATE audit_head SET seq = 3")
        connection.commit()
    engine.dispose()
    store = SnapshotStore(tmp_path / "snapshots")
    found = list(check_database(engine, snapshots=store, spool=None))
    assert [each.defect for each in found] == [Defect.HOLD, Defect.AUDIT]
    repairer = Repairer(engine, snapshots=store, spool=None, actor="ann", now=LATER)
    assert [each.fixed for each in repairer.repair(found)] == [False, False]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "300"})


def test_the_command(
    engine: Engine, url: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRESENCE_DB", raising=False)
    fill(engine, [row("dock", "a", 0, 500), row("dock", "a", 50, 60)])
    told = run("db", "check", "--db", url)
    assert (told.exit_code, "overlapping" in told.output) == (1, True)
    with Ownership(url):
        assert run("db", "check", "--db", url).exit_code == 1  # looking is always possible
        refused = run("db", "check", "--db", url, "--fix")
        assert isinstance(refused.exception, DatabaseError)
        assert "another monitor works" in refused.exception.what
    fixed = run("db", "check", "--db", url, "--fix", "--who", "ann", "--format", "json")
    assert fixed.exit_code == 0
    (line,) = [json.loads(line) for line in fixed.stdout.splitlines()]
    assert (line["defect"], line["fixed"]) == ("overlapping", True)
    assert run("db", "check", "--db", url).output == "all is well\n"
    assert find_entries(engine)[0].actor == "ann"
    with writing(engine).begin() as connection:
        connection.execute(text("UPDATE audit_head SET seq = 9"))
    broken = run("db", "check", "--db", url, "--fix", "--format", "json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["defect"] == "audit"
