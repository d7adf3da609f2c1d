"""Coverage: when each zone was seen.

Revision: 0003_coverage, after: 0002_alerts
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.storage.columns import UTCDateTime, name_type

revision: str = "0003_coverage"
down_revision: str | None = "0002_alerts"
branch_labels: None = None
depends_on: None = None

TABLE = "coverage"


def upgrade() -> None:
    """Create the table; what was seen before is not known."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("camera", name_type(), nullable=False),
        sa.Column("zone", name_type(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("last_seen_at", UTCDateTime(), nullable=False),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column(
            "is_open",
            sa.SmallInteger(),
            sa.Computed("CASE WHEN ended_at IS NULL THEN 1 END", persisted=True),
            nullable=True,
        ),
        sa.CheckConstraint(
            "ended_at IS NULL OR ended_at >= started_at", name=op.f(f"ck_{TABLE}_ends_after_start")
        ),
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


def downgrade() -> None:
    """Drop the table."""
    op.drop_table(TABLE)
