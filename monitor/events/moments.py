"""Moments as people write them, turned into aware UTC at the edge of the program."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from monitor.config.base import parse_duration
from monitor.errors import UsageError

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""What lies outside is a slip of the keyboard, not a date of this program."""

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_HELP = (
    "write 2h (ago), 30m, now, today, yesterday 22:00, monday 8:30, 14:05, 2026-03-01 "
    "or 2026-03-01T14:05:00+01:00"
)


def parse_moment(text: str, *, now: datetime, zone: tzinfo) -> datetime:
    """The UTC instant that `text` means at `now` for somebody in `zone`.

    A duration is that long ago; a weekday is its last occurrence, today included; a day without
    a time of day is its midnight. In the hour that occurs twice when summer time ends, the first
    one is meant. Raises UsageError for what cannot be read, for local times that a clock change
    skips, and for absurd dates.
    """
    words = text.strip().lower()
    moment = _relative(words, now) or _absolute(text.strip(), zone) or _spoken(words, now, zone)
    if moment is None:
        raise UsageError(f"{text!r} is no moment", remedy=_HELP)
    utc = moment.astimezone(UTC)
    if not EARLIEST <= utc < LATEST:
        raise UsageError(
            f"{text!r} lies outside {EARLIEST.year} to {LATEST.year}", remedy="check the year"
        )
    return utc


def _relative(words: str, now: datetime) -> datetime | None:
    if words == "now":
        return now
    try:
        seconds = parse_duration(words.removesuffix("ago").strip())
        return now - timedelta(seconds=seconds)
    except ValueError:
        return None
    except OverflowError:
        return EARLIEST - timedelta(days=1)


def _absolute(text: str, zone: tzinfo) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else _local(moment.date(), moment.time(), zone)


def _spoken(words: str, now: datetime, zone: tzinfo) -> datetime | None:
    """`today`, `yesterday 22:00`, `monday 8:30`, or a time of today."""
    today = now.astimezone(zone).date()
    first, _, rest = words.partition(" ")
    if first == "today":
        day = today
    elif first == "yesterday":
        day = today - timedelta(days=1)
    elif first in _DAYS:
        day = today - timedelta(days=(today.weekday() - _DAYS.index(first)) % 7)
    else:
        day, rest = today, words
        if not rest:
            return None
    clock = _time_of_day(rest) if rest else time()
    return _local(day, clock, zone) if clock is not None else None


def _time_of_day(text: str) -> time | None:
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    try:
        return time(int(match[1]), int(match[2]), int(match[3] or 0))
    except ValueError:
        return None


def _local(day: date, clock: time, zone: tzinfo) -> datetime:
    moment = datetime.combine(day, clock, zone)
    try:
        back = moment.astimezone(UTC).astimezone(zone)
    except OverflowError:
        return EARLIEST - timedelta(days=1)
    if back.replace(tzinfo=None) != moment.replace(tzinfo=None):
        raise UsageError(
            f"{day} {clock:%H:%M} does not exist in {zone}: the clocks are put forward then",
            remedy="choose a time after the change",
        )
    return moment
