"""What calibration found, for people and programs: a tree of numbers, and words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from monitor.errors import UsageError
from monitor.presence.metrics import Comparison
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
    proof = result.after.proof if result.after else result.before.proof
    return {
        "zone": result.zone,
        "budget": result.budget.text,
        "false_events_allowed": result.budget.events,
        "negatives": {
            "hours": proof.hours,
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
        "expected_false_events": result.expected,
        "keeps_budget": result.keeps_budget,
        "proven": bool(result.after and result.after.proof.proven),
        "hours_to_prove": proof.hours_to_prove,
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
    return {
        "presence": changed_keys(outcome.settings),
        "false_events": outcome.proof.false_events,
        "false_rate": outcome.proof.rate,
        "false_rate_bound_95": outcome.proof.bound,
        **_visits(outcome.visits),
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
    """What it means, a line each."""
    unit = result.budget.unit
    if result.after is None:
        yield f"no setting that was tried keeps {result.budget.text} and finds anybody"
        return
    proof = result.after.proof
    yield (
        f"{proof.false_events} false events in {_hours(proof.hours)}: "
        f"fewer than {_figure(proof.bound)}/{unit} with 95 %"
    )
    if proof.proven:
        yield f"that proves the budget of {result.budget.text}"
    else:
        yield (
            f"that does not prove {result.budget.text}: it takes "
            f"{_hours(proof.hours_to_prove)} without one"
        )
        if result.expected is not None:
            missed = "" if result.keeps_budget else ": no setting that finds as many visits does it"
            yield f"how fast its scores thin out promises {_figure(result.expected)}/{unit}{missed}"
    guarded = sum(trace.guarded_s for trace in result.negatives)
    if guarded:
        yield f"scene guards held changes back in {guarded:.0f} s of it, here as in the monitor"
    if result.made_up:
        yield "no visits were given: ten seconds of one score each, 0.6 to 0.99, stood in for them"


def _hours(hours: float) -> str:
    return f"{hours:.0f} h" if hours >= 10.0 else f"{hours:.2g} h"


def _figure(number: float) -> str:
    return f"{number:.0f}" if number >= 100.0 else f"{number:.2g}"
