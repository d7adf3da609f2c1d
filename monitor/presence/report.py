"""Which confirmed changes are told: `min_dwell` and `merge_within`, after the state machine.

* `min_dwell`: an occupancy is told once its evidence spans that long. One that ends earlier is
  never told; the zone was VACANT (or UNKNOWN) all along.
* `merge_within`: the end of an occupancy is told once it is clear that no other starts within
  that time. One that does continues it, at once: having dwelt before, nobody has to dwell again.

Both only hold back. What is told keeps the dates of its evidence; `confirmed` is the observation
that made it certain. A gap decides everything: nothing is merged across UNKNOWN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from monitor.clock import Stamp
from monitor.config.presence import PresenceConfig
from monitor.messages import PresenceState
from monitor.presence.machine import TOLERANCE, Change, Step, ZoneState

Changes = tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What the world knows of a zone, since when, and the change that is held back."""

    presence: PresenceState = PresenceState.UNKNOWN
    since: Stamp | None = None
    withheld: Change | None = None


def report(told: Told, result: Step, settings: PresenceConfig) -> tuple[Told, Changes]:
    """What to tell after a step of the machine."""
    changes: Changes = ()
    for change in result.changes:
        told, more = _hear(told, change, settings)
        changes += more
    told, more = _release(told, result.state, settings)
    return told, changes + more


def _hear(told: Told, change: Change, settings: PresenceConfig) -> tuple[Told, Changes]:
    """Take in a change of the machine: tell it, hold it back, or forget what was held back."""
    if change.current is PresenceState.OCCUPIED:
        return _begin(told, change, settings)
    if change.previous is PresenceState.OCCUPIED and told.presence is PresenceState.OCCUPIED:
        if change.current is PresenceState.VACANT and settings.merge_within > 0.0:
            return replace(told, withheld=change), ()
        return _tell(told, change)
    if told.presence is PresenceState.OCCUPIED:
        # The end was held back, and the gap ends the waiting.
        told, ended = _let_go(told, change.confirmed)
        told, changes = _tell(told, change)
        return told, ended + changes
    # What had begun did not last: only what it ended in is news, if it is.
    return _tell(replace(told, withheld=None), replace(change, end_reason=None))


def _begin(told: Told, change: Change, settings: PresenceConfig) -> tuple[Told, Changes]:
    ended: Changes = ()
    if told.withheld is not None:
        if _within(told.withheld.at, change.at, settings.merge_within):
            return replace(told, withheld=None), ()
        told, ended = _let_go(told, change.confirmed)
    if settings.min_dwell > 0.0:
        return replace(told, withheld=change), ended
    told, changes = _tell(told, change)
    return told, ended + changes


def _release(told: Told, state: ZoneState, settings: PresenceConfig) -> tuple[Told, Changes]:
    """Tell what was held back, if nothing can undo it any more."""
    withheld, seen, evidence = told.withheld, state.seen, state.evidence
    if withheld is None or seen is None or evidence is None:
        return told, ()
    if withheld.current is PresenceState.OCCUPIED:
        dwelt = evidence.since(withheld.at) >= settings.min_dwell - TOLERANCE
        return _let_go(told, seen) if dwelt else (told, ())
    rising = state.onset is not None and _within(withheld.at, state.onset, settings.merge_within)
    over = not _within(withheld.at, seen, settings.merge_within)
    return _let_go(told, seen) if over and not rising else (told, ())


def _let_go(told: Told, confirmed: Stamp) -> tuple[Told, Changes]:
    assert told.withheld is not None
    return _tell(replace(told, withheld=None), replace(told.withheld, confirmed=confirmed))


def _tell(told: Told, change: Change) -> tuple[Told, Changes]:
    if change.current is told.presence:
        return told, ()
    news = replace(change, previous=told.presence)
    return Told(change.current, change.at), (news,)


def _within(end: Stamp, start: Stamp, seconds: float) -> bool:
    return start.since(end) <= seconds + TOLERANCE
