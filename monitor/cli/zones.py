"""`events now|at|ratio|days|overlaps|gaps`: when zones were occupied, vacant, or not seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.asking import (
    CameraOption,
    SinceOption,
    UntilOption,
    Words,
    ZoneOption,
    require_known,
)
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import ConfigOption, DbOption, TimezoneOption, open_memory
from monitor.errors import UsageError
from monitor.events.coverage import Gap, coverage_gaps
from monitor.events.overlaps import Overlap, find_overlaps
from monitor.events.periods import Period
from monitor.events.places import Where
from monitor.events.queries import EventFilter
from monitor.events.ratios import Day, Ratio, occupancy_ratios, presence_days
from monitor.events.zones import ZoneAt, zone_states


def now(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Tell of each zone whether it is occupied, vacant, or not seen, and since when.

    "Not seen" is not "vacant": the camera is away or the monitor does not run, and nobody can say.

    Example: `run_monitor.py events now --camera dock`
    """
    _print_states(None, db, config, Where(camera, zone), timezone, output)


def at(
    moment: Annotated[
        str, typer.Argument(metavar="MOMENT", help='Such as 14:05, "yesterday 22:00", 3h, ISO.')
    ],
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Tell of each zone whether it was occupied, vacant, or not seen at a moment.

    Example: `run_monitor.py events at "yesterday 22:00" --zone gate`
    """
    _print_states(moment, db, config, Where(camera, zone), timezone, output)


def ratio(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    by: Annotated[
        Period, typer.Option(help="Each hour or day, or all of a name together.")
    ] = Period.DAY,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Tell how much of the time it was seen each zone was occupied, by hours or days.

    Occupied, vacant and not seen add up to the whole; the ratio is occupied / (occupied + vacant),
    and empty where nothing was seen. A zone counts from when it was first seen. Hours and days are
    those of the time zone, clock changes included.

    Example: `run_monitor.py events ratio --camera dock --since monday --by hour-of-day`
    """
    words = Words.of(timezone)
    wanted = words.span(camera, zone, since, until)
    with open_memory(db, config) as engine:
        found = occupancy_ratios(engine, wanted, by=by, now=words.now, zone=words.zone)
        _print(Ratio, (asdict(line) for line in found), words, output, without={"start"})


def days(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Tell the first and the last presence in each zone on each day.

    A stay past midnight counts in both days, with that day's part. A day without any has empty
    times; "not seen" tells how much of it nobody can speak of.

    Example: `run_monitor.py events days --camera dock --since 2026-03-01 --format csv`
    """
    words = Words.of(timezone)
    wanted = words.span(camera, zone, since, until)
    with open_memory(db, config) as engine:
        found = presence_days(engine, wanted, now=words.now, zone=words.zone)
        _print(Day, (asdict(line) for line in found), words, output)


def overlaps(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: CameraOption = None,
    zone: ZoneOption = None,
    other: Annotated[
        str | None,
        typer.Option("--with", metavar="CAMERA[/ZONE]", help="Only together with these."),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List when two zones were occupied at the same time.

    --camera and --zone choose one of the two, --with the other.

    Example: `run_monitor.py events overlaps --camera dock --with hall/door --since 7d`
    """
    words = Words.of(timezone)
    wanted = words.span(camera, zone, since, until)
    with open_memory(db, config) as engine:
        found = find_overlaps(engine, wanted, words.now, other=_where(other))
        rows = (_with_length(line) for line in found)
        _print(Overlap, rows, words, output, "lasted_s", without={"event_id", "other_event_id"})


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
    words = Words.of(timezone)
    wanted = words.span(camera, zone, since, until)
    with open_memory(db, config) as engine:
        rows = (_with_length(gap) for gap in coverage_gaps(engine, wanted, words.now))
        columns = ("camera", "zone", "start", "end", "lasted_s")
        print_rows((words.row(row, output) for row in rows), columns, output)


def _with_length(span: Overlap | Gap) -> dict[str, Any]:
    return asdict(span) | {"lasted_s": (span.end - span.start).total_seconds()}


def _print_states(
    moment: str | None,
    db: str | None,
    config: Path | None,
    where: Where,
    timezone: str | None,
    output: Format,
) -> None:
    words = Words.of(timezone)
    with open_memory(db, config) as engine:
        found = zone_states(engine, where, words.now, words.moment(moment))
        if all(state.since is None for state in found):
            require_known(engine, EventFilter(*where), config)
    _print(ZoneAt, (asdict(state) for state in found), words, output)


def _print(
    kind: type,
    rows: Iterator[dict[str, Any]],
    words: Words,
    output: Format,
    *more: str,
    without: Collection[str] = (),
) -> None:
    """Dataclasses as rows; `without` some of their fields where they are read by people."""
    hidden = without if output is Format.TABLE else ()
    columns = [field.name for field in fields(kind) if field.name not in hidden]
    print_rows((words.row(row, output) for row in rows), [*columns, *more], output)


def _where(place: str | None) -> Where | None:
    """A camera, or camera/zone."""
    if place is None:
        return None
    camera, _, zone = place.partition("/")
    if not camera:
        raise UsageError(f"{place!r} names no camera", remedy="write CAMERA or CAMERA/ZONE")
    return Where(camera, zone or None)
