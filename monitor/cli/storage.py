"""The options that say which database a command works on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Annotated

import typer
import tzlocal
from sqlalchemy import Engine

from monitor.config import load_config
from monitor.config.schedules import parse_zone
from monitor.config.storage import DatabaseConfig, SnapshotConfig
from monitor.errors import UsageError
from monitor.events.database import open_database, parse_url
from monitor.events.schema import require_current
from monitor.events.spool import default_spool

VARIABLE = "PRESENCE_DB"

DbOption = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="Database, such as sqlite:///var/monitor.db. Without it: that of --config, else of "
        "the environment's PRESENCE_DB, else sqlite:///var/monitor.db.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Take the database from this file."),
]
TimezoneOption = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="Zone of the times you write and read, such as Europe/Berlin; else this machine's.",
    ),
]


@dataclass(frozen=True, slots=True)
class Storage:
    """Where events, their snapshots, and messages that wait for the database are kept."""

    url: str
    snapshots: Path
    spool: Path


def find_storage(db: str | None, config: Path | None) -> Storage:
    """The database of the options. Raises ConfigError or DatabaseError."""
    url = DatabaseConfig().url.get_secret_value()
    folder = SnapshotConfig().folder
    if config is not None:
        loaded = load_config(config, look=False)
        url, folder = loaded.database.url.get_secret_value(), loaded.snapshots.folder
    elif variable := os.environ.get(VARIABLE):
        url = variable
    url = db or url
    return Storage(url, folder, default_spool(parse_url(url)))


@contextmanager
def open_memory(db: str | None, config: Path | None) -> Iterator[Engine]:
    """The database of the options, which has to have the present schema."""
    engine = open_database(find_storage(db, config).url)
    try:
        require_current(engine)
        yield engine
    finally:
        engine.dispose()


def find_timezone(name: str | None) -> tzinfo:
    """The zone people write and read times in. Raises UsageError for an unknown name."""
    if name is None:
        return tzlocal.get_localzone()
    try:
        return parse_zone(name)
    except ValueError as error:
        raise UsageError(
            f"there is no time zone {name!r}", remedy="write UTC, Europe/Berlin, Asia/Tokyo …"
        ) from error
