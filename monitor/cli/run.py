"""`run`: the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.config import load_config
from monitor.telemetry import configure_logging

app = typer.Typer()


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")],
) -> None:
    """Watch the configured cameras until Ctrl-C or SIGTERM.

    Migrates the database, scores the model's golden pictures, then starts the cameras; the log
    on stderr says who came and went. The dashboard, `/healthz`, `/readyz` and `/metrics` are on
    the configured port. A configuration that cannot be used exits 78, a model 65, a database
    74, a port 69.

    Example: `run_monitor.py run --config configs/demo.yaml`
    """
    settings = load_config(config)
    configure_logging(settings.logging)
    from monitor.daemon import Daemon

    Daemon(settings).run()
