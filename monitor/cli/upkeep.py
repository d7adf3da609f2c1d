"""`db retention|maintain`: what the jobs of the monitor do, by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from monitor.cli.alerts import WhoOption, who_am_i
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import ConfigOption, DbOption, find_storage
from monitor.clock import SystemClock
from monitor.config import load_config
from monitor.config.base import format_size
from monitor.errors import MonitorError
from monitor.events.database import explain, open_database
from monitor.events.models import Base
from monitor.events.schema import require_current
from monitor.events.snapshots import SnapshotStore
from monitor.jobs.limits import Limits
from monitor.jobs.retention import sweep
from monitor.storage.ownership import Ownership
from monitor.storage.upkeep import maintain as keep_up

app = typer.Typer()

_COLUMNS = ("kind", "why", "rows", "freed_bytes", "stuck")


@app.command()
def retention(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="Whose `retention` to apply.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing; show what would go.")
    ] = False,
    who: WhoOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Delete now what is beyond the limits of the configuration; the monitor may run.

    The monitor does the same every hour. Open events and those under a legal hold (`events hold`)
    never go. What goes is written into the audit log. `stuck` counts files that could not be
    deleted. Exits 1 when `max_disk` or `min_free` cannot be kept with what may be deleted.

    Example: `run_monitor.py db retention --config monitor.yaml --dry-run`
    """
    settings = load_config(config, look=False)
    limits = Limits.of(settings.retention, settings.alerts, SystemClock().now().utc)
    engine = open_database(settings.database.url.get_secret_value())
    try:
        require_current(engine)
        store = SnapshotStore(settings.snapshots.folder)
        report = sweep(engine, store, limits, actor=who_am_i(who), dry_run=dry_run)
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
    finally:
        engine.dispose()
    rows = [{name: getattr(gone, name) for name in _COLUMNS} for gone in report.gone]
    if rows or output is not Format.TABLE:
        print_rows(rows, _COLUMNS, output)
    else:
        sys.stdout.write("nothing is beyond the limits\n")
    if report.lacking_bytes:
        lacking = format_size(report.lacking_bytes)
        sys.stderr.write(f"{lacking} too much is left, and nothing more may be deleted\n")
        raise typer.Exit(MonitorError.exit_code)


@app.command()
def maintain(
    db: DbOption = None,
    config: ConfigOption = None,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Write the whole SQLite file anew; stop the monitor first."),
    ] = False,
) -> None:
    """Keep the database small and quick; the monitor does the same every day.

    SQLite: free pages go back to the disk, statistics are renewed, the write-ahead log is
    emptied, all in small steps while the monitor runs. A file that an older version made cannot
    give pages back until it was written anew once with --rebuild, which needs room for a second
    copy. PostgreSQL and MariaDB: the tables are analysed.

    Example: `run_monitor.py db maintain --config monitor.yaml`
    """
    url = find_storage(db, config).url
    engine = open_database(url)
    try:
        require_current(engine)
        if rebuild:
            with Ownership(url, patience=0.0):
                done = keep_up(engine, Base.metadata.tables, rebuild=True)
        else:
            done = keep_up(engine, Base.metadata.tables)
    finally:
        engine.dispose()
    if done.size_bytes:
        freed, size = format_size(done.freed_bytes), format_size(done.size_bytes)
        sys.stdout.write(f"{freed} freed, {size} left, {done.seconds:.1f} s\n")
    else:
        sys.stdout.write(f"analysed, {done.seconds:.1f} s\n")
    if not done.shrinks:
        sys.stdout.write("this file cannot shrink yet; run it once with --rebuild\n")
