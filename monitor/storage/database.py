"""Opening a database, and saying what is wrong with one without telling its password."""

from __future__ import annotations

import errno
import json
import math
import os
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InvalidatePoolError,
    NoSuchModuleError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.pool import ConnectionPoolEntry

from monitor.errors import DatabaseError
from monitor.telemetry import redact

BUSY_TIMEOUT = 10.0
"""Seconds a connection waits for another one's lock (SQLite) before it gives up."""

NETWORK_TIMEOUT = 30.0
"""Seconds a database server may stay silent."""

MIGRATION_TIMEOUT = 4 * 3600.0
"""Seconds it may stay silent while it rebuilds an index of a large table."""

PING_AFTER = 1.0
"""Seconds a connection lies idle before it is asked whether it still lives when taken up again."""

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgresql+pg8000": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""What is used for what is written; pg8000 was the driver up to version 1.0."""

_EXAMPLES = "sqlite:///var/monitor.db, postgresql://user@host/name or mariadb://user@host/name"

# What drivers say, and what to do about it. First match wins; texts are lower case.
_REMEDIES = (
    ("not a database", "the file is no SQLite database; restore a backup with "
     "`run_monitor.py db restore`, or move it away"),
    ("malformed", "the file is damaged; restore a backup with `run_monitor.py db restore`, or "
     "save what is left with `sqlite3 FILE .recover`"),
    ("disk i/o error", "the disk failed or the file vanished; check it, then restore a backup"),
    ("disk is full", "free some space"),
    ("readonly database", "give this user write permission on the file and its folder"),
    ("unable to open", "check that the path exists and this user may write there"),
    ("locked", "another process holds the database; stop it"),
    ("password", "check user and password of the URL"),
    ("authentication", "check user and password of the URL"),
    ("28p01", "check user and password of the URL"),
    ("28000", "check user and password of the URL"),
    ("access denied", "check user, password and the user's rights on this database"),
    ("1045", "check user and password of the URL"),
    ("3d000", "create the database first"),
    ("unknown database", "create the database first"),
    ("invalid connection option", "check the options after `?` in the URL"),
    ("unexpected keyword", "check the options after `?` in the URL"),
)  # fmt: skip


