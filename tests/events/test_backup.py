"""A backup made while the writer writes is whole, and restores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.errors import DatabaseError, UsageError
from monitor.events.backup import back_up
from monitor.events.commit import Commit
from monitor.events.database import open_database
from monitor.events.integrity import check_database
from monitor.events.schema import migrate
from monitor.events.writer import EventWriter

from .builders import opening
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


@pytest.mark.parametrize(
    ("url", "tool"), [("postgresql://a:b@h/d", "pg_dump"), ("mariadb://a:b@h/d", "mariadb-dump")]
)
def test_servers_have_their_own_tools(url: str, tool: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        back_up(url, tmp_path / "copy.db")
    assert tool in caught.value.remedy
    assert ":b@" not in str(caught.value)
