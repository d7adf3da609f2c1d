"""A copy of the database while the monitor runs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL

from monitor.errors import DatabaseError, UsageError
from monitor.events.database import describe, explain, parse_url, sqlite_path
from monitor.events.snapshots import sync_folder

PAGES = 1000
"""Database pages copied in one step; between steps the writer has its turn."""

_DUMPS = {"postgresql": "pg_dump", "mysql": "mariadb-dump", "mariadb": "mariadb-dump"}


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
