"""Where events and snapshots are kept, and for how long."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from monitor.config.base import ConfigModel, Duration, Size


class DatabaseConfig(ConfigModel):
    """The event database."""

    url: SecretStr = SecretStr("sqlite:///var/monitor.db")
    """SQLAlchemy URL. Kept secret: it may hold a password."""


class SnapshotConfig(ConfigModel):
    """A JPEG of each occupancy's peak."""

    enabled: bool = True
    """False keeps no pictures at all."""

    folder: Path = Path("var/snapshots")
    """Where they are written: one folder a day."""

    max_side: int = Field(default=1280, ge=160, le=8192)
    """Longer side of the picture, pixels; larger frames are scaled down."""

    quality: int = Field(default=85, ge=10, le=100)
    """JPEG quality."""


class HistoryConfig(ConfigModel):
    """What every zone scored, second by second: for `calibrate` and `explain`."""

    enabled: bool = True
    """False keeps none. It takes 0.1 to 0.25 MB a zone and day."""


class RetentionConfig(ConfigModel):
    """When things are deleted: by age, and the oldest first where there is too much."""

    events: Duration = Field(default=90 * 86400.0, gt=0.0)
    """Age at which closed events go, with their snapshots."""

    snapshots: Duration = Field(default=30 * 86400.0, gt=0.0)
    """Age at which snapshots go; the event stays."""

    score_history: Duration = Field(default=30 * 86400.0, gt=0.0)
    """Age at which the score history goes."""

    max_events: int | None = Field(default=None, ge=1)
    """Most closed events kept."""

    max_disk: Size | None = Field(default=None, ge=1)
    """Most bytes of snapshots and, with SQLite, the database: snapshots go first."""

    min_free: Size | None = Field(default=None, ge=1)
    """Free bytes the snapshots' disk shall have: older snapshots go, those of the last day stay."""
