"""`explain`: why an event was told, from the score history or from a recording."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from monitor.cli.footage import progress_bars, replayed
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.replay import replay_settings
from monitor.cli.storage import ConfigOption, DbOption, TimezoneOption, find_storage, find_timezone
from monitor.config import load_config
from monitor.config.base import parse_duration
from monitor.config.guards import GuardConfig
from monitor.errors import InputError, UsageError
from monitor.events.database import open_database
from monitor.events.health import camera_health
from monitor.events.history import score_history
from monitor.events.models import OccupancyEvent
from monitor.events.queries import get_event
from monitor.events.schema import require_current
from monitor.presence import zone_settings
from monitor.presence.metrics import Span
from monitor.replay import camera_name
from monitor.review.explain import Explanation, explain, noted_evidence, settings_in_force
from monitor.review.explain_plot import draw
from monitor.review.guarded import guarded
from monitor.review.story import Moment
from monitor.review.trace import from_history, from_sensed

MOST_DRAWN = 12
"""Events of a recording on one plot."""

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class _Told:
    """An explanation with its heading; `start` dates the seconds of its lines, if that is known."""

    title: str
    explanation: Explanation
    facts: dict[str, Any]
    start: datetime | None


@app.command("explain")
def explain_command(
    what: Annotated[str, typer.Argument(metavar="EVENT_ID|VIDEO", help="Which event, or film.")],
    db: DbOption = None,
    config: ConfigOption = None,
    camera: Annotated[
        str | None, typer.Option(help="Recordings: whose settings and zones to use.")
    ] = None,
    around: Annotated[
        str, typer.Option(help="How much time before and after the event to look at.")
    ] = "30s",
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Draw scores and thresholds.")
    ] = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Say why an event opened and closed: scores, level, thresholds in force, and the waiting.

    Of an event the scores, and what each counted for beside the empty zone, are taken from the
    score history (a second each: least, mean, most), the settings from the event itself. A
    recording is replayed, and each of its events is explained from every single score, what that
    counted for, and why: how far it lay above what the empty zone scores, and how much of the
    picture differed from it. Of an event that is noted for the score that confirmed it. What scene
    guards held back is held back; of a stored event camera health tells it. Where the run still
    does not tell the event when it was told, that is said.

    --plot draws scores, what they counted for, and below, in log-odds, what was added or taken off.

    Example: `run_monitor.py explain 8f14e45f-ceea-467f-a0e6-1d2c3b4a5968 --plot why.png`
    """
    seconds = parse_duration_option(around)
    if Path(what).exists():
        told = _of_recording(Path(what), config, camera, seconds)
        if not told and output is Format.TABLE:
            sys.stderr.write("no event was told in this recording\n")
    else:
        told = [_of_event(_event_id(what), db, config, seconds)]
    if plot is not None and told:
        drawn = told[:MOST_DRAWN]
        draw([each.explanation for each in drawn], [each.title for each in drawn], plot)
        if len(drawn) < len(told):
            sys.stderr.write(f"{plot} shows the first {len(drawn)} of {len(told)} events\n")
    zone = find_timezone(timezone)
    for each in told:
        _print(each, output, zone)


def parse_duration_option(text: str) -> float:
    """Seconds of an option. Raises UsageError for what is no duration."""
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}", remedy="--around 30s") from error


def _event_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is neither a file nor an event id",
            remedy="`run_monitor.py events list` shows the ids",
        ) from error


def _of_event(event_id: UUID, db: str | None, config: Path | None, around: float) -> _Told:
    engine = open_database(find_storage(db, config).url)
    try:
        require_current(engine)
        event = get_event(engine, event_id)
        if event is None:
            raise UsageError(
                f"there is no event {event_id}", remedy="`run_monitor.py events list` shows them"
            )
        settings = settings_in_force(event.settings)
        last = event.ended_at or event.last_seen_at
        since = (event.started_at - timedelta(seconds=around)).replace(microsecond=0)
        waiting = timedelta(seconds=settings.exit_after + settings.merge_within + around)
        until = min(last + waiting, datetime.now(UTC))
        history = score_history(engine, event.camera, event.zone, since, until)
        health = camera_health(engine, camera=event.camera, since=since, until=until)
    finally:
        engine.dispose()
    trace = from_history(str(event_id), history, since)
    trace = guarded(trace, health, _guards(event.camera, config))
    noted = noted_evidence(event.settings)
    if trace.at.size < 2:
        raise InputError(
            "no scores of this event are kept",
            where=f"{event.camera}/{event.zone}, {event.started_at:%Y-%m-%d %H:%M:%S} UTC",
            remedy="they come up to a minute late, and go with retention.score_history",
        )
    start, confirmed, end = (
        (moment - since).total_seconds() for moment in (event.started_at, event.confirmed_at, last)
    )
    span = Span(start, max(end, start), confirmed)
    if noted is not None:
        trace = trace.noted(noted, confirmed)
    title = f"event {event.id}, {event.camera}/{event.zone}"
    return _Told(title, explain(trace, settings, span), _facts(event), since)


