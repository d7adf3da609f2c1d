"""Hours and days as the clock on somebody's wall shows them; clock changes included.

An hour that the clock shows twice is two hours, an hour that it skips is none, and a day has as
many hours as it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum

from monitor.events.intervals import Span

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Period(StrEnum):
    """What makes a line: each hour or day there was, or all hours or days of a name together."""

    HOUR = "hour"
    DAY = "day"
    WEEKDAY = "weekday"
    HOUR_OF_DAY = "hour-of-day"

    @property
    def recurring(self) -> bool:
        """Whether many spans of time make one line."""
        return self in (Period.WEEKDAY, Period.HOUR_OF_DAY)

    def label(self, start: datetime, zone: tzinfo) -> str:
        """The line's name, of the hour or day that begins at `start`; names sort by time."""
        local = start.astimezone(zone)
        match self:
            case Period.HOUR:
                return local.replace(minute=0).isoformat(timespec="minutes")
            case Period.DAY:
                return local.date().isoformat()
            case Period.WEEKDAY:
                return _DAYS[local.weekday()]
            case Period.HOUR_OF_DAY:
                return f"{local.hour:02}"

    def order(self, label: str) -> int:
        """Where a recurring label stands among its like."""
        return _DAYS.index(label) if self is Period.WEEKDAY else int(label)


def split(since: datetime, until: datetime, by: Period, zone: tzinfo) -> Iterator[Span]:
    """[since, until) in parts, each within one local hour or day: together they are the whole.

    Spans are in UTC. The first and the last may be shorter than an hour or a day.
    """
    hours = by in (Period.HOUR, Period.HOUR_OF_DAY)
    start, last = since.astimezone(UTC), until.astimezone(UTC)
    while start < last:
        end = min(_next_hour(start, zone) if hours else next_day(start, zone), last)
        yield start, end
        start = end


def next_day(moment: datetime, zone: tzinfo) -> datetime:
    """The first instant of the local day after that of `moment`, in UTC."""
    tomorrow = moment.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone).astimezone(UTC)


def _next_hour(moment: datetime, zone: tzinfo) -> datetime:
    """The next instant at which the clock shows a full hour or is put, in UTC."""
    local = moment.astimezone(zone)
    gone = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    end = moment.astimezone(UTC) + timedelta(hours=1) - gone
    if end.astimezone(zone).utcoffset() == local.utcoffset():
        return end
    return _clock_change(moment.astimezone(UTC), end, zone)


def _clock_change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The instant between two UTC instants at which the offset changes: by bisection."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(microseconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
