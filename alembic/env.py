"""Alembic's entry: on the connection that `monitor.events.schema` hands over, or on PRESENCE_DB."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection

from monitor.alerts.models import Base as Alerts
from monitor.events.database import open_database, writing
from monitor.events.models import Base
from monitor.storage.audit import Base as Audit


def run(connection: Connection) -> None:
    """Migrate in one transaction, so that a failed migration leaves nothing behind.

    MariaDB commits at every DDL statement; there the schema stays at the last whole revision.
    """
    context.configure(
        connection=connection,
        target_metadata=[Base.metadata, Alerts.metadata, Audit.metadata],
        render_as_batch=True,
        transactional_ddl=connection.dialect.name != "mariadb",
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = open_database(os.environ.get("PRESENCE_DB", "sqlite:///var/monitor.db"), create=True)
    with writing(engine).connect() as own:
        run(own)
