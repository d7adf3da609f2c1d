"""Replayed recordings against what really happened in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.errors import InputError
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
    "onset_p95_s",
    "flaps_per_event",
    "accuracy",
)
"""What fits a terminal."""

_EXAMPLE = '{"clip.mp4": {"someone": [[0.7, 4.1], [10.2, 15.6]]}}'


def read_truth(path: Path) -> dict[str, list[Span]]:
    """Spans with somebody in the picture, by file name. Raises InputError if it is no truth."""
    try:
        data = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"the truth cannot be read: {error}", where=str(path), remedy=f"write {_EXAMPLE}"
        ) from error
    if not isinstance(data, Mapping):
        raise InputError("the truth is no mapping", where=str(path), remedy=f"write {_EXAMPLE}")
    return {
        name: _spans(entry, f"{path}: {name}")
        for name, entry in data.items()
        if not name.startswith("_")
    }


def _spans(entry: Any, where: str) -> list[Span]:
    try:
        return [Span(float(start), float(end)) for start, end in entry["someone"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"its spans cannot be read: {error}", where=where, remedy=f"write {_EXAMPLE}"
        ) from error


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
