"""Arming and disarming by hand, from the command line and by REST; who did it is in the audit log.

What is done by hand is a row, so that a restart forgets none. Rules are held against it at their
own moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import uuid4

from sqlalchemy import Engine, or_, select
from sqlalchemy.orm import Session

from monitor.alerts import desk
from monitor.alerts.models import OverrideRow
from monitor.alerts.schedules import Arming, arming
from monitor.alerts.watching import overrides
from monitor.config.alerts import AlertConfig
from monitor.config.schedules import parse_zone
from monitor.errors import NotFoundError, UsageError

EVERYTHING = "everything"
"""What the audit log calls all schedules, and the rules without one."""


class Switch(StrEnum):
    """What a hand does to a schedule, by the words of the command line."""

    ARM = "arm"
    DISARM = "disarm"
    AS_SCHEDULED = "as-scheduled"
    """Its windows count again."""


@dataclass(frozen=True, slots=True)
class Armed:
    """Which schedules and rules are armed at a moment, and why."""

    schedules: Mapping[str, Arming]
    rules: Mapping[str, Arming]


def switch(
    engine: Engine,
    config: AlertConfig,
    act: Switch,
    schedule: str | None,
    *,
    until: datetime | None = None,
    who: str,
    now: datetime,
) -> None:
    """Switch a schedule, or everything, by hand: `until` a moment, or until somebody does again.

    AS_SCHEDULED ends what hands did to the schedule; of everything, what they did to any. Raises
    NotFoundError for a schedule there is none of, UsageError, DatabaseError.
    """
    if schedule is not None and schedule not in config.schedules:
        known = ", ".join(config.schedules) or "none is configured"
        raise NotFoundError(
            f"there is no schedule {schedule!r}",
            remedy=f"schedules: {known}; or name none, for all",
        )
    if until is not None and until <= now:
        raise UsageError("the time would be over before it begins", remedy="a later moment")
    comment = f"until {until.isoformat(timespec='seconds')}" if until else ""
    with desk.transaction(engine) as session:
        if act is Switch.AS_SCHEDULED:
            _end(session, schedule, now)
        else:
            session.add(
                OverrideRow(
                    id=uuid4(),
                    schedule=schedule or "",
                    armed=act is Switch.ARM,
                    since=now,
                    until=until,
                    who=who[:64],
                )
            )
        desk.note(session, act.value, schedule or EVERYTHING, who=who, now=now, comment=comment)


def armed_at(engine: Engine, config: AlertConfig, now: datetime) -> Armed:
    """What is armed. Raises DatabaseError."""
    with desk.transaction(engine) as session:
        spoken = overrides(session)
    zone, schedules = parse_zone(config.timezone), config.schedules
    return Armed(
        {name: arming([name], schedules, spoken, zone, now) for name in schedules},
        {
            name: arming(rule.armed, schedules, spoken, zone, now)
            for name, rule in config.rules.items()
        },
    )


def _end(session: Session, schedule: str | None, now: datetime) -> None:
    """End what is in force; the rows stay, for rules that are judged late."""
    running = select(OverrideRow).where(or_(OverrideRow.until.is_(None), OverrideRow.until > now))
    if schedule is not None:
        running = running.where(OverrideRow.schedule == schedule)
    for row in session.scalars(running):
        row.until = now
