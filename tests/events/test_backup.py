"""A backup made while the writer writes is whole, and restores."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.errors import DatabaseError, UsageError
from monitor.events.backup import back_up, restore
from monitor.events.commit import Commit
from monitor.events.database import open_database
from monitor.events.integrity import check_database
from monitor.events.repair import Repairer
from monitor.events.schema import migrate, require_current
from monitor.events.snapshots import SnapshotStore
from monitor.events.writer import EventWriter
from monitor.storage.audit import find_entries
from monitor.storage.ownership import Ownership

from .builders import JPEG, NOON, opening
from .conftest import rows
from .test_queries import fill, row


def test_a_backup_under_load_holds_all_that_was_committed_before_it(
    engine: Engine,
    url: str,
    make_writer: Callable[[], EventWriter],
    commits: list[Commit],
    tmp_path: Path,
) -> None:
    fill(engine, [row("hall", "door", 10 * i, 10 * i + 5) for i in range(2000)])
    writer = make_writer()
    writer.start()
    for number in range(50):
        writer.put(opening(camera=f"camera{number}"))
    assert writer.flush(60.0)
    for number in range(50, 100):
        writer.put(opening(camera=f"camera{number}"))
    committed = {commit.message.event_id for commit in commits}
    size = back_up(url, tmp_path / "backups" / "copy.db")
    assert size == (tmp_path / "backups" / "copy.db").stat().st_size
    assert [file.name for file in (tmp_path / "backups").iterdir()] == ["copy.db"]
    assert writer.stop(60.0)

    restored = f"sqlite:///{tmp_path}/backups/copy.db"
    migrate(restored)
    copy = open_database(restored)
    ids = {event.id for event in rows(copy)}
    assert committed <= ids
    assert len(ids) >= 2050
    assert list(check_database(copy, snapshots=None, spool=None)) == []
    copy.dispose()


def test_restoring_by_putting_the_copy_in_place(engine: Engine, url: str, tmp_path: Path) -> None:
    fill(engine, [row("hall", "door", 0, 5)])
    back_up(url, tmp_path / "copy.db")
    engine.dispose()
    (tmp_path / "monitor.db").write_bytes(os.urandom(20_000))
    for extra in ("-wal", "-shm"):
        (tmp_path / f"monitor.db{extra}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.db", tmp_path / "monitor.db")
    again = open_database(url)
    assert len(rows(again)) == 1
    again.dispose()


def test_what_cannot_be_copied_leaves_nothing_behind(url: str, tmp_path: Path) -> None:
    target = tmp_path / "backups" / "copy.db"
    (tmp_path / "notes.db").write_bytes(b"no database " * 500)
    with pytest.raises(DatabaseError, match="no SQLite database"):
        back_up(f"sqlite:///{tmp_path}/notes.db", target)
    assert list(target.parent.iterdir()) == []
    with pytest.raises(DatabaseError, match="no such database"):
        back_up(f"sqlite:///{tmp_path}/nowhere.db", target)
    target.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        back_up(url, target)
    assert target.read_text() == "precious"


def test_backup_under_load_restore_and_check(
    engine: Engine,
    url: str,
    make_writer: Callable[[], EventWriter],
    tmp_path: Path,
) -> None:
    """The drill: copy while the writer writes, lose the database, restore, check, go on."""
    writer = make_writer()
    writer.start()
    kept = [opening(camera=f"camera{number}", snapshot=JPEG) for number in range(40)]
    for message in kept:
        writer.put(message)
    assert writer.flush(60.0)
    writing = threading.Event()

    def go_on() -> None:
        for number in range(40, 140):
            writer.put(opening(camera=f"camera{number}", snapshot=JPEG))
            writing.set()

    thread = threading.Thread(target=go_on)
    thread.start()
    assert writing.wait(60.0)
    back_up(url, tmp_path / "copy.db")
    thread.join()
    assert writer.stop(60.0)
    engine.dispose()
    damaged = os.urandom(50_000)
    (tmp_path / "monitor.db").write_bytes(damaged)

    with Ownership(url), pytest.raises(DatabaseError, match="another monitor works"):
        restore(url, tmp_path / "copy.db", actor="ann", now=NOON)
    old = restore(url, tmp_path / "copy.db", actor="ann", now=NOON)
    assert old == tmp_path / "monitor.db.before-restore-20260301-120000"
    assert old.read_bytes() == damaged
    again = open_database(url)
    assert {message.event_id for message in kept} <= {event.id for event in rows(again)}
    assert find_entries(again)[0].action == "restore"
    snapshots = SnapshotStore(tmp_path / "snapshots")
    for folder in snapshots.folder.iterdir():
        for file in folder.iterdir():
            os.utime(file, (1e9, 1e9))
    spool = tmp_path / "events.spool"
    repairer = Repairer(again, snapshots=snapshots, spool=spool, actor="ann", now=NOON)
    assert all(each.fixed for each in repairer.repair(
        list(check_database(again, snapshots=snapshots, spool=spool))
    ))  # fmt: skip
    assert list(check_database(again, snapshots=snapshots, spool=spool)) == []
    again.dispose()
    successor = make_writer()
    successor.start()
    successor.put(opening(camera="afterwards"))
    assert successor.flush(60.0)


def test_what_is_no_copy_changes_nothing(engine: Engine, url: str, tmp_path: Path) -> None:
    fill(engine, [row("hall", "door", 0, 5)])
    engine.dispose()
    (tmp_path / "notes.db").write_bytes(b"no database " * 500)
    (tmp_path / "empty.db").write_bytes(b"")
    newer = tmp_path / "newer.db"
    back_up(url, newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for name, said in (
        ("notes.db", "not a database"),
        ("empty.db", "copy is empty"),
        ("newer.db", "does not know"),
    ):
        with pytest.raises(DatabaseError, match=said):
            restore(url, tmp_path / name, actor="ann", now=NOON)
    with pytest.raises(UsageError, match="no file"):
        restore(url, tmp_path / "nowhere.db", actor="ann", now=NOON)
    again = open_database(url)
    assert len(rows(again)) == 1
    again.dispose()
    left = {file.name for file in tmp_path.iterdir()} - {"monitor.db-wal", "monitor.db-shm"}
    assert left == {"monitor.db", "monitor.db.lock", "notes.db", "empty.db", "newer.db"}


def test_a_copy_of_an_older_version_is_upgraded(url: str, engine: Engine, tmp_path: Path) -> None:
    engine.dispose()
    old = f"sqlite:///{tmp_path}/old.db"
    migrate(old, revision="0002_alerts")
    restore(url, tmp_path / "old.db", actor="ann", now=NOON)
    again = open_database(url)
    require_current(again)
    again.dispose()


@pytest.mark.parametrize(
    ("url", "tool"), [("postgresql://a:b@h/d", "pg_restore"), ("mariadb://a:b@h/d", "mariadb")]
)
def test_servers_restore_with_their_own_tools(url: str, tool: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        restore(url, tmp_path / "copy.db", actor="ann", now=NOON)
    assert tool in caught.value.remedy


@pytest.mark.parametrize(
    ("url", "tool"), [("postgresql://a:b@h/d", "pg_dump"), ("mariadb://a:b@h/d", "mariadb-dump")]
)
def test_servers_have_their_own_tools(url: str, tool: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        back_up(url, tmp_path / "copy.db")
    assert tool in caught.value.remedy
    assert ":b@" not in str(caught.value)
