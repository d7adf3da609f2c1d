"""Calibration of one zone on what its own camera saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.errors import InputError
from monitor.presence.metrics import Span
from monitor.review.budget import Budget, Proof, prove
from monitor.review.families import (
    Limits,
    evidence_families,
    made_up_visits,
    own_family,
    plain_families,
)
from monitor.review.fit import Fit, fit, labelled
from monitor.review.search import TRIES, Bench, Tried
from monitor.review.trace import Trace
from monitor.review.trial import Trial, judged

SUSPECT_SCORE, SUSPECT_SECONDS = 0.85, 2.0
"""An event in footage said to be empty that reaches and lasts this is more likely a person."""

ROUNDING = 1.0 + 1e-9


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a setting does on the footage, by the engine itself where there are pictures.

    `expected`: the false events, in the budget's unit of time, that the tail of the scores
    promises. `keeps`: those of the footage are no more than the budget allows for its length.
    """

    trial: Trial
    proof: Proof
    expected: float
    keeps: bool

    @property
    def settings(self) -> PresenceConfig:
        """The setting."""
        return self.trial.settings


@dataclass(frozen=True, slots=True)
class ZoneCalibration:
    """The verdict on one zone.

    `after` is None if no setting keeps the budget. `made_up`: there were no visits, so such of
    constant score were used. `fit` is None without visits.
    """

    zone: str
    budget: Budget
    before: Outcome
    after: Outcome | None
    fit: Fit | None
    made_up: bool

    @property
    def best(self) -> Outcome:
        """The setting that was chosen; the present one if none was."""
        return self.after or self.before

    @property
    def negatives(self) -> tuple[Trace, ...]:
        """The footage without anybody, as the engine takes it under the chosen setting."""
        return self.best.trial.negatives

    @property
    def positives(self) -> tuple[Trace, ...]:
        """The footage with visits, likewise; none if they are made up."""
        return () if self.made_up else self.best.trial.positives

    @property
    def promised(self) -> bool:
        """Whether the tail of the scores promises the budget."""
        expected = self.after.expected if self.after else None
        return expected is not None and expected <= self.budget.events * ROUNDING

    @property
    def keeps_budget(self) -> bool:
        """Whether the budget is proven by the footage, or promised by the tail of its scores."""
        if self.after is None or not self.after.keeps:
            return False
        proof = self.after.proof
        return proof.proven or (self.promised and not proof.too_little)

    @property
    def patch(self) -> dict[str, Any]:
        """What the zone's `presence` has to say; empty if nothing was found."""
        return {} if self.after is None else changed_keys(self.after.settings)


Tell = Callable[[int], None]
"""Told how many steps there are (several times), and then 0 for each one done."""


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
    limits = limits or Limits()
    found = [trace for trace in positives if trace.visits]
    data = labelled([*negatives, *found])
    fitted = fit(data) if found and data.has_both else None
    families = plain_families(base, limits)
    if fitted is not None:
        families += evidence_families(base, fitted.calibration)
    bench = Bench(negatives, found or list(made_up_visits()), budget)
    tell(len(families))
    ranked = bench.ranked(families, lambda: tell(0))
    tell(TRIES)
    before = bench.tried(*own_family(base, limits))
    chosen = bench.best_of(ranked, lambda: tell(0))
    little = _outcome(before, budget).proof.too_little
    good = bench.promises(before) and (chosen is None or before.worth >= chosen.worth)
    if good or (little and before.keeps):
        # By a few quiet minutes nobody can tell a bold threshold from a good one.
        chosen = before
    if chosen is None or not chosen.trial.visits.visits_found:
        tell(len(families))
        chosen = bench.most_cautious_of(families, lambda: tell(0))
    return ZoneCalibration(
        zone,
        budget,
        _outcome(before, budget),
        None if chosen is None else _outcome(chosen, budget),
        fitted,
        made_up=not found,
    )


def _outcome(tried: Tried, budget: Budget) -> Outcome:
    empty = tried.trial.negatives
    watched = sum(trace.watched_s for trace in empty)
    unknown = sum(trace.unweighed_s for trace in empty)
    proof = prove(tried.trial.false_events, watched, budget, unknown)
    return Outcome(tried.trial, proof, tried.expected * budget.seconds, tried.keeps)


def suspects(trace: Trace, settings: PresenceConfig) -> list[Span]:
    """Where in footage said to be empty somebody seems to be."""
    spans = []
    for event in judged(trace, settings)[0]:
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
