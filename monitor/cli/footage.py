"""What `calibrate` and `explain` look at: recordings through replay, spans of the score history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from sqlalchemy import Engine

from monitor.capture import probe_recording
from monitor.config import CameraConfig, DecodePolicy, InferenceConfig
from monitor.config.guards import GuardConfig
from monitor.errors import InputError, UsageError
from monitor.events.health import camera_health
from monitor.events.history import known_history, score_history
from monitor.events.moments import parse_moment
from monitor.messages import Score
from monitor.presence.metrics import Span
from monitor.replay import Replayer, ReplayResult, videos_in
from monitor.review.guarded import guarded
from monitor.review.trace import Trace, from_history, from_sensed

SEPARATOR = ".."

Hear = Callable[[Score, float], None]
"""Hears a score and what it was taken for."""

MOST_HEALTH = 100_000
"""Spans of camera health looked at; a month of a light that is switched every half minute."""


@dataclass(frozen=True, slots=True)
class Footage:
    """Recordings, and spans of the score history (aware UTC)."""

    videos: tuple[Path, ...] = ()
    spans: tuple[tuple[datetime, datetime], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.videos or self.spans)


def parse_footage(texts: Sequence[str], now: datetime, zone: tzinfo) -> Footage:
    """Files, folders, and spans such as `2026-11-20 22:00..2026-11-21 05:00`.

    Raises UsageError for spans that cannot be read or are empty, InputError for files that are
    missing or no videos.
    """
    videos: list[Path] = []
    spans = []
    for text in texts:
        path = Path(text)
        if path.exists():
            videos += _readable(path)
        elif SEPARATOR in text:
            spans.append(_span(text, now, zone))
        else:
            raise InputError(
                "there is no such file, and it is no span of time",
                where=text,
                remedy="name a recording, or write 2026-11-20 22:00..2026-11-21 05:00",
            )
    return Footage(tuple(videos), tuple(spans))


def _readable(path: Path) -> list[Path]:
    """The recordings there; found out before hours of others are replayed."""
    found = list(videos_in([path]))
    if not found:
        raise InputError(
            "there is no video in it", where=str(path), remedy="name a video, or a folder of them"
        )
    for video in found:
        probe_recording(video)
    return found


def _span(text: str, now: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    first, _, last = text.partition(SEPARATOR)
    since = parse_moment(first, now=now, zone=zone)
    until = parse_moment(last, now=now, zone=zone)
    if until <= since:
        raise UsageError(
            f"the span {text!r} is empty: its end is not after its start",
            remedy="exchange the two, or write dates with the times",
        )
    return since, until


def history_traces(
    engine: Engine,
    camera: str,
    zone: str,
    spans: Sequence[tuple[datetime, datetime]],
    guards: GuardConfig,
    *,
    weighs: bool = True,
) -> list[Trace]:
    """The stored scores of each span, held back where scene guards held them. Unless the zone
    `weighs` scores against its background, they are taken for what they say.

    Raises InputError for a span of which nothing is kept.
    """
    traces = []
    for since, until in spans:
        name = f"{_minute(since)}..{_minute(until)} UTC"
        trace = from_history(name, score_history(engine, camera, zone, since, until), since)
        if trace.at.size < 2:
            raise InputError(
                "no scores are kept of this span",
                where=f"{camera}/{zone}, {name}",
                remedy=_kept(engine, camera, zone),
            )
        health = camera_health(engine, camera=camera, since=since, until=until, limit=MOST_HEALTH)
        trace = trace if weighs else replace(trace, counted=None)
        traces.append(guarded(trace, health, guards))
    return traces


def _minute(moment: datetime) -> str:
    """With its seconds, if it has any."""
    whole = (moment.second, moment.microsecond) == (0, 0)
    return f"{moment:%Y-%m-%d %H:%M}" if whole else f"{moment:%Y-%m-%d %H:%M:%S}"


def _kept(engine: Engine, camera: str, zone: str) -> str:
    for known_camera, known_zone, first, last in known_history(engine):
        if (known_camera, known_zone) == (camera, zone):
            return f"there are scores from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    return "there are none at all: is `history.enabled` on, and has the monitor been running?"


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars on stderr that go away when the work is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    bars = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    with bars:
        yield bars


def replayed(
    videos: Sequence[Path],
    inference: InferenceConfig,
    name: str,
    camera: CameraConfig,
    bars: Progress,
    *,
    every_picture: bool = True,
    listening: Callable[[], Hear] = lambda: lambda _score, _counted: None,
) -> Iterator[ReplayResult]:
    """Each recording scored. With `every_picture` at the full sampling rate all along, so that no
    threshold of today decides what is known. Who is `listening` hears each recording's scores, and
    what presence took them for."""
    settings = camera
    if every_picture:
        settings = camera.model_copy(update={"decode": DecodePolicy.ALL})
    with Replayer(inference) as replayer:
        for path in videos:
            task = bars.add_task(path.name, total=probe_recording(path).duration_s or None)
            hear = listening()
            yield replayer.run(
                path, name, settings, on_progress=_advancing(bars, task), on_score=hear
            )
            bars.remove_task(task)


def _advancing(bars: Progress, task: TaskID) -> Callable[[float], None]:
    def advance(seconds: float) -> None:
        bars.update(task, completed=seconds)

    return advance


def replay_traces(
    results: Sequence[ReplayResult], zone: str, truth: dict[str, list[Span]] | None = None
) -> list[Trace]:
    """The zone's scores of each recording, with the visits that `truth` knows of."""
    traces = []
    for result in results:
        name = Path(result.source).name
        scores = [
            (point.at_s, point.value, point.sensed) for point in result.scores if point.zone == zone
        ]
        trace = from_sensed(name, scores)
        visits = (truth or {}).get(name, [])
        traces.append(replace(trace, visits=tuple(visits)))
    return traces


def now_utc() -> datetime:
    """The present."""
    return datetime.now(UTC)
