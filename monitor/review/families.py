"""The settings that `calibrate` tries, in families that differ in their threshold only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from monitor.config.presence import (
    CalibrationConfig,
    EvidenceConfig,
    PresenceConfig,
    PresenceMode,
)
from monitor.presence.metrics import Span
from monitor.review.trace import RECORDED, Trace, logistic, odds_of

LEVELS = tuple(logistic(np.arange(-2.0, 6.51, 0.25)).round(4).tolist())
"""Enter thresholds tried, in steps of log-odds."""

HYSTERESIS = (1.0, 2.0)
"""Log-odds by which the exit threshold lies below the enter threshold."""

NARROWEST = 0.95
"""Where an enter threshold lies below the present exit threshold, that is this share of it."""

WAITS = (0.4, 0.6, 1.0, 2.0, 3.0, 5.0)
"""Seconds of `enter_after` tried."""

SMOOTHINGS = (1.0,)
"""Tried beside the present one."""

BELIEFS = tuple(logistic(np.arange(2.2, 14.1, 0.4)).round(7).tolist())
"""Enter beliefs tried, in steps of log-odds."""

CORRELATIONS = (0.25, 0.5, 1.0, 2.0)
STRONGEST = (0.99, 0.999)

Family = Sequence[PresenceConfig]
"""Settings that differ in their threshold only, from the lowest."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds that the scores at hand can judge.

    A camera that was looked at closely only while scores were doubtful cannot say what a
    threshold below its doubts would have done: `lowest_enter`, `highest_exit`.
    """

    lowest_enter: float = 0.0
    highest_exit: float = 1.0


def plain_families(base: PresenceConfig, limits: Limits) -> list[Family]:
    """Mode plain: everything `calibrate` does not choose is as in `base`."""
    families: list[Family] = []
    smoothings = sorted({base.smoothing, *SMOOTHINGS})
    for wait, smoothing, gap in product(WAITS, smoothings, HYSTERESIS):
        family = []
        for level in LEVELS:
            below = min(float(logistic(odds_of(np.array(level)) - gap)), limits.highest_exit)
            leave = round(below, 3)
            if level < limits.lowest_enter or not 0.0 < leave < level:
                continue
            changes = {
                "mode": PresenceMode.PLAIN,
                "enter_threshold": level,
                "exit_threshold": leave,
                "enter_after": wait,
                "smoothing": smoothing,
            }
            family.append(base.model_copy(update=changes))
        families.append(family)
    return [family for family in families if family]


def own_family(base: PresenceConfig, limits: Limits) -> tuple[Family, int]:
    """The present setting and those that differ from it in the threshold only; its place."""
    if base.mode is PresenceMode.EVIDENCE:
        present, leave = base.evidence.enter_belief, base.evidence.exit_belief
        levels = sorted({present, *(each for each in BELIEFS if each > leave)})
        return [_believing(base, level) for level in levels], levels.index(present)
    present = base.enter_threshold
    levels = sorted({present, *(each for each in LEVELS if each >= limits.lowest_enter)})
    return [_entering(base, level) for level in levels], levels.index(present)


def _entering(base: PresenceConfig, level: float) -> PresenceConfig:
    """With another enter threshold; the exit threshold makes way for a low one."""
    leave = base.exit_threshold if base.exit_threshold < level else level * NARROWEST
    return base.model_copy(update={"enter_threshold": level, "exit_threshold": leave})


def _believing(base: PresenceConfig, level: float) -> PresenceConfig:
    evidence = base.evidence.model_copy(update={"enter_belief": level})
    return base.model_copy(update={"evidence": evidence})


def evidence_families(base: PresenceConfig, calibration: CalibrationConfig) -> list[Family]:
    """Mode evidence, on scores that `calibration` gives their meaning."""
    families: list[Family] = []
    for correlation, strongest in product(CORRELATIONS, STRONGEST):
        family = []
        for belief in BELIEFS:
            changes = {
                "calibration": calibration,
                "enter_belief": belief,
                "correlation": correlation,
                "strongest": strongest,
            }
            evidence: EvidenceConfig = base.evidence.model_copy(update=changes)
            family.append(
                base.model_copy(
                    update={
                        "mode": PresenceMode.EVIDENCE,
                        "enter_after": 0.0,
                        "enter_hits": 2,
                        "evidence": evidence,
                    }
                )
            )
        families.append(family)
    return families


def made_up_visits() -> Iterator[Trace]:
    """Visits for sites that have none to show: ten seconds of one score, from 0.6 to 0.99."""
    at = np.arange(0.0, 40.0, 0.2)
    for score in (0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99):
        there = (at >= 15.0) & (at < 25.0)
        yield Trace(
            f"ten seconds of {score:g}",
            RECORDED,
            at,
            np.where(there, score, 0.02),
            (Span(15.0, 25.0),),
        )
