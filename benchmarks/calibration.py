"""Do calibrated settings keep their budget on hours they have not seen?

    python -m benchmarks.calibration
    python -m benchmarks.calibration --pictures

The synthetic site of `benchmarks.presence` (30 false bursts an hour, half of the visits weak): some
hours without anybody and three quarters of an hour with visits are calibrated on, then what was
chosen is run on a day of unseen empty hours and on three hours of unseen visits.

Without `--pictures` scores are all there is, and they are taken for what they say: a zone with
`background.enabled: false`. With it there is a 56 x 56 luma for each score: in visits something
moves, and in every other burst something smaller does. Then the presence engine with its guards,
background and weighing judges calibration and unseen hours (fewer, for each look costs a third of
a millisecond a try), and the last columns say what the present settings do there.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.presence import EPOCH, FPS, NO_PICTURE, STEPS, make_trace, scene
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.clock import Stamp
from monitor.config.guards import GuardConfig
from monitor.config.presence import PresenceConfig
from monitor.messages import Frame, Score
from monitor.presence.metrics import Span
from monitor.presence.reading import thresholds
from monitor.review.budget import Budget, parse_budget
from monitor.review.calibrate import calibrate
from monitor.review.reel import Filming
from monitor.review.trace import RECORDED, Trace, from_sensed, logistic
from monitor.review.trial import Trial, trial

BASE = PresenceConfig()
Budgets = tuple[tuple[float, str], ...]


class Site:
    """Hours of scores, and with a stack pictures for each of them."""

    def __init__(self, stack: ExitStack | None) -> None:
        self._stack = stack

    def empty(self, hours: float, seed: int) -> Trace:
        """A trace with its visits cut out."""
        made = make_trace(hours, seed)
        at = np.arange(made.odds.size) / FPS
        kept = np.ones(at.size, bool)
        for visit in made.truth:
            kept[(at > visit.start - 1.0) & (at < visit.end + 1.0)] = False
        moving = _within(at, made.bursts[::2])[kept]
        trace = Trace("empty", RECORDED, np.arange(kept.sum()) / FPS, logistic(made.odds[kept]))
        return self._pictured(trace, moving)

    def visited(self, hours: float, seed: int) -> Trace:
        """A trace with its visits."""
        made = make_trace(hours, seed)
        at = np.arange(made.odds.size) / FPS
        trace = Trace("visited", RECORDED, at, logistic(made.odds), made.truth)
        return self._pictured(trace, _within(at, made.bursts[::2]))

    def _pictured(self, trace: Trace, moving: np.ndarray[Any, np.dtype[np.bool_]]) -> Trace:
        if self._stack is None:
            return trace
        filming = Filming("c", ["frame"], GuardConfig())
        reel = filming.reels["frame"]
        self._stack.callback(reel.close)
        there = _within(trace.at, trace.visits)
        rng = np.random.default_rng(trace.at.size)
        steps = rng.integers(0, STEPS, trace.at.size)
        rows = zip(trace.at.tolist(), trace.score.tolist(), there, moving, steps, strict=True)
        for number, (at, score, someone, thing, step) in enumerate(rows):
            seen = scene(number, int(step) if someone or thing else -1, height=24 if someone else 8)
            stamp = Stamp(at, EPOCH)
            frame = Frame("c", number, stamp, at, (), NO_PICTURE, seen)
            filming.on_score(Score("c", "frame", score, frame, stamp))
        sensed = reel.judged(BASE).sensed
        scores = zip(trace.at.tolist(), trace.score.tolist(), sensed, strict=True)
        made = from_sensed(trace.name, list(scores))
        return replace(made, visits=trace.visits, film=reel.judged)


def _within(at: Any, spans: Iterable[Span]) -> Any:
    inside = np.zeros(at.size, bool)
    for span in spans:
        inside |= (at >= span.start) & (at <= span.end)
    return inside


def row(
    site: Site, hours: float, text: str, seed: int, unseen: tuple[Trace, Trace]
) -> dict[str, Any]:
    """One calibration and what became of it."""
    budget = parse_budget(text)
    result = calibrate(
        "frame", BASE, [site.empty(hours, seed)], [site.visited(0.7, seed + 50)], budget
    )
    assert result.after is not None
    settings = result.after.settings
    later = trial(settings, [unseen[0]], [unseen[1]])
    found = {
        "empty_hours": hours,
        "budget": text,
        "promised": round(result.after.expected, 2),
        "kept": result.keeps_budget,
        "unseen_false": len(later.false[0]),
        "unseen_rate": _rate(later, budget, unseen[0]),
        "recall": round(result.after.trial.visits.recall or 0.0, 2),
        "unseen_recall": round(later.visits.recall or 0.0, 3),
        "mode": settings.mode.value,
        "enter": thresholds(settings)[0],
        "enter_after_s": settings.enter_after,
    }
    if unseen[0].film is not None:
        present = trial(BASE, [unseen[0]], [unseen[1]])
        found["present_rate"] = _rate(present, budget, unseen[0])
        found["present_recall"] = round(present.visits.recall or 0.0, 3)
    return found


def _rate(found: Trial, budget: Budget, empty: Trace) -> float:
    return round(len(found.false[0]) * budget.seconds / empty.watched_s, 2)


def main(
    seeds: Annotated[int, typer.Option(help="Calibrations of each kind.")] = 2,
    pictures: Annotated[bool, typer.Option("--pictures", help="The whole engine.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Calibrate and look again."""
    kinds: Budgets = ((1.0, "1/hour"), (2.0, "1/day"), (3.0, "2/day"))
    with ExitStack() as stack:
        site = Site(stack if pictures else None)
        if pictures:
            kinds = ((0.5, "1/hour"), (1.0, "2/day"))
            unseen = site.empty(4.0, 99), site.visited(1.0, 77)
        else:
            unseen = site.empty(24.0, 99), site.visited(3.0, 77)
        rows = [
            row(site, hours, text, seed, unseen)
            for hours, text in kinds
            for seed in range(1, seeds + 1)
        ]
    print_rows(rows, list(rows[0]), output)


if __name__ == "__main__":
    typer.run(main)
