"""Calibration of one zone on what its own camera saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.errors import InputError
from monitor.presence.metrics import Comparison, Span
from monitor.review.budget import Budget, Proof, prove
from monitor.review.fit import Fit, fit, labelled
from monitor.review.search import (
    Bench,
    Limits,
    evidence_families,
    judge,
    made_up_visits,
    plain_families,
)
from monitor.review.simulate import simulate
from monitor.review.trace import Trace

SUSPECT_SCORE, SUSPECT_SECONDS = 0.85, 2.0
"""An event in footage said to be empty that reaches and lasts this is more likely a person."""


ROUNDING = 1.0 + 1e-9


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a setting does on the footage. `events`: of each negative, in its seconds."""

    settings: PresenceConfig
    events: tuple[tuple[Span, ...], ...]
    proof: Proof
    visits: Comparison


@dataclass(frozen=True, slots=True)
class ZoneCalibration:
    """The verdict on one zone.

    `after` is None if no setting keeps the budget. `expected`: the false events, in the budget's
    unit of time, that the tail of the scores promises of it. `made_up`: there were no visits, so
    such of constant score were used. `fit` is None without visits.
    """

    zone: str
    budget: Budget
    negatives: tuple[Trace, ...]
    positives: tuple[Trace, ...]
    before: Outcome
    after: Outcome | None
    expected: float | None
    fit: Fit | None
    made_up: bool

    @property
    def keeps_budget(self) -> bool:
        """Whether the budget is proven by the footage, or promised by the tail of its scores."""
        if self.after is None:
            return False
        promised = self.expected is not None and self.expected <= self.budget.events * ROUNDING
        return self.after.proof.proven or promised

    @property
    def patch(self) -> dict[str, Any]:
        """What the zone's `presence` has to say; empty if nothing was found."""
        return {} if self.after is None else changed_keys(self.after.settings)


Tell = Callable[[int], None]
"""Told how many families of settings there are (once a search), and then 0 for each one done."""


def calibrate(
    zone: str,
    base: PresenceConfig,
    negatives: Sequence[Trace],
    positives: Sequence[Trace],
    budget: Budget,
    *,
    limits: Limits | None = None,
    tell: Tell = lambda _count: None,
) -> ZoneCalibration:
    """Choose the settings of a zone. Raises InputError if the negatives hold no scores.

    Raises ImportError without scikit-learn if there are visits.
    """
    watched = sum(trace.watched_s for trace in negatives)
    if watched <= 0.0:
        raise InputError("the negatives hold no scores of this zone", where=zone)
    found = [trace for trace in positives if trace.visits]
    data = labelled([*negatives, *found])
    fitted = fit(data) if found and data.has_both else None
    families = plain_families(base, limits or Limits())
    if fitted is not None:
        families += evidence_families(base, fitted.calibration)
    visits = found or list(made_up_visits())
    bench = Bench(negatives, visits, budget)
    tell(len(families))
    chosen = bench.best_of(families, lambda: tell(0))
    if chosen is None or not chosen.visits.visits_found:
        tell(len(families))
        chosen = bench.most_cautious_of(families, lambda: tell(0))
    return ZoneCalibration(
        zone,
        budget,
        tuple(negatives),
        tuple(found),
        outcome(base, negatives, visits, watched, budget),
        None if chosen is None else outcome(chosen.settings, negatives, visits, watched, budget),
        None if chosen is None else chosen.expected * budget.seconds,
        fitted,
        made_up=not found,
    )


def outcome(
    settings: PresenceConfig,
    negatives: Sequence[Trace],
    visits: Sequence[Trace],
    watched: float,
    budget: Budget,
) -> Outcome:
    """What the settings do on the footage as it is."""
    events = tuple(tuple(simulate(trace, settings)) for trace in negatives)
    seen = judge(visits, settings)
    return Outcome(
        settings, events, prove(sum(map(len, events)) + seen.false_events, watched, budget), seen
    )


def suspects(trace: Trace, settings: PresenceConfig) -> list[Span]:
    """Where in footage said to be empty somebody seems to be."""
    spans = []
    for event in simulate(trace, settings):
        inside = (trace.at >= event.start) & (trace.at <= event.end)
        peak = float(trace.score[inside].max(initial=0.0))
        if peak >= SUSPECT_SCORE and event.end - event.start >= SUSPECT_SECONDS:
            spans.append(event)
    return spans


def changed_keys(settings: PresenceConfig) -> dict[str, Any]:
    """The keys that calibration sets, as they are written in YAML."""
    if settings.mode is PresenceMode.PLAIN:
        names = ("enter_threshold", "exit_threshold", "enter_after", "enter_hits", "smoothing")
        return {"mode": "plain", **{name: getattr(settings, name) for name in names}}
    evidence = settings.evidence
    meaning = evidence.calibration
    table = [list(row) for row in meaning.table]
    platt = {"slope": meaning.slope, "offset": meaning.offset}
    return {
        "mode": "evidence",
        "enter_after": settings.enter_after,
        "enter_hits": settings.enter_hits,
        "evidence": {
            "enter_belief": evidence.enter_belief,
            "correlation": evidence.correlation,
            "strongest": evidence.strongest,
            "calibration": {"table": table} if table else platt,
        },
    }
