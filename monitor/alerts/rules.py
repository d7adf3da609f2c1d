"""What rules make of what happens. Pure: configuration, causes and knowledge in, verdicts out.

    cause ──plan──▶ watches (one a rule, due when its span is over) ──judge──▶ verdict

A watch whose span is zero is judged at once. The id of a watch follows from rule and cause, and
is the id of its alert: the same cause, told twice, alerts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from monitor.alerts.grants import Grant, match
from monitor.alerts.schedules import Override, arming
from monitor.config.alerts import AlertConfig, RuleConfig, Trigger
from monitor.config.schedules import parse_zone
from monitor.messages import PresenceState

NAMESPACE = UUID("5f2c9f0e-3f0b-5c53-9d7c-6d8f1a6b7c21")
"""Of the ids of alerts and delivery keys; any constant would do."""

DOOR_TRIGGERS = frozenset(
    {Trigger.DOOR_FORCED, Trigger.DOOR_HELD, Trigger.STILL_OCCUPIED_AFTER_EXIT}
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happened or began at `at`. `subject` tells it from all other causes."""

    trigger: Trigger
    camera: str
    zone: str
    at: datetime
    subject: str
    event_id: UUID | None = None
    door: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Watch:
    """A rule waits until `due` to judge a cause."""

    id: UUID
    rule: str
    cause: Cause
    due: datetime


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a verdict depends on besides the configuration.

    `last_told`: when the rule last alerted in the zone. `state`: of the zone at the moment of
    judging. `entered_again`: a badge went in after the exit that the cause is about. `let_through`:
    a badge or exit button allowed the opening.
    """

    state: PresenceState = PresenceState.UNKNOWN
    last_told: datetime | None = None
    overrides: Sequence[Override] = ()
    grants: Sequence[Grant] = ()
    entered_again: bool = False
    let_through: bool = False


class Outcome(StrEnum):
    """What becomes of a watch."""

    TELL = "tell"
    RECORD = "record"
    """The rule is right, but cooling down or silenced: kept, nobody is told."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome and why, in words people read."""

    outcome: Outcome
    reasons: list[str] = field(default_factory=list)


def in_scope(config: AlertConfig, rule: RuleConfig, camera: str, zone: str, door: str = "") -> bool:
    """Whether a rule is about the place; a rule without any scope is about all of them."""
    if rule.doors and door not in rule.doors:
        return False
    if not (rule.cameras or rule.zones or rule.groups):
        return True
    members = {member for group in rule.groups for member in config.groups.get(group, ())}
    if not zone:  # the whole camera is meant: one of its zones is enough
        named = {place.partition("/")[0] for place in (*rule.zones, *members)}
        return camera in rule.cameras or camera in named
    place = f"{camera}/{zone}"
    return camera in rule.cameras or place in rule.zones or bool({place, camera} & members)


def plan(config: AlertConfig, cause: Cause) -> Iterator[Watch]:
    """The watches that the cause begins, one for each rule that is about it."""
    for name, rule in config.rules.items():
        if rule.on is cause.trigger and in_scope(
            config, rule, cause.camera, cause.zone, cause.door
        ):
            yield Watch(
                id=uuid5(NAMESPACE, f"{name}|{rule.on}|{cause.subject}"),
                rule=name,
                cause=cause,
                due=cause.at + timedelta(seconds=rule.after),
            )


def judge(config: AlertConfig, watch: Watch, known: Knowledge) -> Verdict:
    """Whether the watch alerts. Whether its span was lived through is the caller's to see to."""
    rule, cause, reasons = config.rules[watch.rule], watch.cause, list[str]()
    held = arming(
        rule.armed, config.schedules, known.overrides, parse_zone(config.timezone), watch.due
    )
    reasons.append(held.why)
    if not held.armed:
        return Verdict(Outcome.NOTHING, reasons)
    if obstacle := _obstacle(rule, watch, known):
        return Verdict(Outcome.NOTHING, [*reasons, obstacle])
    reasons.extend(_grounds(rule, cause, known))
    if config.silenced(cause.camera, watch.due):
        return Verdict(Outcome.RECORD, [*reasons, "silenced: maintenance"])
    if known.last_told is not None:
        ago = (watch.due - known.last_told).total_seconds()
        if 0.0 <= ago < rule.cooldown:
            why = f"cooling down: told {ago:.0f} s ago, cooldown {rule.cooldown:.0f} s"
            return Verdict(Outcome.RECORD, [*reasons, why])
    return Verdict(Outcome.TELL, reasons)


def _obstacle(rule: RuleConfig, watch: Watch, known: Knowledge) -> str:
    """Why the rule does not apply after all; empty when it does."""
    if rule.on is Trigger.OCCUPIED_WITHOUT_GRANT:
        grant = match(known.grants, watch.cause.at, watch.due)
        return f"granted to {grant.subject or 'the zone'}" if grant else ""
    if rule.on is Trigger.STILL_OCCUPIED_AFTER_EXIT:
        if known.entered_again:
            return "a badge went in again"
        if known.state is not PresenceState.OCCUPIED:
            return f"the zone is {known.state}"
    if rule.on is Trigger.DOOR_FORCED and known.let_through:
        return "somebody was let through"
    if rule.on in (Trigger.DOOR_FORCED, Trigger.DOOR_HELD) and rule.presence not in (
        "any",
        known.state.value,
    ):
        return f"the zone is {known.state}, the rule wants {rule.presence}"
    return ""


def _grounds(rule: RuleConfig, cause: Cause, known: Knowledge) -> Iterator[str]:
    if rule.after:
        yield f"for {rule.after:g} s"
    if rule.on is Trigger.OCCUPIED_WITHOUT_GRANT:
        yield "no valid grant"
    if rule.on in (Trigger.DOOR_FORCED, Trigger.DOOR_HELD):
        yield f"the zone is {known.state}"
    if cause.detail:
        yield cause.detail


_TITLES = {
    Trigger.OCCUPIED: "{place}: somebody is here",
    Trigger.VACATED: "{place}: everybody left",
    Trigger.VACANT: "{place}: nobody was here for {after:g} s",
    Trigger.CAMERA_LOST: "{camera}: the camera is not seen",
    Trigger.TAMPER: "{camera}: the camera may have been tampered with",
    Trigger.OCCUPIED_WITHOUT_GRANT: "{place}: somebody is here without a grant",
    Trigger.STILL_OCCUPIED_AFTER_EXIT: "{place}: somebody is here after the last badge left",
    Trigger.DOOR_FORCED: "door {door}: opened though nobody was let through",
    Trigger.DOOR_HELD: "door {door}: open for {after:g} s",
}


def title(rule: RuleConfig, cause: Cause) -> str:
    """The alert in one line."""
    text = _TITLES[rule.on]
    if rule.on is Trigger.OCCUPIED and rule.after:
        text = "{place}: somebody is here for {after:g} s"
    place = f"{cause.camera}/{cause.zone}"
    return text.format(place=place, camera=cause.camera, door=cause.door, after=rule.after)
