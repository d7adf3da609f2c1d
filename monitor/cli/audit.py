"""`audit list|verify`: who did what, and whether anybody changed that record since."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import (
    ConfigOption,
    DbOption,
    TimezoneOption,
    find_timezone,
    open_memory,
)
from monitor.errors import MonitorError
from monitor.events.moments import parse_moment
from monitor.storage.audit import find_entries
from monitor.storage.chain import parse_anchor
from monitor.storage.chain import verify as verify_chain

app = typer.Typer(
    help="Show the audit log, and prove that nobody changed it.", no_args_is_help=True
)

_COLUMNS = ("seq", "at", "actor", "action", "subject", "details")


@app.command("list")
def list_entries(
    db: DbOption = None,
    config: ConfigOption = None,
    action: Annotated[
        str | None, typer.Option(help="Only these: config, delete, export, hold, acknowledged …")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this one did.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From this moment on: 2h (ago), yesterday 22:00, ISO.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show at most so many.")] = 100,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the audit log, newest first: what was changed, deleted, exported, and by whom.

    The table shows local times, JSON and CSV show UTC and the hashes, too.

    Example: `run_monitor.py audit list --action delete --since "monday"`
    """
    zone = find_timezone(timezone)
    moment = parse_moment(since, now=datetime.now(UTC), zone=zone) if since else None
    with open_memory(db, config) as engine:
        found = find_entries(engine, action=action, actor=actor, since=moment, limit=limit)
    if output is Format.TABLE:
        rows = [
            {
                **{name: getattr(row, name) for name in _COLUMNS},
                "at": f"{row.at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
                "details": _plain(row.details),
            }
            for row in found
        ]
        print_rows(rows, _COLUMNS, output)
        return
    columns = (*_COLUMNS, "prev_hash", "hash")
    print_rows(({name: getattr(row, name) for name in columns} for row in found), columns, output)


@app.command()
def verify(
    db: DbOption = None,
    config: ConfigOption = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER:HASH", help="An entry noted earlier; it must still be in the log."
        ),
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Walk the whole chain and name the first entry that was tampered with. Exits 1 then.

    Found are entries that were changed, deleted, inserted or moved, and an end that was cut off.
    Whoever can write the whole database can also make all of it anew: against that, note the
    printed anchor where they cannot write, and hand it in with --anchor the next time.

    Example: `run_monitor.py audit verify --anchor 17:3fcd9a44…`
    """
    wanted = parse_anchor(anchor) if anchor is not None else None
    with open_memory(db, config) as engine:
        verdict = verify_chain(engine, wanted)
    fault = verdict.fault
    if output is Format.TABLE:
        sys.stdout.write(f"{verdict.entries} entries are as they were written\n")
        if fault is None:
            sys.stdout.write(f"anchor {verdict.head}\n")
        else:
            sys.stdout.write(f"entry {fault.seq} {fault.what}\n")
    else:
        row = {
            "entries": verdict.entries,
            "intact": fault is None,
            "anchor": str(verdict.head),
            "first_bad": fault.seq if fault else None,
            "what": fault.what if fault else None,
        }
        print_rows([row], list(row), output)
    if fault is not None:
        raise typer.Exit(MonitorError.exit_code)


def _plain(details: str) -> str:
    """The details as people read them; what is no JSON any more, as it is."""
    try:
        fields = json.loads(details)
    except ValueError:
        return details
    if not isinstance(fields, dict):
        return details
    return ", ".join(f"{key}: {value}" for key, value in fields.items() if value not in ("", None))
