"""An explained occupancy in sentences: what came to nothing, what opened it, what closed it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from monitor.config.base import format_duration
from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.messages import EndReason, PresenceState
from monitor.presence.arrival import Evidence
from monitor.presence.machine import Change
from monitor.presence.metrics import Span
from monitor.presence.reading import thresholds
from monitor.review.trace import BLIND, HELD_ENTRIES, HELD_EXITS

MIDWAY = 0.05
"""Seconds by which an event may start before the score that is its first evidence unsaid."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One score and what the machine made of it. Seconds of the trace.

    `counts`: what the score was taken for, `weighed`: why, if that is known.
    `level`: the average or the belief. `hits`, `clears`: how long the unbroken run is that this
    score belongs to, in scores; 0 if none. `sight`: what scene guards held back, bits as in
    `monitor.review.trace`.
    """

    at: float
    score: float
    level: float
    hit: bool
    clear: bool
    rising: bool
    presence: PresenceState
    hits: int
    clears: int
    counts: float
    weighed: Evidence | None = None
    sight: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened at a second of the trace."""

    at: float
    text: str


def tell(
    moments: Sequence[Moment],
    settings: PresenceConfig,
    event: Span,
    opened: Change | None,
    closed: Change | None,
) -> tuple[Line, ...]:
    """The sentences in the order of time; the run tells the `event` as `opened` and `closed`."""
    lines = _story(moments, settings, event, opened, closed)
    return tuple(sorted(lines, key=lambda each: each.at))


def _story(
    moments: Sequence[Moment],
    settings: PresenceConfig,
    event: Span,
    opened: Change | None,
    closed: Change | None,
) -> Iterator[Line]:
    words = _Words(settings)
    start = opened.at.monotonic if opened else event.start
    told = opened.confirmed.monotonic if opened else event.confirmed or event.start
    end = closed.at.monotonic if closed else event.end
    before = [moment for moment in moments if moment.at < start]
    rise = [moment for moment in moments if start <= moment.at <= told]
    inside = [moment for moment in moments if start <= moment.at <= end]
    after = [moment for moment in moments if end < moment.at]
    yield from _attempts(before, words)
    yield from _guards(moments)
    if opened is None:
        yield Line(event.start, "run again over the scores that are kept, nothing is told here")
        return
    yield from _opening(rise, words, start, told)
    if inside:
        yield from _stay(inside, words)
    if closed is not None:
        yield from _closing(after, words, closed)


def level_word(settings: PresenceConfig) -> str:
    """How the mode calls what is compared with the thresholds."""
    return "belief" if settings.mode is PresenceMode.EVIDENCE else "average"


@dataclass(frozen=True, slots=True)
class _Words:
    """How the mode's levels are called."""

    settings: PresenceConfig

    @property
    def level(self) -> str:
        return level_word(self.settings)

    @property
    def enter(self) -> str:
        name = "enter_belief" if self.level == "belief" else "enter_threshold"
        return f"{name} {thresholds(self.settings)[0]:g}"

    @property
    def leave(self) -> str:
        name = "exit_belief" if self.level == "belief" else "exit_threshold"
        return f"{name} {thresholds(self.settings)[1]:g}"

    @property
    def needed(self) -> str:
        wait = format_duration(self.settings.enter_after)
        return f"{self.settings.enter_hits} hits over {wait} needed"


def _attempts(moments: Sequence[Moment], words: _Words) -> Iterator[Line]:
    """Runs of hits that came to nothing."""
    run: list[Moment] = []
    for moment in moments:
        if moment.hits:
            run.append(moment)
            continue
        if run and moment.presence is not PresenceState.OCCUPIED:
            peak = max(run, key=lambda each: (each.counts, each.score))
            yield Line(
                run[0].at,
                f"not enough: {len(run)} hits over {run[-1].at - run[0].at:.1f} s, "
                f"score up to {_scored(peak)}, {words.needed}",
            )
        run = []


def _opening(rise: Sequence[Moment], words: _Words, start: float, told: float) -> Iterator[Line]:
    if not rise:
        return
    first = rise[0]
    early = first.at - start
    began = f"{early:.1f} s before, midway from the look before it" if early > MIDWAY else "here"
    yield Line(first.at, f"first evidence: score {_scored(first)}; the event starts {began}")
    hits = [moment for moment in rise if moment.hit]
    yield from _weighing(hits or rise)
    if hits:
        yield Line(
            hits[0].at, f"the {words.level} {hits[0].level:.3f} reaches {words.enter}: hits count"
        )
        lasted = told - hits[0].at
        yield Line(told, f"confirmed: {len(hits)} hits over {lasted:.1f} s ({words.needed})")
    dwell = words.settings.min_dwell
    if dwell:
        yield Line(told, f"told once the evidence spans min_dwell {format_duration(dwell)}")


