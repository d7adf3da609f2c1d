"""Time zones that requests name."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from monitor.errors import UsageError


def find_zone(name: str | None) -> tzinfo:
    """The zone of that name, UTC for None. Raises UsageError."""
    try:
        return ZoneInfo(name) if name is not None else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"there is no time zone {name!r}",
            where="query timezone",
            remedy="write UTC, Europe/Berlin, Asia/Tokyo …",
        ) from error
