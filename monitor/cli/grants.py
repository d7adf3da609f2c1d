"""`grants`: who may be where, and until when."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from pydantic import ValidationError
from sqlalchemy import select

from monitor.alerts import desk
from monitor.alerts.access import as_grant
from monitor.alerts.grants import valid_until
from monitor.alerts.intake import GrantRequest, Intake
from monitor.alerts.intake import revoke as end_grant
from monitor.alerts.models import GrantRow
from monitor.alerts.watching import Watching
from monitor.cli.alerts import WhoOption, who_am_i
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import (
    ConfigOption,
    DbOption,
    TimezoneOption,
    find_timezone,
    open_memory,
)
from monitor.clock import SystemClock
from monitor.config import load_config
from monitor.config.alert_checks import zone_names
from monitor.config.base import parse_duration
from monitor.errors import UsageError

app = typer.Typer(help="List, add and revoke permissions for zones.", no_args_is_help=True)


@app.command("list")
def list_grants(
    all_: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    output: FormatOption = Format.TABLE,
    timezone: TimezoneOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """List grants, the one that ends first on top.

    A grant covers whoever is in the zone: the network tells somebody from nobody and counts no
    people.

    Example: `run_monitor.py grants list`
    """
    zone, now = find_timezone(timezone), SystemClock().now().utc
    with open_memory(db, config) as engine, desk.transaction(engine) as session:
        found = session.scalars(select(GrantRow).order_by(GrantRow.until)).all()
    rows = (
        {
            "id": str(row.id),
            "zone": f"{row.camera}/{row.zone}",
            "subject": row.subject,
            "since": row.since.astimezone(zone),
            "until": row.until.astimezone(zone),
            "single_use": row.single_use,
            "used": row.used_at.astimezone(zone) if row.used_at else None,
            "revoked": row.revoked_at.astimezone(zone) if row.revoked_at else None,
            "source": row.source,
        }
        for row in found
        if all_ or valid_until(as_grant(row)) > now
    )
    columns = ("id", "zone", "subject", "since", "until", "single_use", "used", "revoked", "source")
    print_rows(rows, columns, output)


@app.command()
def add(
    zone: Annotated[str, typer.Argument(metavar="CAMERA/ZONE", help="The zone.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")],
    time: Annotated[str, typer.Option("--for", metavar="TIME", help="For how long.")] = "1h",
    subject: Annotated[str, typer.Option(help="Whom it is for: a badge, a name.")] = "",
    single_use: Annotated[
        bool, typer.Option("--single-use", help="Leaving the zone uses it up.")
    ] = False,
    who: WhoOption = None,
) -> None:
    """Grant a zone from now on.

    Example: `run_monitor.py grants add dock/gate --for 2h --subject courier -c monitor.yaml`
    """
    settings, clock = load_config(config, look=False), SystemClock()
    now = clock.now()
    try:
        until = now.shifted(parse_duration(time)).utc
        request = GrantRequest(zone=zone, until=until, subject=subject, single_use=single_use)
    except (ValidationError, ValueError, OverflowError, TypeError) as error:
        raise UsageError(
            "this is no grant",
            where=f"{zone} for {time}",
            remedy="write CAMERA/ZONE, and a time such as 30m, 2h or 1d",
        ) from error
    with open_memory(None, config) as engine:
        intake = Intake(
            engine,
            settings.alerts,
            zones=zone_names(settings),
            watching=Watching(settings.alerts, ()),
            clock=clock,
            wake=lambda: None,
        )
        (ident,) = intake.grants([request], "operator", who_am_i(who))
    sys.stdout.write(f"{ident} grants {zone} until {until.astimezone():%F %H:%M}\n")


@app.command()
def revoke(
    grant: Annotated[UUID, typer.Argument(metavar="ID", help="The grant's id.")],
    who: WhoOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """End a grant now.

    Example: `run_monitor.py grants revoke 7d0a3a0e-5a5f-5f6e-9a9e-000000000000`
    """
    with open_memory(db, config) as engine:
        row = end_grant(engine, grant, who=who_am_i(who), now=SystemClock().now().utc)
    sys.stdout.write(f"{row.id} is revoked\n")
