"""`db upgrade|check|backup`: care for the database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import ConfigOption, DbOption, find_storage
from monitor.config import LoggingConfig
from monitor.errors import DatabaseError
from monitor.events.backup import back_up
from monitor.events.database import describe, open_database, parse_url
from monitor.events.integrity import check_database
from monitor.events.schema import migrate
from monitor.events.snapshots import SnapshotStore
from monitor.telemetry import configure_logging

app = typer.Typer(help="Create, upgrade, check and copy the event database.", no_args_is_help=True)


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

    The copy is checked before it gets its name. To restore it: stop the monitor, put the copy in
    the database's place, remove the files ending in -wal and -shm beside it, start the monitor.
    Snapshots are ordinary files; copy their folder after the database.

    Example: `run_monitor.py db backup /backup/monitor-monday.db`
    """
    size = back_up(find_storage(db, config).url, target)
    sys.stdout.write(f"{target}: {size} bytes\n")


@app.command()
def check(
    db: DbOption = None,
    config: ConfigOption = None,
    snapshots: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Snapshots; else those of --config, var/snapshots."),
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Look for damage and broken promises; change nothing. Exits 74 when something is found.

    Checked are the schema, the pages of a SQLite file, events that end before they start or
    overlap in a zone, rows whose snapshot is gone, snapshots without a row, and messages that
    wait in the spool or were refused. It may run beside the monitor.

    Example: `run_monitor.py db check --config configs/demo.yaml`
    """
    storage = find_storage(db, config)
    engine = open_database(storage.url)
    try:
        store = SnapshotStore(snapshots or storage.snapshots)
        found = list(check_database(engine, snapshots=store, spool=storage.spool))
    finally:
        engine.dispose()
    rows = [{"defect": p.defect.value, "subject": p.subject, "detail": p.detail} for p in found]
    if rows or output is not Format.TABLE:
        print_rows(rows, ("defect", "subject", "detail"), output)
    if rows:
        raise typer.Exit(DatabaseError.exit_code)
    if output is Format.TABLE:
        sys.stdout.write("all is well\n")
