"""Occupancy events.

Revision: 0001, after: none
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.events.columns import UTCDateTime, name_type

revision: str = "0001"
down_revision: str | None = None
branch_labels: None = None
depends_on: None = None

TABLE = "occupancy_events"


def upgrade() -> None:
    """Create the table with its promises and indexes."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("camera", name_type(), nullable=False),
        sa.Column("zone", name_type(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("confirmed_at", UTCDateTime(), nullable=False),
        sa.Column("last_seen_at", UTCDateTime(), nullable=False),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("end_reason", sa.String(32), nullable=True),
        sa.Column("peak_score", sa.Double(), nullable=False),
        sa.Column("mean_score", sa.Double(), nullable=False),
        sa.Column("score_count", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("snapshot", sa.String(255), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.Column(
            "is_open",
            sa.SmallInteger(),
            sa.Computed("CASE WHEN ended_at IS NULL THEN 1 END", persisted=True),
            nullable=True,
        ),
        sa.CheckConstraint(
            "ended_at IS NULL OR ended_at >= started_at", name=op.f(f"ck_{TABLE}_ends_after_start")
        ),
        sa.CheckConstraint("last_seen_at >= started_at", name=op.f(f"ck_{TABLE}_seen_after_start")),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (end_reason IS NULL)", name=op.f(f"ck_{TABLE}_reason_iff_ended")
        ),
        sa.CheckConstraint(
            "peak_score >= 0 AND peak_score <= 1", name=op.f(f"ck_{TABLE}_peak_is_probability")
        ),
        sa.CheckConstraint(
            "mean_score >= 0 AND mean_score <= 1", name=op.f(f"ck_{TABLE}_mean_is_probability")
        ),
        sa.CheckConstraint("score_count >= 0", name=op.f(f"ck_{TABLE}_count_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
    )
    op.create_index(
        f"uq_{TABLE}_open",
        TABLE,
        ["is_open", "camera", "zone"],
        unique=True,
        sqlite_where=sa.text("is_open = 1"),
        postgresql_where=sa.text("is_open = 1"),
    )
    op.create_index(
        op.f(f"ix_{TABLE}_camera_zone_started_at"), TABLE, ["camera", "zone", "started_at"]
    )
    op.create_index(op.f(f"ix_{TABLE}_camera_started_at"), TABLE, ["camera", "started_at"])
    op.create_index(op.f(f"ix_{TABLE}_started_at"), TABLE, ["started_at"])


def downgrade() -> None:
    """Drop the table and all events in it."""
    op.drop_table(TABLE)
