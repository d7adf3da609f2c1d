"""Who may be where, and who is still inside: pure matching of grants and door events.

Grants permit presence, they count nobody: the network tells somebody from nobody, not one person
from two. A grant therefore covers everybody in the zone, and tailgating is never claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class DoorKind(StrEnum):
    """What readers and contacts report."""

    GRANTED = "granted"
    """A badge was let in."""
    DENIED = "denied"
    EXIT = "exit"
    """A badge went out, or the exit button was pressed."""
    OPENED = "opened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Grant:
    """`subject` may be in the zone within [since, until)."""

    id: UUID
    subject: str
    since: datetime
    until: datetime
    single_use: bool = False
    used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DoorEvent:
    """One report of a door; `subject` is the badge, empty for contacts and buttons."""

    kind: DoorKind
    subject: str
    at: datetime


def valid_until(grant: Grant) -> datetime:
    """When it really ends: its end, its use, or its revocation, whichever is first."""
    ends = (grant.until, grant.used_at, grant.revoked_at)
    return min(end for end in ends if end is not None)


def match(grants: Iterable[Grant], since: datetime, until: datetime) -> Grant | None:
    """A grant valid for at least a moment of [since, until]; the one that ends last."""
    valid = [
        grant
        for grant in grants
        if grant.since <= until and valid_until(grant) > max(since, grant.since)
    ]
    return max(valid, key=valid_until, default=None)


def to_use_up(grants: Iterable[Grant], since: datetime, left: datetime) -> Grant | None:
    """The single-use grant that a stay from `since` to `left` uses up: the oldest valid one."""
    valid = [
        grant
        for grant in grants
        if grant.single_use and grant.used_at is None and match([grant], since, left)
    ]
    return min(valid, key=lambda grant: grant.since, default=None)


def inside(events: Sequence[DoorEvent]) -> set[str]:
    """Badges that went in and not out again; `events` in order of time."""
    badges: set[str] = set()
    for event in events:
        if event.subject and event.kind is DoorKind.GRANTED:
            badges.add(event.subject)
        elif event.kind is DoorKind.EXIT:
            badges.discard(event.subject)
    return badges


def was_let_through(events: Iterable[DoorEvent], opened: datetime, unlock: float) -> bool:
    """Whether a badge or exit button within `unlock` seconds before allowed the opening."""
    return any(
        event.kind in (DoorKind.GRANTED, DoorKind.EXIT)
        and 0.0 <= (opened - event.at).total_seconds() <= unlock
        for event in events
    )