def _weighing(moments: Sequence[Moment]) -> Iterator[Line]:
    """Why the first of these scores counts for more, or less, than it says."""
    first = next((each for each in moments if each.weighed and each.counts != each.score), None)
    if first is None or first.weighed is None:
        return
    why, counts = first.weighed, f"score {first.score:.3f} counts for {first.counts:.3f}"
    if why.gain > 0.0 and why.level is not None and why.spread is not None:
        spreads = (why.odds - why.level) / why.spread
        yield Line(
            first.at,
            f"{counts}: log-odds {why.odds:.2f} lie {spreads:.1f} spreads above the empty zone's "
            f"{why.level:.2f} (spread {why.spread:.2f}), and {why.changed:.1%} of the picture "
            f"differ from it: {why.gain:+.1f}",
        )
    elif why.gain < 0.0:
        yield Line(first.at, f"{counts}: nothing has moved here: {why.gain:+.1f}")


def _stay(inside: Sequence[Moment], words: _Words) -> Iterator[Line]:
    peak = max(inside, key=lambda moment: moment.score)
    mean = sum(moment.score for moment in inside) / len(inside)
    counted = sum(moment.counts for moment in inside) / len(inside)
    taken = "" if _same(mean, counted) else f" (counting for {counted:.3f})"
    yield Line(peak.at, f"highest score {_scored(peak)}; mean of {len(inside)}: {mean:.3f}{taken}")
    dips = [
        run
        for clear, group in groupby(inside, key=lambda moment: moment.clears > 0)
        if clear and (run := list(group))
    ]
    if dips:
        longest = max(dips, key=lambda run: run[-1].at - run[0].at)
        yield Line(
            longest[0].at,
            f"{_times(len(dips))} the {words.level} fell below {words.leave}, at the longest for "
            f"{longest[-1].at - longest[0].at:.1f} s: less than exit_after "
            f"{format_duration(words.settings.exit_after)}",
        )


def _closing(after: Sequence[Moment], words: _Words, closed: Change) -> Iterator[Line]:
    end, told = closed.at.monotonic, closed.confirmed.monotonic
    yield Line(end, "last evidence; the event ends here")
    clears = [moment for moment in after if moment.clear and moment.at <= told]
    if closed.end_reason is EndReason.SIGNAL_LOST:
        gap = format_duration(words.settings.max_gap)
        yield Line(told, f"no score for max_gap {gap}: nobody knows, so the event ends")
    elif closed.end_reason is EndReason.END_OF_MEDIA:
        yield Line(told, "the scores end here")
    elif clears:
        yield Line(
            clears[0].at, f"the {words.level} {clears[0].level:.3f} falls below {words.leave}"
        )
        exit_after = format_duration(words.settings.exit_after)
        yield Line(
            told,
            f"confirmed: below it for {told - clears[0].at:.1f} s (exit_after {exit_after})",
        )
    merge = words.settings.merge_within
    if merge and closed.end_reason is EndReason.VACATED:
        yield Line(told, f"told once merge_within {format_duration(merge)} was over")


def _guards(moments: Sequence[Moment]) -> Iterator[Line]:
    """What scene guards held back, and for how long."""
    for sight, group in groupby(moments, key=lambda moment: moment.sight):
        run = list(group)
        if sight:
            lasted = run[-1].at - run[0].at
            yield Line(run[0].at, f"scene guards, for {lasted:.1f} s: {_held(sight)}")


def _held(sight: int) -> str:
    held = [name for bit, name in ((HELD_ENTRIES, "entries"), (HELD_EXITS, "exits")) if sight & bit]
    words = [f"{' and '.join(held)} are not confirmed"] if held else []
    if sight & BLIND:
        words.append("the picture shows nothing")
    return ", ".join(words)


def _scored(moment: Moment) -> str:
    """A score, and what it counts for if that is something else."""
    if _same(moment.score, moment.counts):
        return f"{moment.score:.3f}"
    return f"{moment.score:.3f} (counting for {moment.counts:.3f})"


def _same(score: float, counts: float) -> bool:
    return abs(score - counts) < 0.0005


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
