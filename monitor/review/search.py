"""The settings that keep false events within a budget and find the most visits, soonest.

Everything else equal, a higher threshold never gives more false events, so for each way of
smoothing and waiting the lowest threshold within the budget is taken: it finds the most. Among
these the visits decide. That is a search among hundreds, so scores are taken for what they counted
for when they were scored. What a score counts for depends on the settings, if only a little; so the
best of them are then tried for real (`monitor.review.trial`), and that decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from monitor.config.presence import PresenceConfig
from monitor.presence.metrics import Comparison
from monitor.presence.reading import thresholds
from monitor.review.budget import ENOUGH, Budget, tail_of
from monitor.review.families import Family
from monitor.review.quick import Levels
from monitor.review.simulate import simulate
from monitor.review.trace import Trace, odds_of
from monitor.review.trial import Trial, compared, trial, weight

HIGHER = (0, 1, 2, 4, 8)
"""Steps up a family that are tried for real: the first that keeps the budget is taken."""

TRIES = 4
"""Families that are tried for real."""

Step = Callable[[], None]
"""Called when one family of settings is done."""


@dataclass(frozen=True, slots=True)
class Found:
    """One setting of a family that keeps the budget, and what it finds of the visits.

    `expected`: false events a second that the tail of its runs promises.
    """

    family: Family
    place: int
    visits: Comparison
    expected: float

    @property
    def settings(self) -> PresenceConfig:
        """The setting."""
        return self.family[self.place]

    @property
    def worth(self) -> Worth:
        """How good it is."""
        return worth(self.visits)


@dataclass(frozen=True, slots=True)
class Tried:
    """A setting as the engine tells it. `expected` as in `Found`; `keeps`: no more false events on
    the footage than the budget allows for its length."""

    trial: Trial
    expected: float
    keeps: bool

    @property
    def worth(self) -> Worth:
        """How good it is."""
        return worth(self.trial.visits)


Worth = tuple[float, float, float, float]


def worth(visits: Comparison) -> Worth:
    """More is better: visits found, flaps, delay until told, share of the time right."""
    told = visits.confirm_p95
    return (
        round(visits.recall or 0.0, 3),
        -round(visits.flaps_per_event or 0.0, 2),
        -round(told, 1) if told is not None else -inf,
        round(visits.accuracy or 0.0, 3),
    )


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
        self._trials: dict[str, Trial] = {}

    def ranked(self, families: Sequence[Family], step: Step) -> list[Found]:
        """Of each family the lowest threshold that keeps the budget, the best first."""
        found = []
        for family in families:
            lowest = self._lowest_within(family, self._budget.rate)
            if lowest is not None:
                found.append(lowest)
            step()
        return sorted(found, key=lambda each: each.worth, reverse=True)

    def best_of(self, ranked: Sequence[Found], step: Step) -> Tried | None:
        """The best of them, by what the engine tells; None if none of it keeps the budget."""
        best: Tried | None = None
        for found in ranked[:TRIES]:
            tried = self._confirmed(found)
            if tried is not None and (best is None or tried.worth > best.worth):
                best = tried
            step()
            if best is not None and best.worth >= found.worth:
                break  # the others promise no more
        return best

    def tried(self, family: Family, place: int) -> Tried:
        """What the engine tells under a setting."""
        settings = family[place]
        key = settings.model_dump_json()
        if key not in self._trials:
            self._trials[key] = trial(settings, self._negatives, self._positives)
        found = self._trials[key]
        counted = Bench(found.negatives, found.positives, self._budget)._counted(family)
        return Tried(found, counted[place][2], found.weight <= self._allowed)

    def promises(self, tried: Tried) -> bool:
        """Whether a setting keeps the budget, as far as anybody can say."""
        return tried.keeps and tried.expected <= self._budget.rate

    def _confirmed(self, found: Found) -> Tried | None:
        for higher in HIGHER:
            if (place := found.place + higher) >= len(found.family):
                return None
            tried = self.tried(found.family, place)
            if self.promises(tried):
                return tried
            if not tried.trial.visits.visits_found:
                return None
        return None

    def most_cautious_of(self, families: Sequence[Family], step: Step) -> Tried | None:
        """Where no tail promises enough: of the settings without too many false events on the
        footage that find the most visits, the one that promises the fewest."""
        lowest = [self._lowest_within(family, inf) for family in families]
        most = max((found.visits.visits_found for found in lowest if found), default=0)
        best: Found | None = None
        for family in families:
            found = self._highest_with(family, most) if most else None
            if found is not None and (best is None or found.expected < best.expected):
                best = found
            step()
        return None if best is None else self.tried(best.family, best.place)

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
        for place, (settings, seen, expected) in enumerate(self._counted(family)):
            if expected > rate or not self._keeps(settings, seen, self._allowed):
                continue
            visits = judge(self._positives, settings)
            if self._keeps(settings, seen, self._allowed - visits.false_events):
                return Found(family, place, visits, expected)
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
                best = Found(family, middle, visits, expected)
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
            total += weight(simulate(trace, settings))
            if total > allowed:
                return False
        return True


def judge(positives: Sequence[Trace], settings: PresenceConfig) -> Comparison:
    """What the settings find of the visits, scores taken for what they counted for."""
    return compared((simulate(trace, settings), trace) for trace in positives)
