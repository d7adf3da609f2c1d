"""Bringing a database to the schema of this version, or refusing it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from monitor.errors import DatabaseError
from monitor.events.database import describe, explain, open_database, parse_url, writing
from monitor.storage.database import MIGRATION_TIMEOUT
from monitor.telemetry import get_logger

_INSTALLED = "share/presence-monitor/alembic"

log = get_logger(__name__)


def migrate(url: str | URL, *, revision: str = "head") -> str:
    """Upgrade the database (created if missing) and return the revision it now has.

    Raises DatabaseError if it cannot be reached, written or read, if it holds tables of
    another program, or if a newer version of this program has upgraded it already.
    """
    parsed = parse_url(url)
    engine = open_database(parsed, create=True, patience=MIGRATION_TIMEOUT)
    try:
        before = check_known(engine)
        with writing(engine).connect() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        after = current_revision(engine)
    except SQLAlchemyError as error:
        raise explain(error, parsed) from error
    finally:
        engine.dispose()
    assert after is not None
    if before != after:
        log.info("database upgraded", database=describe(parsed), before=before, after=after)
    return after


def downgrade(url: str | URL, revision: str) -> None:
    """Take the database back to `revision` (`base` for an empty one). Loses what is newer."""
    engine = open_database(url, patience=MIGRATION_TIMEOUT)
    try:
        check_known(engine)
        with writing(engine).connect() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.downgrade(config, revision)
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
    finally:
        engine.dispose()


def require_current(engine: Engine) -> None:
    """Raise DatabaseError unless the database has exactly the schema of this version."""
    current = check_known(engine)
    if current != head_revision():
        raise DatabaseError(
            f"the database has schema {current or 'none'}, this version needs {head_revision()}",
            where=describe(engine.url),
            remedy="run `run_monitor.py db upgrade`",
        )


def check_known(engine: Engine) -> str | None:
    """The database's revision (None: empty). Raises DatabaseError if this version knows it not."""
    try:
        current = current_revision(engine)
        tables = set(inspect(engine).get_table_names()) - {"alembic_version"}
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
    known = {script.revision for script in _scripts().walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseError(
            f"the database has schema {current}, which this version does not know",
            where=describe(engine.url),
            remedy="a newer version wrote it: upgrade this program, or restore the backup "
            "made before the upgrade",
        )
    if current is None and tables:
        raise DatabaseError(
            f"the database belongs to another program (tables {', '.join(sorted(tables)[:5])})",
            where=describe(engine.url),
            remedy="name a database of its own",
        )
    return current


def current_revision(engine: Engine) -> str | None:
    """The revision stored in the database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The revision of this version."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def alembic_config() -> Config:
    """Alembic's configuration, wherever the program is started from."""
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())


def _folder() -> Path:
    """`alembic/` of the source tree, or where the wheel installs it."""
    import sysconfig

    places = (
        Path(__file__).resolve().parents[2] / "alembic",
        Path(sysconfig.get_path("data")) / _INSTALLED,
    )
    for place in places:
        if (place / "env.py").is_file():
            return place
    raise DatabaseError(
        "the migrations are missing",
        where=" or ".join(map(str, places)),
        remedy="install the program again",
    )
