"""The database of `monitor.storage`, as the events room has always named it."""

from __future__ import annotations

from monitor.storage.database import (
    BUSY_TIMEOUT,
    NETWORK_TIMEOUT,
    describe,
    explain,
    is_refused,
    open_database,
    parse_url,
    reading,
    sqlite_path,
    writing,
)

__all__ = [
    "BUSY_TIMEOUT",
    "NETWORK_TIMEOUT",
    "describe",
    "explain",
    "is_refused",
    "open_database",
    "parse_url",
    "reading",
    "sqlite_path",
    "writing",
]
