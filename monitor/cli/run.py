"""`run` and `reload`: the daemon."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.config import load_config
from monitor.errors import ConfigError, ServiceError, UsageError
from monitor.events.database import parse_url
from monitor.telemetry import configure_logging

PATIENCE = 60.0
"""Seconds that a reload may take: channels get ten to end what they are at, readers two."""

app = typer.Typer()


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")],
) -> None:
    """Watch the configured cameras until Ctrl-C or SIGTERM.

    Migrates the database, scores the model's golden pictures, then starts the cameras; the log
    on stderr says who came and went. The dashboard, `/healthz`, `/readyz` and `/metrics` are on
    the configured port. A configuration that cannot be used exits 78, a model 65, a database
    74, a port 69. On SIGHUP the file is read again (see `reload`).

    Example: `run_monitor.py run --config configs/demo.yaml`
    """
    settings = load_config(config)
    configure_logging(settings.logging)
    from monitor.daemon import Daemon

    Daemon(settings, file=config).run()


@app.command()
def reload(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")],
) -> None:
    """Have the running monitor take its configuration file anew, without a restart.

    The file is looked over first; one with errors exits 78 and disturbs nobody. Only cameras
    whose source, zones or decoding changed are opened anew; other thresholds, rules, channels,
    schedules, retention and log level are exchanged in place. Keys that take a restart are named
    and stay as they were. The monitor is found by its database; SIGHUP does the same.

    Example: `run_monitor.py reload --config /etc/presence-monitor.yaml`
    """
    settings = load_config(config)
    from monitor.daemon.handle import await_reload, find_running, handle_path, signal_reload

    path = handle_path(parse_url(settings.database.url.get_secret_value()))
    running = find_running(path)
    if running is None:
        raise ServiceError(
            "no monitor runs on this configuration's database",
            where=str(path),
            remedy="start it with `run`; another database.url takes a restart",
        )
    if Path(running.config) != config.resolve():
        raise UsageError(
            "the monitor was started with another file",
            where=running.config,
            remedy="name that one, or restart the monitor with this one",
        )
    signal_reload(running)
    after = await_reload(path, running, PATIENCE)
    if after is None:
        raise ServiceError(
            f"the monitor (process {running.pid}) did not answer",
            remedy="its log tells what it is at",
        )
    if after.rejected:
        raise ConfigError(
            "the monitor rejects the configuration and keeps the one it had",
            where=after.rejected,
            remedy="mend the file and reload again",
        )
    for line in after.changed or ["nothing changed"]:
        sys.stdout.write(f"{line}\n")
    if after.restart:
        sys.stdout.write(f"a restart is needed for: {', '.join(after.restart)}\n")
