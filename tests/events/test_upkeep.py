"""Upkeep while the database is in use: the file shrinks, statistics are there, the log is empty."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, text
from sqlalchemy.orm import Session

from monitor.errors import DatabaseError
from monitor.events.database import open_database, writing
from monitor.events.integrity import check_database
from monitor.events.models import OccupancyEvent
from monitor.events.schema import migrate
from monitor.events.writer import EventWriter
from monitor.storage import upkeep
from monitor.storage.upkeep import maintain, require_sound

from .builders import opening
from .conftest import ALL_BACKENDS, rows
from .test_queries import fill, row

BACKENDS = ALL_BACKENDS
TABLES = ("occupancy_events", "coverage")


def forget(engine: Engine) -> None:
    with Session(writing(engine)) as session, session.begin():
        session.execute(delete(OccupancyEvent))


def pragma(engine: Engine, name: str) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)


def test_statistics_are_renewed_on_every_database(engine: Engine, backend: str) -> None:
    fill(engine, [row("hall", "door", 10 * i, 10 * i + 5) for i in range(300)])
    assert maintain(engine, TABLES).shrinks
    query = {
        "sqlite": "SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 "
        "WHERE tbl = 'occupancy_events'",
        "postgresql": "SELECT reltuples FROM pg_class WHERE relname = 'occupancy_events'",
        "mariadb": "SELECT n_rows FROM mysql.innodb_table_stats "
        "WHERE database_name = DATABASE() AND table_name = 'occupancy_events'",
    }[backend]
    with engine.connect() as connection:
        assert float(connection.scalar(text(query)) or 0) == pytest.approx(300, abs=30)


def test_the_file_shrinks_and_the_log_is_emptied(
    engine: Engine, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend != "sqlite":
        return
    pauses: list[float] = []
    monkeypatch.setattr(upkeep, "STEP", 50)
    monkeypatch.setattr("monitor.storage.upkeep.time.sleep", pauses.append)
    fill(engine, [row("hall", "door", 10 * i, 10 * i + 5) for i in range(4000)])
    forget(engine)
    full = pragma(engine, "page_count")
    done = maintain(engine, TABLES)
    assert done.shrinks
    assert done.freed_bytes > 0.8 * full * 4096
    assert len(pauses) <= done.freed_bytes / 4096 / 50 + 1  # a step gives back a step's pages
    assert done.wal_bytes == 0
    assert done.size_bytes == (tmp_path / "monitor.db").stat().st_size
    assert done.size_bytes == pragma(engine, "page_count") * 4096
    assert pragma(engine, "freelist_count") <= 0.05 * pragma(engine, "page_count")
    again = maintain(engine, TABLES)
    assert again.freed_bytes == 0


def old_file(tmp_path: Path) -> str:
    """A database from before files were made to shrink."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.commit()
    url = f"sqlite:///{path}"
    migrate(url)
    return url


def test_an_old_file_says_so_and_shrinks_once_it_was_rebuilt(backend: str, tmp_path: Path) -> None:
    if backend != "sqlite":
        return
    engine = open_database(old_file(tmp_path))
    fill(engine, [row("hall", "door", 10 * i, 10 * i + 5) for i in range(2000)])
    forget(engine)
    done = maintain(engine, TABLES)
    assert (done.shrinks, done.freed_bytes) == (False, 0)
    done = maintain(engine, TABLES, rebuild=True)
    assert done.shrinks
    assert done.freed_bytes > 100_000
    fill(engine, [row("hall", "door", 10 * i, 10 * i + 5) for i in range(2000)])
    forget(engine)
    assert maintain(engine, TABLES).freed_bytes > 100_000
    assert list(check_database(engine, snapshots=None, spool=None)) == []
    engine.dispose()


def test_the_writer_goes_on_meanwhile(
    engine: Engine, backend: str, make_writer: Callable[[], EventWriter]
) -> None:
    if backend != "sqlite":
        return
    fill(engine, [row("hall", "door", 10 * i, 10 * i + 5) for i in range(2000)])
    forget(engine)
    writer = make_writer()
    writer.start()
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            maintain(engine, TABLES)
        maintain(engine, TABLES, rebuild=True)

    thread = threading.Thread(target=work)
    thread.start()
    for number in range(60):
        writer.put(opening(camera=f"camera{number}"))
    assert writer.flush(60.0)
    done.set()
    thread.join()
    assert not writer.stats().failed
    assert len(rows(engine)) == 60
    assert list(check_database(engine, snapshots=None, spool=None)) == []


def test_a_damaged_file_is_told(engine: Engine, backend: str, tmp_path: Path) -> None:
    if backend != "sqlite":
        return
    engine.dispose()
    path = tmp_path / "monitor.db"
    for extra in ("-wal", "-shm"):
        (tmp_path / f"monitor.db{extra}").unlink(missing_ok=True)
    data = bytearray(path.read_bytes())
    data[:4096] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(DatabaseError, match=r"not a database|malformed"):
        maintain(engine, TABLES)


def test_damage_in_the_middle_is_found_before_anything_is_written(
    engine: Engine, url: str, backend: str, tmp_path: Path
) -> None:
    require_sound(url)
    if backend != "sqlite":
        return
    fill(engine, [row("hall", "door", 10 * i, 10 * i + 5) for i in range(3000)])
    maintain(engine, TABLES)
    engine.dispose()
    path = tmp_path / "monitor.db"
    require_sound(url)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 8192] = os.urandom(8192)
    path.write_bytes(data)
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match=r"malformed.*db restore"):
        require_sound(url)
    assert path.read_bytes() == before
    require_sound(f"sqlite:///{tmp_path}/nowhere.db")
    assert not (tmp_path / "nowhere.db").exists()
