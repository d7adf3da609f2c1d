"""`events …`: what the memory knows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import Engine

from monitor.cli import zones
from monitor.cli.alerts import WhoOption, who_am_i
from monitor.cli.asking import (
    CameraOption,
    OverlappingOption,
    SinceOption,
    UntilOption,
    Words,
    ZoneOption,
    event_id,
    require_known,
)
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import ConfigOption, DbOption, TimezoneOption, open_memory
from monitor.errors import UsageError
from monitor.events.export import export_events
from monitor.events.models import OccupancyEvent
from monitor.events.queries import LARGEST_PAGE, EventFilter, all_events, get_event
from monitor.events.records import FIELDS, event_record
from monitor.events.statistics import Grouping, occupancy
from monitor.events.stays import longest_stays
from monitor.storage.audit import record

app = typer.Typer(help="Show who was where, and when.", no_args_is_help=True)

LimitOption = Annotated[int, typer.Option(min=1, help="Most events shown.")]

_COLUMNS = ("start", "end", "lasted", "camera", "zone", "peak", "reason", "id")
_FIELDS = tuple(name for name in FIELDS if name != "settings")


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
    overlapping: OverlappingOption = False,
    limit: LimitOption = 100,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List occupancy events, newest first.

    An event is one stay in one zone of one camera; without an end it is still open. Without
    --overlapping, the span selects events that start in it. The table shows local times, JSON
    and CSV show UTC.

    Example: `run_monitor.py events list --camera dock --since "yesterday 22:00" --overlapping`
    """
    words = Words.of(timezone)
    wanted = replace(
        words.span(camera, zone, since, until),
        moment=words.moment(at),
        open_only=open_only,
        overlapping=overlapping,
    )
    _print_events(wanted, limit, words, output, db, config)


@app.command()
def ungranted(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    overlapping: OverlappingOption = False,
    limit: LimitOption = 100,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List events for which nobody held a grant, newest first.

    A grant covers a stay when it was valid for at least a moment of it: not yet over, used up or
    revoked when the stay began, and begun before it ended. `grants list --all` shows them.

    Example: `run_monitor.py events ungranted --since "yesterday 18:00" --until "today 6:00"`
    """
    words = Words.of(timezone)
    span = words.span(camera, zone, since, until)
    wanted = replace(span, overlapping=overlapping, ungranted=True)
    _print_events(wanted, limit, words, output, db, config)


@app.command()
def longest(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    overlapping: OverlappingOption = False,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_PAGE, help="How many.")] = 10,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the longest stays of a span, whole, the longest first.

    One that goes on lasts until its zone was last seen. The database looks at every event of the
    span, so over years of many cameras it takes its time.

    Example: `run_monitor.py events longest --camera dock --since monday --limit 5`
    """
    words = Words.of(timezone)
    span = words.span(camera, zone, since, until)
    wanted = replace(span, overlapping=overlapping, limit=limit)
    with open_memory(db, config) as engine:
        stays = longest_stays(engine, wanted, words.now)
        if not stays:
            require_known(engine, wanted, config)
    if output is Format.TABLE:
        print_rows((_line(stay.event, words, stay.end) for stay in stays), _COLUMNS, output)
    else:
        rows = (event_record(stay.event) | {"lasted_s": stay.seconds} for stay in stays)
        print_rows(rows, (*_FIELDS, "lasted_s"), output)


@app.command()
def export(
    target: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="Ends in .csv, .json, .jsonl or .parquet.")
    ],
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    overlapping: OverlappingOption = False,
    ungranted: Annotated[
        bool, typer.Option("--ungranted", help="Only those for which nobody held a grant.")
    ] = False,
    timezone: TimezoneOption = None,
    who: WhoOption = None,
) -> None:
    """Write events to a file, oldest first, with every field; times are UTC.

    However many there are, they are read page by page. The file gets its name once it is whole,
    in the place of one that had it. The audit log notes who exported what. Parquet needs
    `pip install 'presence-monitor[parquet]'`.

    Example: `run_monitor.py events export --to march.parquet --since 2026-03-01 --until 2026-04-01`
    """
    words = Words.of(timezone)
    span = words.span(camera, zone, since, until)
    wanted = replace(span, overlapping=overlapping, ungranted=ungranted)
    with open_memory(db, config) as engine, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("events", total=None)
        count = export_events(
            engine,
            wanted,
            target,
            on_page=lambda done: progress.update(task, completed=done),
            before_naming=lambda rows: _note_export(engine, wanted, target, who, rows),
        )
    sys.stdout.write(f"{target}: {count} events\n")


@app.command()
def show(
    event: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    db: DbOption = None,
    config: ConfigOption = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show all that is known of one event: times, scores, model, and thresholds in force.

    Example: `run_monitor.py events show 8f14e45f-ceea-467f-a0e6-1d2c3b4a5968`
    """
    words = Words.of(timezone)
    wanted = event_id(event)
    with open_memory(db, config) as engine:
        found = get_event(engine, wanted)
    if found is None:
        raise UsageError(
            f"there is no event {wanted}", remedy="`run_monitor.py events list` shows those kept"
        )
    record = event_record(found)
    if output is not Format.TABLE:
        print_rows([record], FIELDS, output)
        return
    shown = words.row(record, output).items()
    print_rows([{"field": key, "value": value} for key, value in shown], ["field", "value"], output)


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
    words = Words.of(timezone)
    wanted = words.span(camera, zone, since, until)
    with open_memory(db, config) as engine:
        lines = occupancy(engine, wanted, by=by, now=words.now, zone=words.zone)
        if not lines:
            require_known(engine, wanted, config)
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


def _print_events(
    wanted: EventFilter,
    limit: int,
    words: Words,
    output: Format,
    db: str | None,
    config: Path | None,
) -> None:
    wanted = replace(wanted, limit=min(limit, LARGEST_PAGE))
    with open_memory(db, config) as engine:
        found: Iterator[OccupancyEvent] = islice(all_events(engine, wanted), limit)
        first = next(found, None)
        if first is None:
            require_known(engine, wanted, config)
        else:
            found = chain((first,), found)
        if output is Format.TABLE:
            print_rows((_line(event, words) for event in found), _COLUMNS, output)
        else:
            print_rows((_without_settings(event) for event in found), _FIELDS, output)


def _without_settings(event: OccupancyEvent) -> dict[str, Any]:
    record = event_record(event)
    del record["settings"]
    return record


def _line(event: OccupancyEvent, words: Words, end: datetime | None = None) -> dict[str, Any]:
    lasted = (end or event.ended_at or max(words.now, event.started_at)) - event.started_at
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


def _note_export(
    engine: Engine, wanted: EventFilter, target: Path, who: str | None, rows: int
) -> None:
    """Who exported what; a file that cannot be noted is not handed out."""
    asked = {name: value for name, value in asdict(wanted).items() if value not in (None, False)}
    details = asked | {"rows": rows}
    record(engine, actor=who_am_i(who), action="export", subject=target.name, details=details)


for _command in (zones.now, zones.at, zones.ratio, zones.days, zones.overlaps, zones.gaps):
    app.command()(_command)
