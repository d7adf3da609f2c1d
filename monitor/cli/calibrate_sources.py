"""What `calibrate` was asked for, and the scores that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from rich.progress import Progress
from sqlalchemy import Engine

from monitor.cli.footage import Footage, Hear, history_traces, replay_traces, replayed
from monitor.config import CameraConfig, DecodePolicy, InferenceConfig, PresenceConfig
from monitor.config.presence import PresenceMode
from monitor.errors import InputError, UsageError
from monitor.events.marks import Mark
from monitor.events.queries import EventFilter, all_events
from monitor.presence.metrics import Span
from monitor.replay import ReplayResult
from monitor.review.budget import Budget
from monitor.review.calibrate import suspects
from monitor.review.families import Limits
from monitor.review.reel import Filming, Reel
from monitor.review.trace import Trace

AROUND_MARKED = timedelta(seconds=60)
"""Taken along before and after a marked event."""

FALSE_ALARM = "false alarm"

SHOWN = 5
"""Suspected persons that are named."""

Traces = tuple[list[Trace], list[Trace]]
"""Those without anybody, and those with visits."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    name: str
    camera: CameraConfig
    zones: dict[str, PresenceConfig]
    negatives: Footage
    positives: Footage
    budget: Budget
    truth: dict[str, list[Span]] | None
    marked: bool

    def check(self) -> None:
        """Raise UsageError if there is nothing to calibrate on, InputError for a recording with
        visits of which the truth knows none."""
        if not (self.negatives or self.marked):
            raise UsageError(
                "there are no negatives, so nothing is known of false events",
                remedy="name footage without anybody by --negatives",
            )
        for path in self.positives.videos if self.truth is not None else ():
            if not (self.truth or {}).get(path.name):
                raise InputError(
                    "the truth names no visit in this positive",
                    where=str(path),
                    remedy="add it to the truth file, or leave it out",
                )

    @property
    def asks_database(self) -> bool:
        """Whether anything is to be taken from the score history."""
        return bool(self.negatives.spans or self.positives.spans or self.marked)


def limits_of(wanted: Wanted, settings: PresenceConfig) -> Limits:
    """What the score history can judge of a camera that is looked at closely only when in doubt."""
    sparse = wanted.camera.decode is DecodePolicy.ADAPTIVE and wanted.asks_database
    if not sparse or settings.mode is not PresenceMode.PLAIN:
        return Limits()
    return Limits(settings.exit_threshold, settings.enter_threshold)


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording scored, and a reel of each zone."""

    result: ReplayResult
    reels: dict[str, Reel]

    def trace(self, zone: str, truth: dict[str, list[Span]] | None = None) -> Trace:
        """The zone's scores, which other settings can be tried on."""
        [trace] = replay_traces([self.result], zone, truth)
        return replace(trace, film=self.reels[zone].judged)


def filmed(
    videos: Sequence[Path],
    inference: InferenceConfig,
    wanted: Wanted,
    bars: Progress,
    stack: ExitStack,
) -> list[Recording]:
    """Each recording scored; what it showed is kept until the stack closes."""
    filming: list[Filming] = []

    def listening() -> Hear:
        filming.append(Filming(wanted.name, list(wanted.zones), wanted.camera.guards))
        for reel in filming[-1].reels.values():
            stack.callback(reel.close)
        film = filming[-1]
        return lambda score, _counted: film.on_score(score)

    if not videos:
        return []
    results = list(
        replayed(videos, inference, wanted.name, wanted.camera, bars, listening=listening)
    )
    return [Recording(*each) for each in zip(results, (f.reels for f in filming), strict=True)]


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Gathers the scores of one zone."""

    wanted: Wanted
    zone: str
    now: datetime

    def recorded(self, negatives: Sequence[Recording], positives: Sequence[Recording]) -> Traces:
        """Of recordings: those without anybody, and those with visits."""
        empty = [each.trace(self.zone) for each in negatives]
        visited = [each.trace(self.zone, self.wanted.truth) for each in positives]
        if self.wanted.truth is None:
            visited = [_all_of_it(trace) for trace in visited]
        return empty, visited

    def stored(self, engine: Engine) -> Traces:
        """Of the score history: those without anybody, and those with visits."""
        empty = self._history(engine, self.wanted.negatives.spans)
        spans = self._history(engine, self.wanted.positives.spans)
        visited = [_all_of_it(trace) for trace in spans]
        if self.wanted.marked:
            self._add_marked(engine, empty, visited)
        return empty, visited

    def _history(self, engine: Engine, spans: Sequence[tuple[datetime, datetime]]) -> list[Trace]:
        camera = self.wanted.camera
        weighs = self.wanted.zones[self.zone].background.enabled
        name = self.wanted.name
        return history_traces(engine, name, self.zone, spans, camera.guards, weighs=weighs)

    def _add_marked(self, engine: Engine, empty: list[Trace], visited: list[Trace]) -> None:
        place = EventFilter(camera=self.wanted.name, zone=self.zone, limit=1000)
        for event in all_events(engine, place):
            if event.mark is None:
                continue
            start, end = event.started_at, event.ended_at or self.now
            try:
                [trace] = self._history(engine, [(start - AROUND_MARKED, end + AROUND_MARKED)])
            except InputError:
                continue  # its scores are too old to be kept
            if event.mark is Mark.FALSE_ALARM:
                empty.append(replace(trace, name=f"{FALSE_ALARM} {event.id}"))
            else:
                around = AROUND_MARKED.total_seconds()
                visit = Span(around, around + (end - start).total_seconds())
                visited.append(replace(trace, name=f"event {event.id}", visits=(visit,)))


def _all_of_it(trace: Trace) -> Trace:
    """A positive of which nothing more is known: one visit from its first score to its last."""
    if not trace.at.size:
        return trace
    return replace(trace, visits=(Span(float(trace.at[0]), float(trace.at[-1])),))


def refuse_persons(traces: dict[str, tuple[list[Trace], list[Trace]]], wanted: Wanted) -> None:
    """Raise InputError if somebody seems to be in the negatives."""
    seen = [
        f"{zone}, {trace.name}, {_when(trace, span)}"
        for zone, (empty, _) in traces.items()
        for trace in empty
        if not trace.name.startswith(FALSE_ALARM)
        for span in suspects(trace, wanted.zones[zone])
    ]
    if seen:
        more = f"\n  … and {len(seen) - SHOWN} more" if len(seen) > SHOWN else ""
        often = "once" if len(seen) == 1 else f"{len(seen)} times"
        listed = "".join(f"\n  {line}" for line in seen[:SHOWN])
        raise InputError(
            f"somebody seems to be in the negatives, {often}:{listed}{more}",
            remedy="look at them; leave such spans out, or say --trust-negatives if it is nobody",
        )


def _when(trace: Trace, span: Span) -> str:
    if not trace.dated:
        return f"second {span.start:.1f} to {span.end:.1f}"
    start, end = trace.stamp(span.start).utc, trace.stamp(span.end).utc
    return f"{start:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC"
