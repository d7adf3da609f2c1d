"""The command line's root: groups, and one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

import monitor
from monitor.cli import (
    alerts,
    audit,
    calibrate,
    cameras,
    check,
    dataset,
    db,
    events,
    explain,
    grants,
    holds,
    marks,
    model,
    predict,
    replay,
    rules,
    run,
    upkeep,
    web,
)
from monitor.config import LoggingConfig
from monitor.errors import MonitorError
from monitor.telemetry import configure_logging

app = typer.Typer(
    name="run_monitor.py",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)
app.add_typer(run.app)
app.add_typer(check.app)
app.add_typer(cameras.app, name="cameras")
events.app.add_typer(holds.app)
events.app.add_typer(marks.app)
app.add_typer(events.app, name="events")
app.add_typer(alerts.app, name="alerts")
app.add_typer(rules.app, name="rules")
app.add_typer(rules.switches)
app.add_typer(grants.app, name="grants")
db.app.add_typer(upkeep.app)
app.add_typer(db.app, name="db")
app.add_typer(audit.app, name="audit")
app.add_typer(web.app, name="web")
app.add_typer(dataset.app, name="dataset")
app.add_typer(model.app, name="model")
app.add_typer(replay.app)
app.add_typer(calibrate.app)
app.add_typer(explain.app)
app.add_typer(predict.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        Console().print(monitor.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Watch many cameras and say, reliably and cheaply, whether somebody is there.

    Start with `run_monitor.py check configs/demo.yaml`, then `run_monitor.py run --config
    configs/demo.yaml`.
    """


def print_error(error: MonitorError) -> None:
    """Show what, where and remedy on stderr; never a traceback."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error", "bold red"), ": ", error.what))
    if error.where:
        console.print("  where :", error.where, markup=False)
    if error.remedy:
        console.print("  remedy:", error.remedy, markup=False)


def main() -> None:
    """Run the command line; a `MonitorError` ends it with its own exit code."""
    configure_logging(LoggingConfig())
    try:
        app()
    except MonitorError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
