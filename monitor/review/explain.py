"""Why an occupancy was told: the machine run again over its scores, every step noted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from monitor.config.base import format_duration
from monitor.config.presence import EvidenceConfig, PresenceConfig, PresenceMode
from monitor.errors import InputError
from monitor.messages import EndReason, PresenceState
from monitor.presence import machine
from monitor.presence.arrival import WEIGHED, Evidence
from monitor.presence.machine import Change, Observation, ZoneState
from monitor.presence.metrics import Span
from monitor.presence.reading import thresholds
from monitor.presence.report import Told, report
from monitor.review.trace import Trace

CLOSE = 2.0
"""Seconds by which the run may differ from what was told and still be called the same."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One score and what the machine made of it. Seconds of the trace.

    `counts`: what the score was taken for, `weighed`: why, if that is known.
    `level`: the average or the belief. `hits`, `clears`: how long the unbroken run is that this
    score belongs to, in scores; 0 if none.
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


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened at a second of the trace."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """An occupancy, the steps around it, and the sentences about them.

    `opened` and `closed` are the run's own changes, None where it told none.
    """

    event: Span
    settings: PresenceConfig
    moments: tuple[Moment, ...]
    opened: Change | None
    closed: Change | None
    lines: tuple[Line, ...]

    @property
    def agrees(self) -> bool:
        """Whether the run told the event when it was told."""
        if self.opened is None or self.event.confirmed is None:
            return self.opened is not None
        return abs(self.opened.confirmed.monotonic - self.event.confirmed) <= CLOSE


def settings_in_force(stored: Mapping[str, Any]) -> PresenceConfig:
    """The settings noted with an event; keys of other versions are left out.

    Raises InputError if what is left makes no settings.
    """
    known = {key: value for key, value in stored.items() if key in PresenceConfig.model_fields}
    if isinstance(evidence := known.get("evidence"), Mapping):
        fields = EvidenceConfig.model_fields
        known["evidence"] = {key: value for key, value in evidence.items() if key in fields}
    try:
        return PresenceConfig.model_validate(known)
    except ValidationError as error:
        raise InputError("the settings noted with this event cannot be read") from error


def noted_evidence(stored: Mapping[str, Any]) -> Evidence | None:
    """What the score counted for that confirmed the event; None if that was not noted."""
    noted = stored.get(WEIGHED)
    try:
        return Evidence(**noted) if isinstance(noted, Mapping) else None
    except TypeError:
        return None


def explain(trace: Trace, settings: PresenceConfig, event: Span) -> Explanation:
    """Explain `event`, in seconds of the trace, under the settings that were in force."""
    moments, told = _run(trace, settings)
    opened, closed = _matching(told, event)
    lines = tuple(
        sorted(_story(moments, settings, event, opened, closed), key=lambda each: each.at)
    )
    return Explanation(event, settings, tuple(moments), opened, closed, lines)


def found_events(trace: Trace, settings: PresenceConfig) -> list[Span]:
    """The occupancies that the run itself tells."""
    _, told = _run(trace, settings)
    return [
        Span(opened.at.monotonic, closed.at.monotonic, opened.confirmed.monotonic)
        for opened, closed in _pairs(told)
        if closed is not None
    ]


def _run(trace: Trace, settings: PresenceConfig) -> tuple[list[Moment], list[Change]]:
    state, told = ZoneState(), Told()
    moments: list[Moment] = []
    changes: list[Change] = []
    counted = trace.counted if trace.counted is not None else trace.score
    weighed = trace.weighed or (None,) * trace.at.size
    rows = zip(trace.at.tolist(), trace.score.tolist(), counted.tolist(), weighed, strict=True)
    for at, score, counts, why in rows:
        result = machine.step(state, Observation(trace.stamp(at), counts), settings)
        state = result.state
        told, news = report(told, result, settings)
        changes += news
        moments.append(_moment(at, score, state, counts, why))
    if moments:
        last = machine.ended(state, trace.stamp(moments[-1].at), EndReason.END_OF_MEDIA)
        told, news = report(told, last, settings)
        changes += news
    return moments, changes


def _moment(
    at: float, score: float, state: ZoneState, counts: float, weighed: Evidence | None
) -> Moment:
    reading = state.reading
    assert reading is not None
    return Moment(
        at,
        score,
        reading.level,
        reading.hit,
        reading.clear,
        reading.rising,
        state.presence,
        state.hits.count if state.hits else 0,
        state.clears.count if state.clears else 0,
        counts,
        weighed,
    )


def _pairs(told: Sequence[Change]) -> Iterator[tuple[Change, Change | None]]:
    opened: Change | None = None
    for change in told:
        if change.current is PresenceState.OCCUPIED:
            opened = change
        elif opened is not None:
            yield opened, change
            opened = None
    if opened is not None:
        yield opened, None


def _matching(told: Sequence[Change], event: Span) -> tuple[Change | None, Change | None]:
    """The run's occupancy that shares the most time with the event."""
    best: tuple[float, Change | None, Change | None] = (-CLOSE, None, None)
    for opened, closed in _pairs(told):
        start = opened.at.monotonic
        end = closed.at.monotonic if closed is not None else event.end
        shared = min(end, event.end) - max(start, event.start)
        if shared > best[0]:
            best = (shared, opened, closed)
    return best[1], best[2]


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
    if opened is None:
        yield Line(event.start, "run again over the scores that are kept, nothing is told here")
        return
    yield from _opening(rise, words, told)
    if inside:
        yield from _stay(inside, words)
    if closed is not None:
        yield from _closing(after, words, closed)


@dataclass(frozen=True, slots=True)
class _Words:
    """How the mode's levels are called."""

    settings: PresenceConfig

    @property
    def level(self) -> str:
        return "belief" if self.settings.mode is PresenceMode.EVIDENCE else "average"

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
            peak = max(each.score for each in run)
            yield Line(
                run[0].at,
                f"not enough: {len(run)} hits over {run[-1].at - run[0].at:.1f} s, "
                f"score up to {peak:.3f}, {words.needed}",
            )
        run = []


def _opening(rise: Sequence[Moment], words: _Words, told: float) -> Iterator[Line]:
    if not rise:
        return
    first = rise[0]
    yield Line(first.at, f"first evidence: score {first.score:.3f}; the event starts here")
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
    yield Line(peak.at, f"highest score {peak.score:.3f}; mean of {len(inside)}: {mean:.3f}")
    dips = [
        run
        for clear, group in groupby(inside, key=lambda moment: moment.clears > 0)
        if clear and (run := list(group))
    ]
    if dips:
        longest = max(dips, key=lambda run: run[-1].at - run[0].at)
        yield Line(
            longest[0].at,
            f"{len(dips)} times the {words.level} fell below {words.leave}, at the longest for "
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
