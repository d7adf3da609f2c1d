"""`check_database` finds what is wrong and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from monitor.events.integrity import Defect, check_database
from monitor.events.schema import downgrade
from monitor.events.snapshots import SnapshotStore
from monitor.events.spool import Spool

from .builders import JPEG, opening
from .test_queries import fill, row


def found(engine: Engine, folder: Path) -> list[tuple[Defect, str]]:
    problems = check_database(
        engine, snapshots=SnapshotStore(folder / "snapshots"), spool=folder / "events.spool"
    )
    return [(problem.defect, problem.subject) for problem in problems]


def test_a_healthy_database(engine: Engine, tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshots")
    store.write("2026-03-01/a.jpg", JPEG)
    os.utime(store.folder / "2026-03-01/a.jpg", (1e9, 1e9))
    kept = row("dock", "a", 0, 10) | {"snapshot": "2026-03-01/a.jpg"}
    fill(engine, [kept, row("dock", "a", 10, 20), row("dock", "a", 20, None)])
    fill(engine, [row("dock", "b", 5, 15)])
    assert found(engine, tmp_path) == []


def test_pictures_without_rows_and_rows_without_pictures(engine: Engine, tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshots")
    for name in ("stray", "fresh"):
        store.write(f"2026-03-01/{name}.jpg", JPEG)
    os.utime(store.folder / "2026-03-01/stray.jpg", (1e9, 1e9))
    lost = row("dock", "a", 0, 10) | {"snapshot": "2026-03-01/lost.jpg"}
    fill(engine, [lost])
    assert found(engine, tmp_path) == [
        (Defect.MISSING_SNAPSHOT, str(lost["id"])),
        (Defect.STRAY_SNAPSHOT, "2026-03-01/stray.jpg"),
    ]


def test_overlaps_longer_than_rounding(engine: Engine, tmp_path: Path) -> None:
    late = row("dock", "a", 50, 60)
    fill(engine, [row("dock", "a", 0, 10), row("dock", "a", 9.5, 52), late])
    assert found(engine, tmp_path) == [(Defect.OVERLAPPING, str(late["id"]))]


def test_an_event_that_starts_while_one_is_open(engine: Engine, tmp_path: Path) -> None:
    late = row("dock", "a", 50, 60)
    fill(engine, [row("dock", "a", 0, None), late])
    assert found(engine, tmp_path) == [(Defect.OVERLAPPING, str(late["id"]))]


def test_inverted_rows_that_slipped_past_the_constraints(engine: Engine, tmp_path: Path) -> None:
    bad = row("dock", "a", 50, 60)
    fill(engine, [bad])
    with engine.begin() as connection:
        connection.execute(text("PRAGMA ignore_check_constraints = ON"))
        connection.execute(
            text("UPDATE occupancy_events SET ended_at = '2026-01-01 00:00:00.000000'")
        )
        connection.execute(text("PRAGMA ignore_check_constraints = OFF"))
    kinds = [defect for defect, _ in found(engine, tmp_path)]
    assert Defect.INVERTED in kinds
    assert Defect.DAMAGE in kinds  # SQLite's own check sees the broken constraint, too


def test_messages_in_the_spool_are_told_and_left_alone(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "events.spool"
    Spool(path).append([opening(), opening()])
    Spool(tmp_path / "events.spool.rejected").append([opening()])
    with path.open("ab") as file:
        file.write(b"half a rec")
    before = path.read_bytes()
    assert found(engine, tmp_path) == [
        (Defect.SPOOLED, str(path)),
        (Defect.DAMAGE, str(path)),
        (Defect.REJECTED, f"{path}.rejected"),
    ]
    assert path.read_bytes() == before


def test_an_old_schema_is_the_only_finding(engine: Engine, url: str, tmp_path: Path) -> None:
    engine.dispose()
    downgrade(url, "base")
    assert found(engine, tmp_path) == [(Defect.REVISION, "database")]


def test_a_broken_index_is_damage(engine: Engine, tmp_path: Path) -> None:
    fill(engine, [row("dock", "a", i, i + 1) for i in range(50)])
    with engine.begin() as connection:
        connection.execute(text("PRAGMA writable_schema = ON"))
        connection.execute(
            text(
                "UPDATE sqlite_master SET sql = replace(sql, '(started_at)', '(ended_at)') "
                "WHERE name = 'ix_occupancy_events_started_at'"
            )
        )
    engine.dispose()
    assert Defect.DAMAGE in [defect for defect, _ in found(engine, tmp_path)]


@pytest.mark.parametrize("part", ["snapshots", "spool"])
def test_parts_may_be_left_out(engine: Engine, tmp_path: Path, part: str) -> None:
    Spool(tmp_path / "events.spool").append([opening()])
    given = {"snapshots": None, "spool": tmp_path / "events.spool"}
    given[part] = None
    assert bool(list(check_database(engine, **given))) is (part == "snapshots")  # type: ignore[arg-type]
