"""`events hold|release|held`: what retention must not delete."""

from __future__ import annotations

import sys
from datetime import UTC
from typing import Annotated

import typer

from monitor.cli.alerts import WhoOption, who_am_i
from monitor.cli.asking import event_id
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import (
    ConfigOption,
    DbOption,
    TimezoneOption,
    find_timezone,
    open_memory,
)
from monitor.clock import SystemClock
from monitor.events import holds

app = typer.Typer()

EventArgument = Annotated[str, typer.Argument(metavar="ID", help="The event's id.")]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="For the audit log.")]


@app.command()
def hold(
    event: EventArgument,
    why: WhyOption,
    who: WhoOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Put an event under legal hold: neither it nor its snapshot is deleted, whatever its age.

    The database itself refuses, whoever asks. Who held it and why is in the audit log.

    Example: `run_monitor.py events hold 8f14e45f-ceea-467f-a0e6-1d2c3b4a5968 --why "case 7"`
    """
    with open_memory(db, config) as engine:
        now = SystemClock().now().utc
        holds.hold(engine, event_id(event), who=who_am_i(who), why=why, now=now)
    sys.stdout.write(f"{event} is held\n")


@app.command()
def release(
    event: EventArgument,
    why: WhyOption,
    who: WhoOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """End a legal hold; from then on the event is as old as it is.

    Example: `run_monitor.py events release 8f14e45f-ceea-467f-a0e6-1d2c3b4a5968 --why "closed"`
    """
    with open_memory(db, config) as engine:
        now = SystemClock().now().utc
        holds.release(engine, event_id(event), who=who_am_i(who), why=why, now=now)
    sys.stdout.write(f"{event} is held no more\n")


@app.command()
def held(
    db: DbOption = None,
    config: ConfigOption = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the events under legal hold: since when, by whom, why.

    Example: `run_monitor.py events held`
    """
    zone = find_timezone(timezone) if output is Format.TABLE else UTC
    with open_memory(db, config) as engine:
        found = holds.holds(engine)
    print_rows(
        (
            {
                "event": str(row.event_id),
                "camera": event.camera if event else None,
                "zone": event.zone if event else None,
                "start": event.started_at.astimezone(zone) if event else None,
                "held_since": row.at.astimezone(zone),
                "who": row.who,
                "why": row.why,
            }
            for row, event in found
        ),
        ("event", "camera", "zone", "start", "held_since", "who", "why"),
        output,
    )
