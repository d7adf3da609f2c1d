"""When rules are armed: weekly windows in a time zone, holidays, and what overlaps."""

from __future__ import annotations

import re
from datetime import date, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from monitor.config.base import ConfigModel

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = r"\d{1,2}:\d{2}"
_WINDOW = re.compile(rf"(?P<days>[a-z, -]+?)\s+(?P<start>{_CLOCK})\s*-\s*(?P<end>{_CLOCK})")
_HELP = "write mon-fri 20:00-06:00, sat,sun 00:00-24:00 or daily 22:00-05:30"
MINUTES = 24 * 60


class Window:
    """`mon-fri 20:00-06:00`: on these days from `start`; past midnight if `end` is not later.

    `start`, `end`: minutes after midnight, `end` from 1 to 2 × 1440. Raises ValueError.
    """

    def __init__(self, text: str) -> None:
        match = _WINDOW.fullmatch(text.strip().lower())
        if match is None:
            raise ValueError(f"{text[:60]!r} is no window; {_HELP}")
        self.text = text
        self.days = _days(match["days"].strip())
        self.start = _minute(match["start"])
        end = _minute(match["end"])
        if self.start >= MINUTES:
            raise ValueError(f"{text!r} begins at 24:00; {_HELP}")
        self.end = end if end > self.start else end + MINUTES

    def minutes(self) -> set[int]:
        """Its minutes of the week, Monday 00:00 being 0."""
        week = 7 * MINUTES
        return {
            (day * MINUTES + minute) % week
            for day in self.days
            for minute in range(self.start, self.end)
        }


def _days(text: str) -> frozenset[int]:
    if text == "daily":
        return frozenset(range(7))
    days: set[int] = set()
    for part in (each.strip() for each in text.split(",")):
        first, dash, last = (each.strip() for each in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{part!r} are no days of the week; {_HELP}")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def _minute(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise ValueError(f"{text!r} is no time of day; {_HELP}")
    return hours * 60 + minutes


def parse_zone(name: str) -> ZoneInfo:
    """The time zone of that name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name[:40]!r}; UTC, Europe/Berlin …") from error


class ScheduleConfig(ConfigModel):
    """Armed windows of a week; without any it is armed by hand only."""

    windows: list[str] = Field(default_factory=list, max_length=64)
    """Such as `mon-fri 20:00-06:00`; local wall-clock time of `alerts.timezone`."""

    holidays: list[date] = Field(default_factory=list, max_length=400)
    """Days that are armed from midnight to midnight, whatever the windows say."""

    @field_validator("windows")
    @classmethod
    def _readable(cls, texts: list[str]) -> list[str]:
        for text in texts:
            Window(text)
        return texts


def overlap(texts: list[str]) -> str:
    """Which windows overlap and when, in words; empty when none do."""
    taken: dict[int, str] = {}
    for text in texts:
        for minute in sorted(Window(text).minutes()):
            if minute in taken:
                day, rest = divmod(minute, MINUTES)
                when = f"{DAYS[day]} {time(rest // 60, rest % 60):%H:%M}"
                return f"{taken[minute]!r} and {text!r} overlap, {when} for one"
            taken[minute] = text
    return ""
