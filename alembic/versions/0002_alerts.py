"""Alerts, their deliveries, grants, door events and the audit log.

Revision: 0002_alerts, after: 0001
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from monitor.storage.columns import UTCDateTime, name_type

revision: str = "0002_alerts"
down_revision: str | None = "0001"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Create the tables of the alerts room with their indexes."""
    _create_outbox()
    _create_watching()
    _create_access()


def downgrade() -> None:
    """Drop them with all they hold."""
    for table in (
        "alert_actions",
        "door_events",
        "grants",
        "alert_overrides",
        "alert_watches",
        "alert_zones",
        "deliveries",
        "alerts",
    ):
        op.drop_table(table)


def _table(
    name: str,
    *columns: sa.Column[Any],
    key: Sequence[str] = ("id",),
    further: Sequence[sa.Constraint] = (),
    indexes: Sequence[Sequence[str]] = (),
) -> None:
    op.create_table(
        name, *columns, *further, sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}"))
    )
    for index in indexes:
        op.create_index(op.f(f"ix_{name}_{'_'.join(index)}"), name, list(index))


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), nullable=False)


def _number() -> sa.Column[Any]:
    return sa.Column("id", sa.Integer(), nullable=False, autoincrement=True)


def _name(name: str) -> sa.Column[Any]:
    return sa.Column(name, name_type(), nullable=False)


def _text(name: str, length: int) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, UTCDateTime(), nullable=nullable)


def _create_outbox() -> None:
    _table(
        "alerts",
        _id(),
        _name("rule"),
        _text("trigger", 32),
        _text("severity", 16),
        _name("camera"),
        _name("zone"),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        _moment("at"),
        _moment("raised_at"),
        _text("title", 255),
        sa.Column("reasons", sa.JSON(), nullable=False),
        _text("state", 16),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        _moment("window_until", nullable=True),
        _moment("escalate_at", nullable=True),
        _moment("updated_at"),
        indexes=(("rule", "camera", "zone", "at"), ("state", "at"), ("at",), ("parent_id",)),
    )
    _table(
        "deliveries",
        _number(),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        _name("channel"),
        sa.Column("key", sa.Uuid(), nullable=False),
        _text("place", 160),
        _text("state", 16),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _moment("next_attempt_at"),
        _moment("expires_at"),
        _moment("sent_at", nullable=True),
        _text("last_error", 255),
        _moment("created_at"),
        further=(
            sa.ForeignKeyConstraint(
                ["alert_id"],
                ["alerts.id"],
                name=op.f("fk_deliveries_alert_id_alerts"),
                ondelete="CASCADE",
            ),
            sa.UniqueConstraint("key", name=op.f("uq_deliveries_key")),
        ),
        indexes=(
            ("channel", "state", "next_attempt_at"),
            ("channel", "state", "place", "id"),
            ("alert_id",),
        ),
    )


def _create_watching() -> None:
    _table(
        "alert_zones",
        _name("camera"),
        _name("zone"),
        _text("state", 16),
        _moment("since"),
        _moment("confirmed_at"),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        key=("camera", "zone"),
    )
    _table(
        "alert_watches",
        _id(),
        _name("rule"),
        _text("trigger", 32),
        _name("camera"),
        _name("zone"),
        _name("door"),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        _moment("since"),
        _moment("due_at"),
        _text("detail", 255),
        indexes=(("due_at",), ("camera", "zone"), ("door",)),
    )
    _table(
        "alert_overrides",
        _id(),
        _name("schedule"),
        sa.Column("armed", sa.Boolean(), nullable=False),
        _moment("since"),
        _moment("until", nullable=True),
        _text("who", 64),
    )


def _create_access() -> None:
    _table(
        "grants",
        _id(),
        _name("camera"),
        _name("zone"),
        _text("subject", 128),
        _moment("since"),
        _moment("until"),
        sa.Column("single_use", sa.Boolean(), nullable=False),
        _moment("used_at", nullable=True),
        _moment("revoked_at", nullable=True),
        _text("source", 32),
        _moment("created_at"),
        indexes=(("camera", "zone", "until"),),
    )
    _table(
        "door_events",
        _id(),
        _name("door"),
        _text("kind", 16),
        _text("subject", 128),
        _moment("at"),
        _text("source", 32),
        _moment("created_at"),
        indexes=(("door", "at"), ("at",)),
    )
    _table(
        "alert_actions",
        _number(),
        _moment("at"),
        _text("who", 64),
        _text("action", 32),
        _text("subject", 128),
        _text("comment", 1000),
        indexes=(("subject",), ("at",)),
    )
