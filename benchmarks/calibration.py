"""Do calibrated settings keep their budget on hours they have not seen?

    python -m benchmarks.calibration

The synthetic site of `benchmarks.presence` (30 false bursts an hour, half of the visits weak): some
hours without anybody and three quarters of an hour with visits are calibrated on, then what was
chosen is run on a day of unseen empty hours and on three hours of unseen visits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import typer

from benchmarks.presence import FPS, make_trace
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.config.presence import PresenceConfig
from monitor.presence.reading import thresholds
from monitor.review.budget import parse_budget
from monitor.review.calibrate import calibrate, outcome
from monitor.review.trace import RECORDED, Trace, logistic


def empty(hours: float, seed: int) -> Trace:
    """A trace with its visits cut out."""
    made = make_trace(hours, seed)
    at = np.arange(made.odds.size) / FPS
    kept = np.ones(at.size, bool)
    for visit in made.truth:
        kept[(at > visit.start - 1.0) & (at < visit.end + 1.0)] = False
    return Trace("empty", RECORDED, np.arange(kept.sum()) / FPS, logistic(made.odds[kept]))


def visited(hours: float, seed: int) -> Trace:
    """A trace with its visits."""
    made = make_trace(hours, seed)
    at = np.arange(made.odds.size) / FPS
    return Trace("visited", RECORDED, at, logistic(made.odds), made.truth)


def row(hours: float, text: str, seed: int, unseen: tuple[Trace, Trace]) -> dict[str, Any]:
    """One calibration and what became of it."""
    budget = parse_budget(text)
    result = calibrate(
        "frame", PresenceConfig(), [empty(hours, seed)], [visited(0.7, seed + 50)], budget
    )
    assert result.after is not None
    settings = result.after.settings
    later = outcome(settings, [unseen[0]], [unseen[1]], unseen[0].watched_s, budget)
    false = len(later.events[0])
    return {
        "empty_hours": hours,
        "budget": text,
        "promised": round(result.expected or 0.0, 2),
        "unseen_false": false,
        "unseen_rate": round(false * budget.seconds / unseen[0].watched_s, 2),
        "recall": round(result.after.visits.recall or 0.0, 2),
        "unseen_recall": round(later.visits.recall or 0.0, 3),
        "mode": settings.mode.value,
        "enter": thresholds(settings)[0],
        "enter_after_s": settings.enter_after,
    }


def main(seeds: int = 2, output: FormatOption = Format.TABLE) -> None:
    """Calibrate and look again."""
    unseen = empty(24.0, 99), visited(3.0, 77)
    rows = [
        row(hours, text, seed, unseen)
        for hours, text in ((1.0, "1/hour"), (2.0, "1/day"), (3.0, "2/day"))
        for seed in range(1, seeds + 1)
    ]
    print_rows(rows, list(rows[0]), output)


if __name__ == "__main__":
    typer.run(main)
