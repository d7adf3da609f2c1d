"""What calibration found, for people and programs: a tree of numbers, and words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import isfinite
from typing import Any

from monitor.errors import UsageError
from monitor.presence.metrics import Comparison
from monitor.review.budget import TOO_LITTLE, Budget
from monitor.review.calibrate import Outcome, ZoneCalibration, changed_keys

EXTRA = "pip install 'presence-monitor[calibration]'"


def require_libraries() -> None:
    """Raise UsageError unless scikit-learn and Matplotlib are installed."""
    try:
        import matplotlib.figure  # noqa: F401
        import sklearn.linear_model  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"calibration needs scikit-learn and Matplotlib ({error.name} is missing)", remedy=EXTRA
        ) from error


def as_tree(result: ZoneCalibration) -> dict[str, Any]:
    """Everything as plain numbers and words; seconds unless a key says otherwise."""
    proof = result.best.proof
    return {
        "zone": result.zone,
        "budget": result.budget.text,
        "false_events_allowed": result.budget.events,
        "negatives": {
            "hours": proof.hours,
            "known_hours": proof.known_hours,
            "judged_again_hours": _hours_judged_again(result)[0],
            "guarded_s": sum(trace.guarded_s for trace in result.negatives),
            "from": [trace.name for trace in result.negatives],
        },
        "positives": {
            "visits": sum(len(trace.visits) for trace in result.positives),
            "made_up": result.made_up,
            "from": [trace.name for trace in result.positives],
        },
        "before": _outcome(result.before),
        "after": _outcome(result.after) if result.after else None,
        "expected_false_events": result.after.expected if result.after else None,
        "keeps_budget": result.keeps_budget,
        "proven": bool(result.after and result.after.proof.proven),
        "too_little_footage": proof.too_little,
        "hours_to_prove": proof.hours_to_prove,
        "warnings": list(warnings(result)),
        "calibration": None
        if result.fit is None
        else {
            "kind": result.fit.kind,
            "auroc": result.fit.auroc,
            "cross_validated": {name: asdict(q) for name, q in result.fit.quality.items()},
        },
        "presence": result.patch,
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    bound = outcome.proof.bound
    return {
        "presence": changed_keys(outcome.settings),
        "false_events": outcome.proof.false_events,
        "false_rate": outcome.proof.rate,
        "false_rate_bound_95": bound if isfinite(bound) else None,
        **_visits(outcome.trial.visits),
    }


def _visits(visits: Comparison) -> dict[str, Any]:
    return {
        "visits": visits.visits,
        "recall": visits.recall,
        "flaps_per_event": visits.flaps_per_event,
        "told_p50_s": visits.confirm_p50,
        "told_p95_s": visits.confirm_p95,
        "accuracy": visits.accuracy,
    }


def sentences(result: ZoneCalibration) -> Iterator[str]:
    """What was found, a line each."""
    unit = result.budget.unit
    if result.after is None:
        yield f"no setting that was tried keeps {result.budget.text} and finds anybody"
        return
    proof = result.after.proof
    if result.after.settings == result.before.settings:
        why = (
            "this footage is too little to choose others by"
            if proof.too_little
            else ("of those that were tried none is better")
        )
        yield f"the present settings stay: {why}"
    known = f" {span(proof.known_hours)}" if proof.known_hours < proof.hours else ""
    yield (
        f"{proof.false_events} false events in {span(proof.hours)}"
        + (f": fewer than {figure(proof.bound)}/{unit} with 95 %" if isfinite(proof.bound) else "")
        + (f", by the{known} of which that is known" if known and isfinite(proof.bound) else "")
    )
    if proof.proven:
        yield f"that proves the budget of {result.budget.text}"
    elif not proof.too_little:
        missed = "" if result.promised else ": no setting that finds as many visits does it"
        promise = figure(result.after.expected)
        yield f"how fast its scores thin out promises {promise}/{unit}{missed}"
    yield from _judges(result)
    guarded = sum(trace.guarded_s for trace in result.negatives)
    if guarded:
        yield f"scene guards held changes back in {guarded:.0f} s of it, here as in the monitor"
    if result.made_up:
        yield (
            "no visits were given: ten seconds of one score each, 0.6 to 0.99, stood in for them, "
            "taken for what they say"
        )


def warnings(result: ZoneCalibration) -> Iterator[str]:
    """What cannot be known of it, a line each."""
    budget, proof = result.budget, result.best.proof
    if proof.known_hours < proof.hours:
        yield (
            f"of {span(proof.hours - proof.known_hours)} of stored scores it was not kept what the "
            "monitor took them for beside the empty zone: here they are taken for what they say, "
            "and prove nothing; calibrate on recordings, or on hours that were stored since"
        )
    if proof.too_little:
        least = span(TOO_LITTLE * proof.hours_to_prove)
        yield (
            f"{_bounded(result)}: too little to say anything of {budget.text}; a promise takes "
            f"{least} without anybody, a proof {span(proof.hours_to_prove)}"
        )
    elif not proof.proven:
        yield (
            f"{_bounded(result)}: that does not prove {budget.text}; it takes "
            f"{span(proof.hours_to_prove)} without a false event"
        )


def _bounded(result: ZoneCalibration) -> str:
    proof = result.best.proof
    if not isfinite(proof.bound):
        return "this footage bounds false events by nothing"
    return (
        f"{span(proof.known_hours)} of footage with {proof.false_events} false events bound them "
        f"at {figure(proof.bound)} {each(result.budget)} (Poisson, 95 %)"
    )


def _judges(result: ZoneCalibration) -> Iterator[str]:
    """Who judged the footage without anybody."""
    again, stored = _hours_judged_again(result)
    if again:
        yield f"{span(again)} of recordings were judged by the presence engine itself"
    if stored:
        yield (
            f"{span(stored)} of stored scores were taken for what the monitor took them for then; "
            "their pictures are not kept, so the engine cannot judge them again under new settings"
        )


def _hours_judged_again(result: ZoneCalibration) -> tuple[float, float]:
    """Of the footage without anybody: hours with pictures, and without."""
    hours = [0.0, 0.0]
    for trace in result.negatives:
        hours[0 if trace.film is not None else 1] += trace.watched_s / 3600.0
    return hours[0], hours[1]


def each(budget: Budget) -> str:
    """Its unit of time, for people: a week, an hour."""
    return f"{'an' if budget.unit.startswith('h') else 'a'} {budget.unit}"


def span(hours: float) -> str:
    """A length of time, for people."""
    if hours < 1.0:
        return f"{hours * 60.0:.0f} min" if hours * 60.0 >= 2.0 else f"{hours * 3600.0:.0f} s"
    return f"{hours:.0f} h" if hours >= 10.0 else f"{hours:.2g} h"


def figure(number: float) -> str:
    """A rate, for people."""
    return f"{number:,.0f}" if number >= 100.0 else f"{number:.2g}"
