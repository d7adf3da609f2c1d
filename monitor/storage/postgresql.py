"""How PostgreSQL is spoken to: psycopg, with an end to its patience."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, OperationalError, abc

CONNECT_TIMEOUT = 10
"""Seconds a server may take to accept a connection."""

_POLL = 0.1
"""Seconds between two looks at the clock while the server is silent (psycopg's own default)."""


class PatientConnection(Connection[Any]):
    """A connection that is given up when the server says nothing for `patience` seconds.

    libpq waits for ever for a server that is stopped or whose disk hangs: its keep-alives are
    answered by the kernel.
    """

    patience: float = 30.0

    def wait(
        self, gen: abc.PQGen[abc.RV], interval: float = _POLL, timeout: float | None = None
    ) -> abc.RV:
        """psycopg's wait, at most `patience` seconds. Raises OperationalError."""
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except OperationalError as error:
            if timeout is not None or error.sqlstate is not None or self.closed:
                raise
            self.pgconn.finish()  # what it was asked is still on its way: nobody may read on
            raise OperationalError(f"the server was silent for {self.patience:g} s") from error


def connect(*args: Any, patience: float, **options: Any) -> PatientConnection:
    """A connection to psycopg's arguments whose server may be silent for `patience` seconds."""
    connection = PatientConnection.connect(*args, **options)
    connection.patience = patience
    return connection


def connect_options() -> dict[str, Any]:
    """What every connection is opened with: times come in UTC, idle ones are kept alive."""
    return {
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": "presence-monitor",
        "options": "-c timezone=UTC",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
