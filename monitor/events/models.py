"""The tables. Migrations in `alembic/` create them; a test holds the two together."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Computed,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from monitor.events.columns import UTCDateTime, UTCMinute, name_type
from monitor.events.marks import Mark
from monitor.messages import EndReason, HealthKind
from monitor.storage.audit import text_type
from monitor.storage.columns import NAMING


class Base(DeclarativeBase):
    """All tables; datetimes are aware UTC everywhere."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UTCDateTime(), dict[str, Any]: JSON()}  # noqa: RUF012


def _word_type(words: type[StrEnum], length: int) -> Enum:
    """The text of one of `words`. No CHECK on the values: a new word needs no migration."""
    return Enum(
        words,
        native_enum=False,
        create_constraint=False,
        length=length,
        values_callable=lambda each: [word.value for word in each],
    )


class OccupancyEvent(Base):
    """A span of OCCUPIED in one zone; open while `ended_at` is NULL.

    `id` is chosen by the presence room and is the idempotency key of everything written.
    Spans of one zone never overlap: at most one is open, and the writer starts none before
    the previous one ended.
    """

    __tablename__ = "occupancy_events"
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - is_open need not be read back
    __table_args__ = (
        CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="ends_after_start"),
        CheckConstraint("last_seen_at >= started_at", name="seen_after_start"),
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="reason_iff_ended"),
        CheckConstraint("peak_score >= 0 AND peak_score <= 1", name="peak_is_probability"),
        CheckConstraint("mean_score >= 0 AND mean_score <= 1", name="mean_is_probability"),
        CheckConstraint("score_count >= 0", name="count_not_negative"),
        # One open event a zone: NULLs are distinct in a unique index on all three databases,
        # so MariaDB, which has no partial indexes, keeps the promise with the full one.
        Index(
            "uq_occupancy_events_open",
            "is_open",
            "camera",
            "zone",
            unique=True,
            sqlite_where=text("is_open = 1"),
            postgresql_where=text("is_open = 1"),
        ),
        # With the end in it, questions of how long a zone was occupied need no rows at all.
        Index(None, "camera", "zone", "started_at", "ended_at"),
        Index(None, "camera", "started_at"),
        Index(None, "started_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid(), primary_key=True)
    camera: Mapped[str] = mapped_column(name_type())
    zone: Mapped[str] = mapped_column(name_type())
    started_at: Mapped[datetime]
    confirmed_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[EndReason | None] = mapped_column(_word_type(EndReason, 32))
    peak_score: Mapped[float] = mapped_column(Double())
    mean_score: Mapped[float] = mapped_column(Double())
    score_count: Mapped[int] = mapped_column(Integer())
    model_id: Mapped[str] = mapped_column(String(128))
    settings: Mapped[dict[str, Any]]
    mark: Mapped[Mark | None] = mapped_column(_word_type(Mark, 16))
    snapshot: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    is_open: Mapped[int | None] = mapped_column(
        SmallInteger(), Computed("CASE WHEN ended_at IS NULL THEN 1 END", persisted=True)
    )


class Coverage(Base):
    """A span in which a zone was seen, whoever was or was not there; open while it is seen.

    What no span covers was not seen: camera away, process down, or not configured. `id` follows
    from the zone and the start, so the same message makes the same row. `last_seen_at` is
    refreshed now and then, so that a killed process is known to have seen no longer than that.
    """

    __tablename__ = "coverage"
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - is_open need not be read back
    __table_args__ = (
        CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="ends_after_start"),
        Index(
            "uq_coverage_open",
            "is_open",
            "camera",
            "zone",
            unique=True,
            sqlite_where=text("is_open = 1"),
            postgresql_where=text("is_open = 1"),
        ),
        Index(None, "camera", "zone", "started_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid(), primary_key=True)
    camera: Mapped[str] = mapped_column(name_type())
    zone: Mapped[str] = mapped_column(name_type())
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    is_open: Mapped[int | None] = mapped_column(
        SmallInteger(), Computed("CASE WHEN ended_at IS NULL THEN 1 END", persisted=True)
    )


class ScoreMinute(Base):
    """The scores of one zone in one minute, packed by `monitor.events.minutes`.

    Where the key is the table (SQLite without row ids, InnoDB), a zone's minutes lie together.
    """

    __tablename__ = "score_history"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    camera: Mapped[str] = mapped_column(name_type(), primary_key=True)
    zone: Mapped[str] = mapped_column(name_type(), primary_key=True)
    minute: Mapped[datetime] = mapped_column(UTCMinute(), primary_key=True, autoincrement=False)
    scores: Mapped[bytes] = mapped_column(LargeBinary())


class Hold(Base):
    """A legal hold: while it stands, the event and its snapshot are deleted by nobody.

    The foreign key makes the database itself refuse, whoever asks.
    """

    __tablename__ = "holds"

    event_id: Mapped[UUID] = mapped_column(
        Uuid(), ForeignKey("occupancy_events.id", ondelete="RESTRICT"), primary_key=True
    )
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(text_type(64))
    why: Mapped[str] = mapped_column(text_type(1000))


class CameraHealthRow(Base):
    """Something that happened to a camera's picture; goes on while `ended_at` is NULL."""

    __tablename__ = "camera_health"
    __table_args__ = (
        CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="ends_after_start"),
        Index(None, "camera", "started_at"),
        Index(None, "started_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid(), primary_key=True)
    camera: Mapped[str] = mapped_column(name_type())
    kind: Mapped[HealthKind] = mapped_column(_word_type(HealthKind, 32))
    started_at: Mapped[datetime]
    confirmed_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    detail: Mapped[str] = mapped_column(String(255))
