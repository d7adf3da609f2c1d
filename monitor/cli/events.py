"""`events list|show|stats`: what the memory knows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Engine

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import (
    ConfigOption,
    DbOption,
    TimezoneOption,
    find_storage,
    find_timezone,
)
from monitor.config import load_config
from monitor.errors import UsageError
from monitor.events.coverage import coverage_gaps
from monitor.events.database import open_database
from monitor.events.models import OccupancyEvent
from monitor.events.moments import parse_moment
from monitor.events.queries import (
    LARGEST_PAGE,
    EventFilter,
    all_events,
    find_events,
    get_event,
    known_zones,
)
from monitor.events.schema import require_current
from monitor.events.statistics import Grouping, occupancy
from monitor.messages import WHOLE_FRAME

app = typer.Typer(help="Show who was where, and when.", no_args_is_help=True)

CameraOption = Annotated[str | None, typer.Option(help="Only this camera.")]
ZoneOption = Annotated[str | None, typer.Option(help="Only zones of this name.")]
SinceOption = Annotated[
    str | None,
    typer.Option(help="From this moment on: 2h (ago), today, yesterday 22:00, monday 8:30, ISO."),
]
UntilOption = Annotated[str | None, typer.Option(help="Before this moment.")]

_COLUMNS = ("start", "end", "lasted", "camera", "zone", "peak", "reason", "id")
_FIELDS = (
    "id",
    "camera",
    "zone",
    "started_at",
    "confirmed_at",
    "last_seen_at",
    "ended_at",
    "end_reason",
    "duration_s",
    "peak_score",
    "mean_score",
    "score_count",
    "model_id",
    "snapshot",
)


@app.command("list")
def list_events(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    at: Annotated[str | None, typer.Option(help="Going on at this moment.")] = None,
    open_only: Annotated[
        bool, typer.Option("--open", help="Only those that have not ended.")
    ] = False,
    overlapping: Annotated[
        bool,
        typer.Option(
            "--overlapping", help="All that share a moment with the span, not only starts in it."
        ),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most events shown.")] = 100,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List occupancy events, newest first.

    An event is one stay in one zone of one camera; without an end it is still open. Without
    --overlapping, the span selects events that start in it. The table shows local times, JSON
    and CSV show UTC.

    Example: `run_monitor.py events list --camera dock --since "yesterday 22:00" --overlapping`
    """
    words = _Words(datetime.now(UTC), find_timezone(timezone))
    wanted = EventFilter(
        camera=camera,
        zone=zone,
        since=words.moment(since),
        until=words.moment(until),
        moment=words.moment(at),
        open_only=open_only,
        overlapping=overlapping,
        limit=min(limit, LARGEST_PAGE),
    )
    with _memory(db, config) as engine:
        if not find_events(engine, wanted).events:
            _require_known(engine, wanted, config)
        found = islice(all_events(engine, wanted), limit)
        if output is Format.TABLE:
            print_rows((_line(event, words) for event in found), _COLUMNS, output)
        else:
            print_rows((_record(event) for event in found), _FIELDS, output)


@app.command()
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    db: DbOption = None,
    config: ConfigOption = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show all that is known of one event: times, scores, model, and thresholds in force.

    Example: `run_monitor.py events show 8f14e45f-ceea-467f-a0e6-1d2c3b4a5968`
    """
    words = _Words(datetime.now(UTC), find_timezone(timezone))
    try:
        wanted = UUID(event_id)
    except ValueError as error:
        raise UsageError(
            f"{event_id!r} is no event id", remedy="`run_monitor.py events list` shows them"
        ) from error
    with _memory(db, config) as engine:
        event = get_event(engine, wanted)
    if event is None:
        raise UsageError(
            f"there is no event {wanted}", remedy="`run_monitor.py events list` shows those kept"
        )
    record = _record(event) | {"settings": event.settings}
    if output is not Format.TABLE:
        print_rows([record], [*_FIELDS, "settings"], output)
        return
    local = {
        key: value.astimezone(words.zone) if isinstance(value, datetime) else value
        for key, value in record.items()
    }
    print_rows(
        [{"field": key, "value": value} for key, value in local.items()], ["field", "value"], output
    )


@app.command()
def stats(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    by: Annotated[Grouping, typer.Option(help="A line for each of these.")] = Grouping.CAMERA,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Count stays and add up occupied time, by camera, zone, or camera and local day.

    Stays are cut to the span. One that goes on past midnight counts in each of its days.

    Example: `run_monitor.py events stats --since "monday" --by day --format csv`
    """
    words = _Words(datetime.now(UTC), find_timezone(timezone))
    wanted = EventFilter(
        camera=camera, zone=zone, since=words.moment(since), until=words.moment(until)
    )
    with _memory(db, config) as engine:
        lines = occupancy(engine, wanted, by=by, now=words.now, zone=words.zone)
        if not lines:
            _require_known(engine, wanted, config)
    grouped = {Grouping.CAMERA: [], Grouping.ZONE: ["zone"], Grouping.DAY: ["day"]}[by]
    columns = ["camera", *grouped, "events", "open", "occupied_s", "longest_s"]
    print_rows(
        (
            {
                "camera": line.camera,
                **({"zone": line.zone} if line.zone is not None else {}),
                **({"day": line.day.isoformat()} if line.day is not None else {}),
                "events": line.events,
                "open": line.open,
                "occupied_s": round(line.occupied_s, 3),
                "longest_s": round(line.longest_s, 3),
            }
            for line in lines
        ),
        columns,
        output,
    )


