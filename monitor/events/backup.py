"""A copy of the database while the monitor runs, and the way back."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL

from monitor.errors import DatabaseError, UsageError
from monitor.events.database import (
    describe,
    explain,
    open_database,
    parse_url,
    sqlite_path,
)
from monitor.events.schema import check_known, migrate
from monitor.storage import audit
from monitor.storage.files import sync_folder
from monitor.storage.ownership import Ownership

PAGES = 1000
"""Database pages copied in one step; between steps the writer has its turn."""

_DUMPS = {"postgresql": "pg_dump", "mysql": "mariadb-dump", "mariadb": "mariadb-dump"}
_RESTORES = {"postgresql": "pg_restore", "mysql": "mariadb", "mariadb": "mariadb"}


def back_up(url: str | URL, target: Path) -> int:
    """Copy a SQLite database to `target`, whole and checked or not at all; its size in bytes.

    The copy holds everything that was committed when it ends. Snapshots are files and are not
    in it. Raises UsageError for other databases and when `target` exists, DatabaseError when
    the database cannot be read or the copy cannot be written.
    """
    parsed = parse_url(url)
    source = sqlite_path(parsed)
    if source is None:
        tool = _DUMPS[parsed.get_backend_name()]
        raise UsageError(f"{describe(parsed)} is no SQLite database", remedy=f"use {tool}")
    if not source.is_file():
        raise DatabaseError("there is no such database", where=str(source), remedy="check --db")
    if target.exists():
        raise UsageError(f"{target} exists already", remedy="choose another name")
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(target)
        sync_folder(target.parent)
    except sqlite3.Error as error:
        raise explain(error, parsed) from error
    except OSError as error:
        raise DatabaseError(
            f"the copy cannot be written: {error.strerror or error}",
            where=str(target),
            remedy="choose a folder this user may write, with enough space",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def restore(url: str | URL, copy: Path, *, actor: str, now: datetime) -> Path | None:
    """Put a copy in a SQLite database's place; where the old one lies now, if there was one.

    The copy is checked before anything is touched, brought to the present schema afterwards, and
    the old database is kept beside it. Messages in the spool stay; the next start writes them.
    Raises UsageError for other databases, DatabaseError while a monitor works on the database,
    for a copy that is damaged or of a newer version, and when the disk does not take it.
    """
    parsed = parse_url(url)
    target = sqlite_path(parsed)
    if target is None:
        tool = _RESTORES[parsed.get_backend_name()]
        raise UsageError(f"{describe(parsed)} is no SQLite database", remedy=f"use {tool}")
    if not copy.is_file():
        raise UsageError(f"there is no file {copy}", remedy="name a copy that `db backup` made")
    fresh = target.with_name(f".{target.name}.restoring")
    with Ownership(parsed, patience=0.0):
        try:
            _copy(copy, fresh)
            _require_known(fresh)
            old = _move_away(target, f"before-restore-{now:%Y%m%d-%H%M%S}")
            fresh.rename(target)
            sync_folder(target.parent)
        except sqlite3.Error as error:
            raise explain(error, f"sqlite:///{copy}") from error
        except OSError as error:
            raise DatabaseError(
                f"the copy cannot be put in place: {error.strerror or error}",
                where=str(target),
                remedy="free some space, or give this user write permission on the folder",
            ) from error
        finally:
            fresh.unlink(missing_ok=True)
        migrate(parsed)
        engine = open_database(parsed)
        try:
            details = {"copy": str(copy), "old": str(old) if old else ""}
            audit.record(engine, actor=actor, action="restore", details=details, at=now)
        finally:
            engine.dispose()
    return old


def _require_known(path: Path) -> None:
    engine = open_database(f"sqlite:///{path}")
    try:
        if check_known(engine) is None:
            raise DatabaseError(
                "the copy is empty", where=str(path), remedy="name a copy that `db backup` made"
            )
    finally:
        engine.dispose()
        for extra in ("-wal", "-shm"):
            path.with_name(f"{path.name}{extra}").unlink(missing_ok=True)


def _move_away(database: Path, suffix: str) -> Path | None:
    """The database and its write-ahead log under another name; None if there is none."""
    if not database.exists():
        return None
    old = database.with_name(f"{database.name}.{suffix}")
    database.with_name(f"{database.name}-shm").unlink(missing_ok=True)
    for extra in ("-wal", ""):
        part = database.with_name(f"{database.name}{extra}")
        if part.exists():
            part.rename(old.with_name(f"{old.name}{extra}"))
    return old


def _copy(source: Path, partial: Path) -> None:
    partial.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as database,
        closing(sqlite3.connect(partial)) as copy,
    ):
        database.backup(copy, pages=PAGES)
        # One self-contained file: a WAL beside it would be forgotten when the file is moved.
        copy.execute("PRAGMA journal_mode = DELETE")
        said = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if said != "ok":
        raise sqlite3.DatabaseError(f"database disk image is malformed: {said}")
