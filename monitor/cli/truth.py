"""Replayed recordings against what really happened in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from monitor.presence.metrics import Comparison, Span, compare, merged, total
from monitor.replay import ReplayResult

COLUMNS = (
    "source",
    "visits",
    "recall",
    "events",
    "precision",
    "false_per_day",
    "false_per_day_bound",
    "onset_p50_s",
    "onset_p95_s",
    "confirm_p95_s",
    "flaps_per_event",
    "accuracy",
)
TABLE_COLUMNS = (
    "source",
    "visits",
    "events",
    "recall",
    "precision",
    "false_per_day",
    "false_per_day_bound",
    "onset_p50_s",
    "onset_p95_s",
    "flaps_per_event",
    "accuracy",
)
"""What fits a terminal."""

TITLE = (
    "against the truth (bound: fewer false events a day with 95 %; "
    "onset: from the visit to the event's start; accuracy: share of the time)"
)


def judge(result: ReplayResult, truth: Sequence[Span]) -> Comparison:
    """One recording's events, all zones together, against its truth."""
    spans = [Span(event.start_s, event.end_s, event.confirmed_s) for event in result.events]
    zones = {event.zone for event in result.events}
    return compare(spans if len(zones) < 2 else merged(spans), truth, result.duration_s)


def summary(comparison: Comparison) -> dict[str, float | int | None]:
    """The figures people ask for; None where there is nothing to divide by."""
    return {
        "visits": comparison.visits,
        "recall": comparison.recall,
        "events": comparison.events,
        "precision": comparison.precision,
        "false_per_day": comparison.false_per_day,
        "false_per_day_bound": comparison.false_per_day_bound,
        "onset_p50_s": comparison.onset_p50,
        "onset_p95_s": comparison.onset_p95,
        "confirm_p95_s": comparison.confirm_p95,
        "flaps_per_event": comparison.flaps_per_event,
        "accuracy": comparison.accuracy,
    }


def rows(judged: Iterable[tuple[str, Comparison]]) -> list[dict[str, Any]]:
    """A row a recording, and the sum of all at the end."""
    pairs = list(judged)
    listed = [{"source": name, **summary(comparison)} for name, comparison in pairs]
    if len(pairs) > 1:
        listed.append({"source": "all", **summary(total(each for _, each in pairs))})
    return listed
