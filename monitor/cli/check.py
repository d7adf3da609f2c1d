"""`check` and `schema`: is this configuration right, and what may stand in one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.config import (
    CameraConfig,
    MonitorConfig,
    PresenceConfig,
    Severity,
    check_config,
)
from monitor.config.base import format_duration
from monitor.config.schema import json_schema
from monitor.errors import ConfigError, UsageError
from monitor.messages import WHOLE_FRAME
from monitor.storage.files import whole_file
from monitor.telemetry import redact

app = typer.Typer()


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration to look at.")],
) -> None:
    """Look a configuration over and start nothing.

    Prints every problem as `file:line:column: key.path: what is wrong; what is allowed` on
    stderr and exits 78, or prints what would run, cameras, zones and the thresholds in force.
    Secrets are filled in and never shown; files, folders and webcams are looked for, hosts are
    not asked. Warnings do not change the exit code.

    Example: `run_monitor.py check configs/example.yaml`
    """
    config, problems = check_config(file)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if config is None:
        raise typer.Exit(ConfigError.exit_code)
    console = Console()
    warnings = sum(problem.severity is Severity.WARNING for problem in problems)
    verdict = f"{file} is good" + (f", with {warnings} warning(s)" if warnings else "")
    console.print(Text(verdict, style="green"))
    console.print(_camera_table(config))
    _print_rest(console, config)


def _camera_table(config: MonitorConfig) -> Table:
    table = Table("camera", "source", "fps", "view", "zone", "enter", "exit", "gap", box=None)
    for name, camera in config.cameras.items():
        zones = {zone: each.presence for zone, each in camera.zones.items()}
        first = True
        for zone, presence in (zones or {WHOLE_FRAME: camera.presence}).items():
            left = _camera_cells(name, camera) if first else [""] * 4
            table.add_row(*(Text(cell) for cell in [*left, zone, *_presence_cells(presence)]))
            first = False
    return table


def _camera_cells(name: str, camera: CameraConfig) -> list[str]:
    shown = name if camera.enabled else f"{name} (off)"
    source = redact(camera.source.url.get_secret_value())
    return [shown, source, f"{camera.sample_fps:g}", camera.view]


def _presence_cells(presence: PresenceConfig) -> list[str]:
    enter_after, exit_after = map(format_duration, (presence.enter_after, presence.exit_after))
    return [
        f"≥ {presence.enter_threshold:g} for {enter_after}, {presence.enter_hits} hits",
        f"< {presence.exit_threshold:g} for {exit_after}",
        format_duration(presence.max_gap),
    ]


def _print_rest(console: Console, config: MonitorConfig) -> None:
    inference, retention, web = config.inference, config.retention, config.web
    days = format_duration(retention.events), format_duration(retention.snapshots)
    lines = {
        "model": f"{inference.model}, {inference.workers} worker(s), {inference.precision}, "
        f"batches of {inference.max_batch} within {format_duration(inference.max_wait)}",
        "database": redact(config.database.url.get_secret_value()),
        "kept": f"events {days[0]}, snapshots {days[1]} in {config.snapshots.folder}",
        "web": f"http://{web.host}:{web.port}" if web.enabled else "off",
    }
    for key, value in lines.items():
        console.print(Text(f"{key:9}{value}"), soft_wrap=True)


@app.command()
def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, not to stdout.")
    ] = None,
) -> None:
    """Print the JSON Schema of the configuration file.

    Editors with a YAML language server complete and check a file that starts with
    `# yaml-language-server: $schema=monitor.schema.json`.

    Example: `run_monitor.py schema --output configs/monitor.schema.json`
    """
    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        with whole_file(output) as file:
            file.write(text.encode())
    except OSError as error:
        raise UsageError(
            f"cannot write the schema: {error.strerror}",
            where=str(output),
            remedy="name a file in a folder you may write to",
        ) from error
