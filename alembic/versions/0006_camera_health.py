"""Camera health: what happened to a camera's picture.

Revision: 0006_camera_health, after: 0005_score_history
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.storage.columns import UTCDateTime, name_type

revision: str = "0006_camera_health"
down_revision: str | None = "0005_score_history"
branch_labels: None = None
depends_on: None = None

TABLE = "camera_health"


def upgrade() -> None:
    """Create the table; what happened before is not known."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("camera", name_type(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("confirmed_at", UTCDateTime(), nullable=False),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("detail", sa.String(255), nullable=False),
        sa.CheckConstraint(
            "ended_at IS NULL OR ended_at >= started_at", name=op.f(f"ck_{TABLE}_ends_after_start")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
    )
    op.create_index(op.f(f"ix_{TABLE}_camera_started_at"), TABLE, ["camera", "started_at"])
    op.create_index(op.f(f"ix_{TABLE}_started_at"), TABLE, ["started_at"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table(TABLE)
