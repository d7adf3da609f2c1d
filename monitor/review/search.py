"""The settings that keep false events within a budget and find the most visits, soonest.

Everything else equal, a higher threshold never gives more false events, so for each way of
smoothing and waiting the lowest threshold within the budget is taken: it finds the most. Among
these the visits decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf

import numpy as np

from monitor.config.presence import (
    CalibrationConfig,
    EvidenceConfig,
    PresenceConfig,
    PresenceMode,
)
from monitor.presence.metrics import Comparison, Span, compare, total
from monitor.presence.reading import thresholds
from monitor.review.budget import ENOUGH, Budget, tail_of, weight
from monitor.review.quick import Levels
from monitor.review.simulate import simulate
from monitor.review.trace import RECORDED, Trace, logistic, odds_of

LEVELS = tuple(logistic(np.arange(-2.0, 6.51, 0.25)).round(4).tolist())
"""Enter thresholds tried, in steps of log-odds."""

HYSTERESIS = (1.0, 2.0)
"""Log-odds by which the exit threshold lies below the enter threshold."""

WAITS = (0.4, 0.6, 1.0, 2.0, 3.0, 5.0)
"""Seconds of `enter_after` tried."""

SMOOTHINGS = (1.0,)
"""Tried beside the present one."""

BELIEFS = tuple(logistic(np.arange(2.2, 14.1, 0.4)).round(7).tolist())
"""Enter beliefs tried, in steps of log-odds."""

CORRELATIONS = (0.25, 0.5, 1.0, 2.0)
STRONGEST = (0.99, 0.999)

Step = Callable[[], None]
"""Called when one family of settings is done."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds that the scores at hand can judge.

    A camera that was looked at closely only while scores were doubtful cannot say what a
    threshold below its doubts would have done: `lowest_enter`, `highest_exit`.
    """

    lowest_enter: float = 0.0
    highest_exit: float = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """One setting that keeps the budget, and what it finds of the visits.

    `expected`: false events a second that the tail of its runs promises.
    """

    settings: PresenceConfig
    visits: Comparison
    expected: float

    @property
    def worth(self) -> tuple[float, float, float, float]:
        """More is better: visits found, flaps, delay until told, share of the time right."""
        visits = self.visits
        return (
            round(visits.recall or 0.0, 3),
            -round(visits.flaps_per_event or 0.0, 2),
            -round(visits.confirm_p95 if visits.confirm_p95 is not None else np.inf, 1),
            visits.accuracy or 0.0,
        )


Family = Sequence[PresenceConfig]
"""Settings that differ in their threshold only, from the lowest."""


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


class Bench:
    """Tries settings on footage: `negatives` without anybody, `positives` with known visits.

    A setting keeps the budget if the machine tells no more false events on the footage than the
    budget allows for its length (none, mostly), and if the tail of its runs of hits promises the
    same for longer. Events outside the visits of the positives count as false, too.
    """

    def __init__(
        self, negatives: Sequence[Trace], positives: Sequence[Trace], budget: Budget
    ) -> None:
        self._negatives = negatives
        self._positives = positives
        self._budget = budget
        self._watched = sum(trace.watched_s for trace in negatives)
        self._allowed = float(int(budget.rate * self._watched))
        self._levels = Levels(negatives)

    def best_of(self, families: Sequence[Family], step: Step) -> Found | None:
        """The setting of most worth among those that keep the budget; None if none does."""
        best: Found | None = None
        for family in families:
            found = self._lowest_within(family, self._budget.rate)
            if found is not None and (best is None or found.worth > best.worth):
                best = found
            step()
        return best

    def most_cautious_of(self, families: Sequence[Family], step: Step) -> Found | None:
        """Where no tail promises enough: of the settings without too many false events on the
        footage that find the most visits, the one that promises the fewest."""
        lowest = [self._lowest_within(family, inf) for family in families]
        most = max((found.visits.visits_found for found in lowest if found), default=0)
        best: Found | None = None
        for family in families:
            found = self._highest_with(family, most)
            if found is not None and (best is None or found.expected < best.expected):
                best = found
            step()
        return best

    def _counted(self, family: Family) -> list[tuple[PresenceConfig, int, float]]:
        """Each setting of a family, its runs of hits, and the rate a second to be expected."""
        odds = odds_of(np.array([thresholds(settings)[0] for settings in family]))
        runs = [self._levels.runs(settings) for settings in family]
        tail = tail_of(odds, np.array(runs), self._watched)
        return [
            (settings, seen, seen / self._watched if seen >= ENOUGH else tail.rate(here))
            for settings, here, seen in zip(family, odds.tolist(), runs, strict=True)
        ]

    def _lowest_within(self, family: Family, rate: float) -> Found | None:
        for settings, seen, expected in self._counted(family):
            if expected > rate or not self._keeps(settings, seen, self._allowed):
                continue
            visits = judge(self._positives, settings)
            if self._keeps(settings, seen, self._allowed - visits.false_events):
                return Found(settings, visits, expected)
        return None

    def _highest_with(self, family: Family, visits_found: int) -> Found | None:
        """The highest threshold that still finds so many visits, by halving."""
        counted = self._counted(family)
        best: Found | None = None
        low, high = 0, len(counted)
        while low < high:
            middle = (low + high) // 2
            settings, seen, expected = counted[middle]
            visits = judge(self._positives, settings)
            if visits.visits_found < visits_found:
                high = middle
                continue
            if self._keeps(settings, seen, self._allowed - visits.false_events):
                best = Found(settings, visits, expected)
            low = middle + 1
        return best

    def _keeps(self, settings: PresenceConfig, runs: int, allowed: float) -> bool:
        """Whether the negatives give no more than is allowed."""
        if runs == 0 or allowed < 0.0:
            return allowed >= 0.0
        if allowed < 1.0 and settings.min_dwell == 0.0:
            return False
        total = 0.0
        for trace in self._negatives:
            total += weight(trace, settings, allowed - total)
            if total > allowed:
                return False
        return True


def judge(positives: Sequence[Trace], settings: PresenceConfig) -> Comparison:
    """What the settings find of the visits."""
    return total(
        compare(
            simulate(trace, settings), trace.visits, float(trace.at[-1]) if trace.at.size else 0.0
        )
        for trace in positives
    )


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
