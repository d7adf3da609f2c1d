"""`db upgrade|backup|restore|check`: care for the database."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.alerts import WhoOption, who_am_i
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import ConfigOption, DbOption, find_storage
from monitor.clock import SystemClock
from monitor.config import LoggingConfig
from monitor.errors import MonitorError
from monitor.events.backup import back_up
from monitor.events.backup import restore as put_back
from monitor.events.database import describe, open_database, parse_url
from monitor.events.integrity import check_database
from monitor.events.repair import Repairer
from monitor.events.schema import migrate
from monitor.events.snapshots import SnapshotStore
from monitor.storage.ownership import Ownership
from monitor.telemetry import configure_logging

app = typer.Typer(
    help="Create, upgrade, check, copy and trim the event database.", no_args_is_help=True
)


@app.command()
def upgrade(db: DbOption = None, config: ConfigOption = None) -> None:
    """Bring the database to the schema of this version; create it if there is none.

    `run` does the same at its start. A database that a newer version has upgraded is refused
    and left as it is.

    Example: `run_monitor.py db upgrade --db sqlite:///var/monitor.db`
    """
    configure_logging(LoggingConfig())
    url = find_storage(db, config).url
    revision = migrate(url)
    sys.stdout.write(f"{describe(parse_url(url))} has schema {revision}\n")


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes; new.")],
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Copy a SQLite database to FILE while the monitor runs.

    The copy is checked before it gets its name; `db restore` puts it back. Snapshots are ordinary
    files; copy their folder after the database. PostgreSQL and MariaDB have tools of their own.

    Example: `run_monitor.py db backup /backup/monitor-monday.db`
    """
    size = back_up(find_storage(db, config).url, target)
    sys.stdout.write(f"{target}: {size} bytes\n")


@app.command()
def restore(
    copy: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that `db backup` made.")],
    who: WhoOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Put a copy in the place of a SQLite database; the monitor must be stopped.

    The copy is checked first. The old database is not deleted but renamed. Afterwards run
    `db check`: events since the copy are gone, so their snapshots are strays now.

    Example: `run_monitor.py db restore /backup/monitor-monday.db`
    """
    configure_logging(LoggingConfig())
    url, now = find_storage(db, config).url, SystemClock().now().utc
    old = put_back(url, copy, actor=who_am_i(who), now=now)
    sys.stdout.write(f"{describe(parse_url(url))} is what {copy} was\n")
    if old is not None:
        sys.stdout.write(f"the old one is {old}\n")


@app.command()
def check(
    db: DbOption = None,
    config: ConfigOption = None,
    snapshots: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Snapshots; else those of --config, var/snapshots."),
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
    who: WhoOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Look for damage and broken promises. Exits 1 when something is found and not repaired.

    Checked are the schema, the pages of a SQLite file, events that end before they start or
    overlap in a zone, rows whose snapshot is gone, snapshots without a row, messages that wait
    in the spool or were refused, and the chain of the audit log. Without --fix nothing is
    changed, and it may run beside the monitor.

    With --fix, and the monitor stopped: ends are put right, rows and snapshots find each other
    again, snapshots of nobody go to the folder `lost`. No event and no picture is deleted, held
    events are left alone, and all of it is in the audit log.

    Example: `run_monitor.py db check --config configs/demo.yaml`
    """
    storage = find_storage(db, config)
    with ExitStack() as stack:
        if fix:
            stack.enter_context(Ownership(storage.url, patience=0.0))
        engine = open_database(storage.url)
        stack.callback(engine.dispose)
        store = SnapshotStore(snapshots or storage.snapshots)
        found = list(check_database(engine, snapshots=store, spool=storage.spool))
        rows: list[dict[str, object]]
        rows = [{"defect": p.defect.value, "subject": p.subject, "detail": p.detail} for p in found]
        columns: tuple[str, ...] = ("defect", "subject", "detail")
        left = len(found)
        if fix and found:
            actor, now = who_am_i(who), SystemClock().now().utc
            repairer = Repairer(engine, snapshots=store, spool=storage.spool, actor=actor, now=now)
            outcomes = list(repairer.repair(found))
            told = ({"fixed": each.fixed, "what": each.what} for each in outcomes)
            rows = [row | more for row, more in zip(rows, told, strict=True)]
            columns = (*columns, "fixed", "what")
            left = sum(not each.fixed for each in outcomes)
    if rows or output is not Format.TABLE:
        print_rows(rows, columns, output)
    if left:
        raise typer.Exit(MonitorError.exit_code)
    if output is Format.TABLE:
        sys.stdout.write("all is well\n")
