"""Keeping a database in shape while it is in use: free pages, statistics, the write-ahead log."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from monitor.storage.database import BUSY_TIMEOUT, explain, parse_url, sqlite_path

STEP = 500
"""Pages given back in one transaction. Then others get as long: SQLite has no queue, whoever waits
for its lock looks for it again after up to 0.1 s."""

_PAUSE = 0.15
"""Seconds between two steps, at most."""

SPARE = 0.05
"""Share of the pages that may be free: new rows soon take them again."""

ROWS_LOOKED_AT = 1000
"""Rows of each index that SQLite's statistics are made from."""

LOOK_FOR = 2.0
"""Seconds a start spends on looking for damage."""

_INCREMENTAL = 2


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done. Bytes are those of a SQLite file and its write-ahead log, 0 for servers.

    `shrinks`: False for a SQLite file that cannot give pages back before it was rebuilt once.
    """

    freed_bytes: int
    size_bytes: int
    wal_bytes: int
    shrinks: bool
    seconds: float


def maintain(engine: Engine, tables: Iterable[str], *, rebuild: bool = False) -> Upkeep:
    """Give free pages back, renew the planner's statistics, empty the write-ahead log.

    SQLite: incremental vacuum in small steps, `ANALYZE` of a sample, a checkpoint that truncates.
    `rebuild` writes the whole file anew instead: it shrinks as far as can be, and keeps shrinking
    from then on, but writers wait meanwhile and the disk must hold the file twice. PostgreSQL and
    MariaDB vacuum by themselves; there only `tables` are analysed. Raises DatabaseError.
    """
    begun = time.monotonic()
    path = sqlite_path(engine.url)
    try:
        if path is not None:
            with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)) as own:
                return _maintain_sqlite(own, path, begun, rebuild=rebuild)
        verb = "ANALYZE" if engine.dialect.name == "postgresql" else "ANALYZE TABLE"
        quoted = engine.dialect.identifier_preparer.quote
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in tables:
                connection.execute(text(f"{verb} {quoted(table)}"))
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise explain(error, engine.url) from error
    return Upkeep(0, 0, 0, True, time.monotonic() - begun)


def require_sound(url: str | URL, seconds: float = LOOK_FOR) -> None:
    """Raise DatabaseError for a SQLite file in which damage is found within `seconds`.

    A large file is looked at in part only; `db check` takes its time. Servers and files that
    are not there yet pass.
    """
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is None or not path.is_file():
        return
    end = time.monotonic() + seconds
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)) as own:
            own.set_progress_handler(lambda: time.monotonic() > end, 10_000)
            said = own.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return
        raise explain(error, parsed) from error
    except sqlite3.Error as error:
        raise explain(error, parsed) from error
    if said != "ok":
        raise explain(sqlite3.DatabaseError(f"database disk image is malformed: {said}"), parsed)


def _maintain_sqlite(
    connection: sqlite3.Connection, path: Path, begun: float, *, rebuild: bool
) -> Upkeep:
    before = _number(connection, "page_count")
    if rebuild:
        connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        connection.execute("VACUUM")
    shrinks = _number(connection, "auto_vacuum") == _INCREMENTAL
    if shrinks:
        _give_back(connection)
    connection.execute(f"PRAGMA analysis_limit = {ROWS_LOOKED_AT}")
    connection.execute("ANALYZE")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    pages, page = _number(connection, "page_count"), _number(connection, "page_size")
    wal = path.with_name(f"{path.name}-wal")
    return Upkeep(
        freed_bytes=(before - pages) * page,
        size_bytes=pages * page,
        wal_bytes=wal.stat().st_size if wal.exists() else 0,
        shrinks=shrinks,
        seconds=time.monotonic() - begun,
    )


def _give_back(connection: sqlite3.Connection) -> None:
    """Free pages beyond the spare ones, in steps between which others may write."""
    while True:
        pages = _number(connection, "page_count")
        excess = _number(connection, "freelist_count") - int(pages * SPARE)
        if excess <= 0:
            return
        begun = time.monotonic()
        # `execute` would free one page only: it stops at the first of the statement's empty rows.
        connection.executescript(f"PRAGMA incremental_vacuum({min(excess, STEP)})")
        time.sleep(min(time.monotonic() - begun, _PAUSE))
        if _number(connection, "page_count") >= pages:
            return


def _number(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
