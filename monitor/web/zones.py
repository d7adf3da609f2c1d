"""Time zones that requests name."""

from __future__ import annotations

from datetime import UTC, tzinfo

from monitor.config.schedules import parse_zone
from monitor.errors import UsageError


def find_zone(name: str | None) -> tzinfo:
    """The zone of that name, UTC for None. Raises UsageError."""
    try:
        return parse_zone(name) if name is not None else UTC
    except ValueError as error:
        raise UsageError(
            f"there is no time zone {name!r}",
            where="query timezone",
            remedy="write UTC, Europe/Berlin, Asia/Tokyo …",
        ) from error
