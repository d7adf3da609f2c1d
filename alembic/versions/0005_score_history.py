"""Score history: a row a minute of each zone; and what operators say of events.

Revision: 0005_score_history, after: 0004_audit
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.storage.columns import UTCMinute, name_type

revision: str = "0005_score_history"
down_revision: str | None = "0004_audit"
branch_labels: None = None
depends_on: None = None

TABLE = "score_history"
EVENTS = "occupancy_events"


def upgrade() -> None:
    """Create the table, and the column for marks; what was scored before is not known."""
    op.create_table(
        TABLE,
        sa.Column("camera", name_type(), nullable=False),
        sa.Column("zone", name_type(), nullable=False),
        sa.Column("minute", UTCMinute(), nullable=False, autoincrement=False),
        sa.Column("scores", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("camera", "zone", "minute", name=op.f(f"pk_{TABLE}")),
        sqlite_with_rowid=False,
    )
    op.add_column(EVENTS, sa.Column("mark", sa.String(16), nullable=True))


def downgrade() -> None:
    """Drop both."""
    op.drop_column(EVENTS, "mark")
    op.drop_table(TABLE)
