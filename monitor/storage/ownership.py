"""One monitor a database: a second one is refused, and whoever only reads is never in the way.

SQLite: `flock` on a file beside the database. PostgreSQL and MariaDB: an advisory lock of a
session that is kept for nothing else. The kernel or the server frees the lock of a process that
dies, however it dies; of a machine that vanishes, the server after GIVEN_UP_AFTER seconds.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from monitor.errors import DatabaseError
from monitor.storage.database import describe, explain, open_database, parse_url, sqlite_path
from monitor.telemetry import get_logger

PATIENCE = 5.0
"""Seconds a monitor waits for its predecessor to end."""

BEAT_EVERY = 20.0
"""Seconds between two signs of life to the server, and two tries to get a lost lock back."""

GIVEN_UP_AFTER = 120
"""Seconds of silence after which a server ends the session and frees its lock."""

_KEY = 0x70726573656E6365  # "presence"
_NAME = "presence-monitor"

log = get_logger(__name__)


class Ownership:
    """The right to be a database's monitor; a context manager that `take`s it.

    `patience`: seconds to wait for another owner that may be just ending. `on_lost` hears, from a
    thread of its own, that another monitor took over while this one could not reach the server.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        patience: float = PATIENCE,
        on_lost: Callable[[str], None] = lambda _owner: None,
    ) -> None:
        parsed = parse_url(url)
        file = sqlite_path(parsed)
        self._where = describe(parsed)
        self._lock: _Lock = _FileLock(file) if file is not None else _ServerLock(parsed)
        self._patience = patience
        self._on_lost = on_lost
        self._released = threading.Event()
        self._beat = threading.Thread(target=self._keep, name="database-owner", daemon=True)

    def take(self) -> None:
        """Become the owner. Raises DatabaseError when another one still is."""
        end = time.monotonic() + self._patience
        while (owner := self._lock.take()) is not None:
            if time.monotonic() >= end:
                raise DatabaseError(
                    f"another monitor works on this database: {owner}",
                    where=self._where,
                    remedy="stop it first, or give this one a database of its own",
                )
            time.sleep(0.1)
        if self._lock.mortal:
            self._beat.start()

    def release(self) -> None:
        """Let others have it."""
        self._released.set()
        if self._beat.ident is not None:
            self._beat.join(BEAT_EVERY)
        self._lock.release()

    def __enter__(self) -> Ownership:
        self.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _keep(self) -> None:
        while not self._released.wait(BEAT_EVERY):
            try:
                owner = None if self._lock.alive() else self._lock.take()
            except DatabaseError:
                continue  # the server is away for everybody
            if owner is not None:
                log.error("another monitor took the database over", owner=owner)
                self._on_lost(owner)
                return


class _Lock(Protocol):
    mortal: bool
    """Whether the lock may be lost while its owner lives."""

    def take(self) -> str | None:
        """None when it is ours now, else who has it. Raises DatabaseError."""
        ...

    def alive(self) -> bool:
        """Whether it is ours still."""
        ...

    def release(self) -> None: ...


class _FileLock:
    mortal = False

    def __init__(self, database: Path) -> None:
        real = database.resolve()
        self._path = real.with_name(f"{real.name}.lock")
        self._file: IO[str] | None = None

    def take(self) -> str | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise DatabaseError(
                f"the lock beside the database cannot be made: {error.strerror or error}",
                where=str(self._path),
                remedy="give this user write permission on the folder, or choose another path",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip()
            file.close()
            return owner or "unknown"
        with suppress(OSError):  # a full disk: then nobody knows who, but the lock stands
            file.truncate(0)
            file.write(_who_we_are())
            file.flush()
        self._file = file
        return None

    def alive(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.truncate(0)
            self._file.close()
            self._file = None


class _ServerLock:
    mortal = True

    def __init__(self, url: URL) -> None:
        self._url = url
        self._postgresql = url.get_backend_name() == "postgresql"
        self._name = f"{_NAME}:{url.database}"[:64]  # MariaDB's locks are the whole server's
        self._engine: Engine | None = None
        self._session: Connection | None = None

    def take(self) -> str | None:
        self.release()
        engine = open_database(self._url)
        try:
            session = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            owner = self._try(session)
        except SQLAlchemyError as error:
            engine.dispose()
            raise explain(error, self._url) from error
        if owner is not None:
            session.close()
            engine.dispose()
            return owner
        self._engine, self._session = engine, session
        return None

    def alive(self) -> bool:
        try:
            return self._session is not None and self._session.scalar(text("SELECT 1")) == 1
        except SQLAlchemyError:
            return False

    def release(self) -> None:
        with suppress(SQLAlchemyError):
            if self._session is not None:
                self._session.invalidate()  # ends the server's session, and the lock with it
                self._session.close()
        if self._engine is not None:
            self._engine.dispose()
        self._engine = self._session = None

    def _try(self, session: Connection) -> str | None:
        if self._postgresql:
            session.execute(
                text(
                    "SELECT set_config(name, :limit, false) FROM pg_settings "
                    "WHERE name = 'idle_session_timeout'"
                ),
                {"limit": f"{GIVEN_UP_AFTER}s"},
            )
            session.execute(
                text("SELECT set_config('application_name', :name, false)"),
                {"name": f"{_NAME} {_who_we_are()}"[:63]},
            )
            got = session.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY})
            return None if got else self._postgresql_owner(session)
        session.execute(text(f"SET SESSION wait_timeout = {GIVEN_UP_AFTER}"))
        got = session.scalar(text("SELECT GET_LOCK(:name, 0)"), {"name": self._name})
        return None if got == 1 else self._mariadb_owner(session)

    def _postgresql_owner(self, session: Connection) -> str:
        query = text(
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
            "WHERE l.locktype = 'advisory' AND a.datname = current_database() "
            "AND l.classid::bigint = :high AND l.objid::bigint = :low AND l.granted"
        )
        parts = {"high": _KEY >> 32, "low": _KEY & 0xFFFFFFFF}
        said = session.scalar(query, parts) or ""
        return str(said).removeprefix(f"{_NAME} ") or "unknown"

    def _mariadb_owner(self, session: Connection) -> str:
        query = text(
            "SELECT CONCAT('connection ', ID, ' from ', HOST) FROM information_schema.PROCESSLIST "
            "WHERE ID = IS_USED_LOCK(:name)"
        )
        return str(session.scalar(query, {"name": self._name}) or "unknown")


def _who_we_are() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