def parse_url(url: str | URL) -> URL:
    """The SQLAlchemy URL with the driver this product ships.

    Raises DatabaseError for text that is no URL and for databases that are not supported.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseError(
            "the database URL cannot be read", where=redact(str(url)), remedy=f"write {_EXAMPLES}"
        ) from error
    if parsed.drivername in _DRIVERS:
        parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
    if parsed.get_backend_name() not in {"sqlite", "postgresql", "mysql", "mariadb"}:
        raise DatabaseError(
            f"databases of kind {parsed.get_backend_name()!r} are not supported",
            where=describe(parsed),
            remedy=f"write {_EXAMPLES}",
        )
    if parsed.get_backend_name() == "sqlite" and sqlite_path(parsed) is None:
        raise DatabaseError(
            "an in-memory database forgets everything",
            where=describe(parsed),
            remedy="name a file: sqlite:///var/monitor.db",
        )
    return parsed


def describe(url: str | URL) -> str:
    """The URL as it may be shown: no password, no query (it may hold one)."""
    return make_url(url).set(query={}).render_as_string(hide_password=True)


def sqlite_path(url: URL) -> Path | None:
    """The database file of a SQLite URL; None for other databases and in-memory ones."""
    if url.get_backend_name() != "sqlite" or not url.database or ":memory:" in url.database:
        return None
    return Path(url.database)


def open_database(
    url: str | URL, *, create: bool = False, patience: float = NETWORK_TIMEOUT
) -> Engine:
    """An engine, proven by one connection.

    SQLite: WAL, foreign keys, a busy timeout, and `synchronous=FULL`: a committed event
    survives power loss, for one fsync a batch. `create` makes the file and its folder;
    without it a missing file is an error. `patience`: seconds a server may take for one
    statement. Raises DatabaseError with the remedy.
    """
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is not None:
        _prepare_file(path, create)
    try:
        engine = create_engine(
            parsed,
            connect_args=_connect_args(parsed, patience),
            json_serializer=partial(json.dumps, default=str, ensure_ascii=False),
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        extra = "postgresql" if "postgresql" in parsed.drivername else "mariadb"
        raise DatabaseError(
            f"the driver of {parsed.drivername} is not installed",
            where=describe(parsed),
            remedy=f"pip install 'presence-monitor[{extra}]'",
        ) from error
    if path is not None:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "checkin", _note_idle)
        event.listen(engine, "checkout", partial(_ping_idle, engine))
    if parsed.get_driver_name() == "psycopg":
        event.listen(engine, "do_connect", partial(_connect_postgresql, patience))
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError, TypeError) as error:  # TypeError: an unknown `?option=`
        engine.dispose()
        raise explain(error, parsed) from error
    return engine


def writing(engine: Engine) -> Engine:
    """The same database for transactions that write: SQLite takes its lock at their beginning.

    A transaction that reads first and writes later would otherwise fail at once, without
    waiting, when another connection wrote in between.
    """
    return engine.execution_options(writes=True)


def reading(engine: Engine) -> Engine:
    """The same database for questions that change nothing: PostgreSQL is not asked to begin and
    end a transaction around each, which are two of four round trips."""
    if engine.dialect.name != "postgresql":
        return engine
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def explain(error: Exception, url: str | URL) -> DatabaseError:
    """What the driver said, as an error for people; the password is cut out of it."""
    parsed = make_url(url)
    said = " ".join(_words(error).split()) or type(error).__name__
    if parsed.password:
        said = said.replace(str(parsed.password), "***")
    said = redact(said)
    lowered = said.lower()
    fallback = (
        "check the file, its folder and the disk"
        if parsed.get_backend_name() == "sqlite"
        else "check that the server runs and that host, port and firewall are right"
    )
    remedy = next((cure for sign, cure in _REMEDIES if sign in lowered), fallback)
    return DatabaseError(said, where=describe(parsed), remedy=remedy)


def is_refused(error: Exception) -> bool:
    """True when the database works and refuses this very data; trying again will not help."""
    if isinstance(error, IntegrityError | DataError):
        return True
    if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
        return True  # a value that cannot be bound
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return str(state).startswith(("22", "23"))  # SQLSTATE: data exception, constraint violation


def _words(error: Exception) -> str:
    said = getattr(error, "orig", None) or error
    state = getattr(said, "sqlstate", None)
    return f"{said} ({state})" if state else str(said)


def _connect_args(url: URL, patience: float) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"timeout": BUSY_TIMEOUT}
    if url.get_driver_name() == "psycopg":
        from monitor.storage.postgresql import connect_options

        return connect_options()
    if url.get_driver_name() == "pymysql":
        return {
            "connect_timeout": 10,
            "read_timeout": patience,
            "write_timeout": patience,
            "charset": "utf8mb4",
        }
    return {}


def _prepare_file(path: Path, create: bool) -> None:
    """Missing folder, missing file, a folder in the file's place, no permission: say so."""
    where = str(path)
    if path.is_dir():
        raise DatabaseError("this is a folder", where=where, remedy="name a file in it")
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(
                f"the folder cannot be created: {os.strerror(error.errno or errno.EIO)}",
                where=str(path.parent),
                remedy="choose a folder this user may write",
            ) from error
    elif not path.exists():
        raise DatabaseError(
            "there is no such database",
            where=where,
            remedy="`run_monitor.py db upgrade` creates it; --db names another one",
        )
    writable = os.access(path if path.exists() else path.parent, os.W_OK)
    if create and not (writable and os.access(path.parent, os.W_OK)):
        raise DatabaseError(
            "this user may not write the database or its folder",
            where=where,
            remedy="change its owner or permissions, or choose another path",
        )


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transactions begin too late (before the first write, not the first
    # read); with isolation_level None, `_begin_sqlite` begins them where SQLAlchemy does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only a file that is empty yet heeds it
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _note_idle(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["idle_since"] = time.monotonic()


def _ping_idle(
    engine: Engine, connection: Any, record: ConnectionPoolEntry, _proxy: object
) -> None:
    """As the pool's own ping before each use, which costs a round trip each time."""
    since = record.info.get("idle_since", math.inf)  # a new one has just been connected
    if time.monotonic() - since < PING_AFTER:
        return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error  # the pool connects anew


def _connect_postgresql(
    patience: float, _dialect: object, _record: object, args: tuple[Any, ...], options: Any
) -> Any:
    from monitor.storage.postgresql import connect

    return connect(*args, patience=patience, **options)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
