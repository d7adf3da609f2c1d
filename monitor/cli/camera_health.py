"""`cameras health`: what happened to the cameras' pictures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import (
    ConfigOption,
    DbOption,
    TimezoneOption,
    find_storage,
    find_timezone,
)
from monitor.events.database import open_database
from monitor.events.health import HealthSpan, camera_health
from monitor.events.moments import parse_moment
from monitor.events.schema import require_current

app = typer.Typer()

_COLUMNS = ("start", "end", "camera", "category", "kind", "detail")


@app.command()
def health(
    db: DbOption = None,
    config: ConfigOption = None,
    camera: Annotated[str | None, typer.Option(help="Only this camera.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Not over by then: 2h (ago), today, monday 8:30, ISO.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Begun before this moment.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only what goes on now.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="Most rows shown.")] = 100,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List what happened to cameras' pictures, newest first.

    tamper: covered, moved, defocused, frozen. scene_change: light or infrared switched, rain or
    insects before the infrared lamp (clutter). dark: nothing to be seen. Without an end it goes
    on. The table shows local times, JSON and CSV show UTC.

    Example: `run_monitor.py cameras health --since today --camera dock`
    """
    zone, now = find_timezone(timezone), datetime.now(UTC)

    def moment(text: str | None) -> datetime | None:
        return parse_moment(text, now=now, zone=zone) if text is not None else None

    def shown(instant: datetime | None) -> str | None:
        if instant is None or output is not Format.TABLE:
            return instant.isoformat() if instant else None
        return f"{instant.astimezone(zone):%Y-%m-%d %H:%M:%S}"

    def lines(spans: Iterator[HealthSpan]) -> Iterator[dict[str, Any]]:
        for span in spans:
            yield {
                "start": shown(span.started_at),
                "end": shown(span.ended_at),
                "camera": span.camera,
                "category": span.category.value,
                "kind": span.kind.value,
                "detail": span.detail,
            }

    engine = open_database(find_storage(db, config).url)
    try:
        require_current(engine)
        found = camera_health(
            engine,
            camera=camera,
            since=moment(since),
            until=moment(until),
            open_only=open_only,
            limit=limit,
        )
    finally:
        engine.dispose()
    print_rows(lines(iter(found)), _COLUMNS, output)
