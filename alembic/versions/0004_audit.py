"""The audit log, hash-chained and append-only, and legal holds on events.

Revision: 0004_audit, after: 0003_coverage
"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import op

from monitor.storage.audit import GENESIS, HEAD, text_type
from monitor.storage.columns import UTCDateTime

revision: str = "0004_audit"
down_revision: str | None = "0003_coverage"
branch_labels: None = None
depends_on: None = None

SAID = "the audit log is append-only"

log = logging.getLogger("monitor.alembic")


def upgrade() -> None:
    """Create the tables, the chain's head, and the triggers that refuse changes."""
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("actor", text_type(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", text_type(255), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_action_seq"), "audit_log", ["action", "seq"])
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.bulk_insert(head, [{"id": HEAD, "seq": 0, "hash": GENESIS}])
    op.create_table(
        "holds",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("who", text_type(64), nullable=False),
        sa.Column("why", text_type(1000), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["occupancy_events.id"],
            name=op.f("fk_holds_event_id_occupancy_events"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_holds")),
    )
    _forbid_changes()


def downgrade() -> None:
    """Drop all of it, and what it says."""
    op.drop_table("holds")
    op.drop_table("audit_head")
    op.drop_table("audit_log")
    if op.get_bind().dialect.name == "postgresql":
        _run("DROP FUNCTION audit_log_refuse()")


def _forbid_changes() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        for what in ("UPDATE", "DELETE"):
            _run(
                f"CREATE TRIGGER audit_log_no_{what.lower()} BEFORE {what} ON audit_log "
                f"BEGIN SELECT RAISE(ABORT, '{SAID}'); END"
            )
    elif dialect == "postgresql":
        _run(
            "CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{SAID}'; END $$"
        )
        _run(
            "CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()"
        )
    else:
        for what in ("UPDATE", "DELETE"):
            try:
                _run(
                    f"CREATE TRIGGER audit_log_no_{what.lower()} BEFORE {what} ON audit_log "
                    f"FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{SAID}'"
                )
            except sa.exc.OperationalError as error:  # 1419: binary logging wants SUPER for it
                log.warning("the audit log has no trigger against %s: %s", what, error.orig)


def _run(statement: str) -> None:
    op.get_bind().exec_driver_sql(statement)
