"""Scene guards of the past: which stored scores were held back, by what camera health tells.

The score history keeps no pictures, so the guards cannot look again. What they were certain of is
kept as camera health, from when to when, and that is enough to hold back what they held back, by
the rules of `monitor.presence.guards`. Signs that passed before they were certain are not kept:
exits that they held for some seconds are not held here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.config.guards import GuardConfig
from monitor.events.health import HealthSpan
from monitor.messages import HealthKind
from monitor.review.trace import BLIND, HELD_ENTRIES, HELD_EXITS, LONGEST_STEP, Trace

SWITCHES = frozenset({HealthKind.LIGHT_SWITCHED, HealthKind.IR_SWITCHED})
SIGNS = frozenset({HealthKind.COVERED, HealthKind.MOVED, HealthKind.DEFOCUSED, HealthKind.DARK})
BLINDING = frozenset({HealthKind.COVERED, HealthKind.DARK})


@dataclass(frozen=True, slots=True)
class _Spell:
    """One span of camera health, in seconds of the trace."""

    kind: HealthKind
    start: float
    certain: float
    end: float


def guarded(trace: Trace, health: Sequence[HealthSpan], settings: GuardConfig) -> Trace:
    """The trace with what its camera's guards held back, under the settings of now."""
    spells = [spell for spell in _spells(trace, health) if spell.kind in SWITCHES | SIGNS]
    if not settings.enabled or not spells:
        return trace
    return replace(trace, sight=_sight(trace, spells, settings.bound))


def _spells(trace: Trace, health: Sequence[HealthSpan]) -> Iterator[_Spell]:
    base = trace.start.timestamp()
    for each in health:
        end = each.ended_at.timestamp() - base if each.ended_at else np.inf
        start, certain = each.started_at.timestamp(), each.confirmed_at.timestamp()
        yield _Spell(each.kind, start - base, certain - base, end)


def _sight(trace: Trace, spells: Sequence[_Spell], bound: float) -> NDArray[np.uint8]:
    """As the guards' own budget has it: used up while they hold, given back while they do not."""
    switching, doubtful, blind = (np.zeros(trace.at.size, bool) for _ in range(3))
    for spell in spells:
        within = (trace.at >= spell.start) & (trace.at < spell.end)
        if spell.kind in SWITCHES:
            switching |= within
            continue
        doubtful |= within & (trace.at < spell.start + bound)
        if spell.kind in BLINDING:
            blind |= within & (trace.at >= spell.certain)
    held, last = 0.0, 0.0
    sight = np.where(blind, BLIND, 0).astype(np.uint8)
    rows = zip(trace.at.tolist(), switching.tolist(), doubtful.tolist(), strict=True)
    for index, (at, switches, doubts) in enumerate(rows):
        elapsed, last = min(at - last, LONGEST_STEP), at
        if not (switches or doubts):
            held = max(0.0, held - elapsed)
            continue
        held += elapsed
        if held < bound:
            sight[index] |= HELD_EXITS | (HELD_ENTRIES if switches else 0)
        held = min(held, bound)
    return sight
