"""Is a rule armed at a moment? Pure: windows of local time, holidays, overrides by hand.

Windows are read on the wall clock of the configured zone, so `22:00-06:00` is an hour shorter or
longer in the nights when the clocks change, and an hour that comes twice is inside twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache

from monitor.config.schedules import MINUTES, ScheduleConfig, Window


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody armed or disarmed `schedule` (empty: everything) from `since` to `until`."""

    schedule: str
    armed: bool
    since: datetime
    until: datetime | None
    who: str

    def covers(self, schedule: str, at: datetime) -> bool:
        """Whether it speaks about that schedule at that moment."""
        named = self.schedule in ("", schedule)
        return named and self.since <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class Arming:
    """Armed or not, and why."""

    armed: bool
    why: str


_window = lru_cache(maxsize=1024)(Window)


def window_at(schedule: ScheduleConfig, zone: tzinfo, at: datetime) -> str:
    """The window or holiday that covers `at`, in words; empty when none does."""
    local = at.astimezone(zone)
    if local.date() in schedule.holidays:
        return f"holiday {local.date()}"
    minute = local.hour * 60 + local.minute
    today, yesterday = local.weekday(), (local.weekday() - 1) % 7
    for window in map(_window, schedule.windows):
        if today in window.days and window.start <= minute < window.end:
            return window.text
        if yesterday in window.days and minute + MINUTES < window.end:
            return window.text
    return ""


def arming(
    names: Sequence[str],
    schedules: Mapping[str, ScheduleConfig],
    overrides: Sequence[Override],
    zone: tzinfo,
    at: datetime,
) -> Arming:
    """Whether a rule of these schedules is armed; one armed schedule is enough.

    The latest override that covers the moment goes before the windows. A rule without a schedule
    is always armed, unless everything is disarmed by hand.
    """
    verdicts = []
    for name in names or ("",):
        spoken = [each for each in overrides if each.covers(name, at)]
        if spoken:
            latest = max(spoken, key=lambda each: (each.since, each.armed))
            ends = f" until {latest.until.astimezone(zone):%F %H:%M}" if latest.until else ""
            word = "armed" if latest.armed else "disarmed"
            verdicts.append(Arming(latest.armed, f"{word} by {latest.who}{ends}"))
        elif not name:
            verdicts.append(Arming(True, "always armed"))
        else:
            window = window_at(schedules[name], zone, at)
            why = f"armed: {name} ({window})" if window else f"not armed: outside {name}"
            verdicts.append(Arming(bool(window), why))
    armed = [verdict for verdict in verdicts if verdict.armed]
    return armed[0] if armed else Arming(False, "; ".join(each.why for each in verdicts))