@app.command()
def gaps(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List when zones were not seen: camera away, monitor down, or presence not yet known.

    "Not seen" is not "empty": within a gap nobody can say whether somebody was there. A zone
    counts from when it was first seen. The table shows local times, JSON and CSV show UTC.

    Example: `run_monitor.py events gaps --since "yesterday" --until "today"`
    """
    words = _Words(datetime.now(UTC), find_timezone(timezone))
    wanted = EventFilter(
        camera=camera, zone=zone, since=words.moment(since), until=words.moment(until)
    )
    with _memory(db, config) as engine:
        found = coverage_gaps(engine, wanted, words.now)
    local = words.shown if output is Format.TABLE else (lambda moment: moment)
    print_rows(
        (
            {
                "camera": gap.camera,
                "zone": gap.zone,
                "start": local(gap.start),
                "end": local(gap.end),
                "lasted_s": round((gap.end - gap.start).total_seconds(), 3),
            }
            for gap in found
        ),
        ("camera", "zone", "start", "end", "lasted_s"),
        output,
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """How this user speaks of time."""

    now: datetime
    zone: tzinfo

    def moment(self, text: str | None) -> datetime | None:
        return parse_moment(text, now=self.now, zone=self.zone) if text is not None else None

    def shown(self, moment: datetime | None) -> str:
        return f"{moment.astimezone(self.zone):%Y-%m-%d %H:%M:%S}" if moment else ""


@contextmanager
def _memory(db: str | None, config: Path | None) -> Iterator[Engine]:
    engine = open_database(find_storage(db, config).url)
    try:
        require_current(engine)
        yield engine
    finally:
        engine.dispose()


def _require_known(engine: Engine, wanted: EventFilter, config: Path | None) -> None:
    """Nothing was found: say so if it is because a name is wrong."""
    known = set(known_zones(engine))
    if config is not None:
        for name, camera in load_config(config, look=False).cameras.items():
            known |= {(name, zone) for zone in camera.zones or (WHOLE_FRAME,)}
    _require_name("camera", wanted.camera, {camera for camera, _ in known})
    _require_name("zone", wanted.zone, {zone for _, zone in known})
    if sys.stderr.isatty():
        sys.stderr.write("no events\n")


def _require_name(what: str, name: str | None, names: set[str]) -> None:
    if name is not None and names and name not in names:
        shown = ", ".join(sorted(names)[:20])
        raise UsageError(f"there is no {what} {name!r}", remedy=f"there are: {shown}")


def _record(event: OccupancyEvent) -> dict[str, Any]:
    record = {field: getattr(event, field) for field in _FIELDS if field != "duration_s"}
    ended = event.ended_at
    return record | {
        "id": str(event.id),
        "end_reason": event.end_reason.value if event.end_reason else None,
        "duration_s": (ended - event.started_at).total_seconds() if ended else None,
    }


def _line(event: OccupancyEvent, words: _Words) -> dict[str, Any]:
    lasted = (event.ended_at or max(words.now, event.started_at)) - event.started_at
    return {
        "start": words.shown(event.started_at),
        "end": words.shown(event.ended_at),
        "lasted": str(timedelta(seconds=round(lasted.total_seconds()))),
        "camera": event.camera,
        "zone": event.zone,
        "peak": f"{event.peak_score:.3f}",
        "reason": event.end_reason.value if event.end_reason else "open",
        "id": str(event.id),
    }
