"""What every rule would say if its cause came true at a moment; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from monitor.alerts.rules import (
    DOOR_TRIGGERS,
    Cause,
    Knowledge,
    Outcome,
    Watch,
    in_scope,
    judge,
    title,
)
from monitor.alerts.watching import knowledge
from monitor.config import MonitorConfig
from monitor.config.alert_checks import zone_names
from monitor.config.alerts import RuleConfig, Trigger
from monitor.messages import PresenceState


@dataclass(frozen=True, slots=True)
class Guess:
    """What a rule would do in a place, and why."""

    rule: str
    place: str
    outcome: Outcome
    title: str
    reasons: tuple[str, ...]
    channels: tuple[str, ...]


def what_if(
    config: MonitorConfig, at: datetime, *, session: Session | None = None, place: str | None = None
) -> Iterator[Guess]:
    """Every rule in each place of its scope, as if what it waits for came true at `at`.

    With `session` the overrides, grants, cooldowns and states of that database count, too;
    without, nothing is known but the configuration. `place`: only this camera/zone.
    """
    for name, rule in config.alerts.rules.items():
        for cause in _causes(config, rule, at):
            where = f"{cause.camera}/{cause.zone}".rstrip("/")
            if place is not None and place != where and not place.startswith(f"{where}/"):
                continue
            if not in_scope(config.alerts, rule, cause.camera, cause.zone, cause.door):
                continue
            watch = Watch(UUID(int=0), name, cause, at)
            known = knowledge(session, config.alerts, watch) if session else Knowledge()
            if rule.on is Trigger.STILL_OCCUPIED_AFTER_EXIT:
                known = replace(known, state=PresenceState.OCCUPIED, entered_again=False)
            verdict = judge(config.alerts, watch, known)
            yield Guess(
                rule=name,
                place=f"door {cause.door}" if cause.door else where,
                outcome=verdict.outcome,
                title=title(rule, cause),
                reasons=tuple(verdict.reasons),
                channels=tuple(rule.channels),
            )


def _causes(config: MonitorConfig, rule: RuleConfig, at: datetime) -> Iterator[Cause]:
    since = at - timedelta(seconds=rule.after)
    if rule.on in DOOR_TRIGGERS:
        for door, settings in config.alerts.doors.items():
            camera, _, zone = settings.zone.partition("/")
            yield Cause(rule.on, camera, zone, since, "", door=door)
    elif rule.on in (Trigger.CAMERA_LOST, Trigger.TAMPER):
        for camera in config.cameras:
            yield Cause(rule.on, camera, "", since, "")
    else:
        for name in zone_names(config):
            camera, _, zone = name.partition("/")
            yield Cause(rule.on, camera, zone, since, "")