def _guards(camera: str, config: Path | None) -> GuardConfig:
    """The camera's guards as they are configured now; without a configuration, the defaults."""
    cameras = load_config(config, look=False).cameras if config else {}
    return cameras[camera].guards if camera in cameras else GuardConfig()


def _facts(event: OccupancyEvent) -> dict[str, Any]:
    return {
        "event": str(event.id),
        "camera": event.camera,
        "zone": event.zone,
        "started_at": event.started_at.isoformat(),
        "confirmed_at": event.confirmed_at.isoformat(),
        "ended_at": event.ended_at.isoformat() if event.ended_at else None,
        "end_reason": event.end_reason.value if event.end_reason else None,
        "peak_score": event.peak_score,
        "mark": event.mark.value if event.mark else None,
    }


def _of_recording(
    path: Path, config: Path | None, camera: str | None, around: float
) -> list[_Told]:
    inference, settings = replay_settings(config, camera, None, None)
    name = camera or camera_name(path)
    with progress_bars() as bars:
        [result] = replayed([path], inference, name, settings, bars, every_picture=False)
    zones = zone_settings(settings)
    told = []
    for number, event in enumerate(result.events, start=1):
        scores = [
            (point.at_s, point.value, point.sensed)
            for point in result.scores
            if point.zone == event.zone
        ]
        span = Span(event.start_s, event.end_s, event.confirmed_s)
        settings_there = zones[event.zone]
        waiting = settings_there.exit_after + settings_there.merge_within
        trace = from_sensed(path.name, scores).part(
            span.start - around, span.end + waiting + around
        )
        explanation = explain(trace, settings_there, span)
        facts = {"recording": str(path), "zone": event.zone, "event": number}
        told.append(_Told(f"event {number} of {path.name}, {event.zone}", explanation, facts, None))
    return told


def _print(told: _Told, output: Format, zone: tzinfo) -> None:
    explanation = told.explanation
    rows = [{"at": _when(told, line.at, zone), "what": line.text} for line in explanation.lines]
    if output is Format.JSON:
        record = {
            **told.facts,
            "settings": explanation.settings.model_dump(mode="json"),
            "reproduced": explanation.agrees,
            "lines": [
                {"at_s": round(line.at - explanation.event.start, 3), "what": line.text}
                for line in explanation.lines
            ],
            "scores": [_moment(moment, explanation.event.start) for moment in explanation.moments],
        }
        sys.stdout.write(json.dumps(record) + "\n")
        return
    print_rows(rows, ("at", "what"), output, title=told.title)
    if not explanation.agrees:
        sys.stderr.write(
            "the scores that are kept do not tell this event when it was told: the history is "
            "coarser than what was seen, or does not know what the scores counted for\n"
        )


def _moment(moment: Moment, zero: float) -> dict[str, Any]:
    """One score for programs; what is not known of it is None."""
    why = moment.weighed
    return {
        "at_s": round(moment.at - zero, 3),
        "score": round(moment.score, 4),
        "counts": round(moment.counts, 4),
        "gain": round(why.gain, 3) if why else None,
        "empty_level": round(why.level, 3) if why and why.level is not None else None,
        "changed": round(why.changed, 4) if why else None,
        "moved": why.moved if why else None,
        "level": round(moment.level, 4),
        "presence": moment.presence.value,
    }


def _when(told: _Told, at: float, zone: tzinfo) -> str:
    if told.start is None:
        return f"{at:9.2f} s"
    moment = told.start + timedelta(seconds=at)
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S.%f}"[:-5]
