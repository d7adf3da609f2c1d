"""The tables of the alerts room. Migrations in `alembic/` create them; a test compares the two.

Events are named by their id without a foreign key: an alert outlives the event it tells of.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, Boolean, ForeignKey, Index, Integer, MetaData, String, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from monitor.storage.columns import NAMING, UTCDateTime, name_type


class Base(DeclarativeBase):
    """All tables of this room; datetimes are aware UTC."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UTCDateTime(), list[str]: JSON(), bool: Boolean()}  # noqa: RUF012


class AlertRow(Base):
    """A rule's verdict. `id` follows from rule and cause, so the same cause alerts once.

    `state`: open, acknowledged, closed, or suppressed (recorded, nobody told). `parent_id`: the
    alert that tells of this one, too. `window_until`: until when it gathers others.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        Index(None, "rule", "camera", "zone", "at"),
        Index(None, "state", "at"),
        Index(None, "at"),
        Index(None, "parent_id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid(), primary_key=True)
    rule: Mapped[str] = mapped_column(name_type())
    trigger: Mapped[str] = mapped_column(String(32))
    severity: Mapped[str] = mapped_column(String(16))
    camera: Mapped[str] = mapped_column(name_type())
    zone: Mapped[str] = mapped_column(name_type())
    event_id: Mapped[UUID | None] = mapped_column(Uuid())
    at: Mapped[datetime]
    raised_at: Mapped[datetime]
    title: Mapped[str] = mapped_column(String(255))
    reasons: Mapped[list[str]]
    state: Mapped[str] = mapped_column(String(16))
    count: Mapped[int] = mapped_column(Integer())
    parent_id: Mapped[UUID | None] = mapped_column(Uuid())
    window_until: Mapped[datetime | None]
    escalate_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class DeliveryRow(Base):
    """What one channel owes one alert: pending, sent or dead. `id` is the order of a zone."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(None, "channel", "state", "next_attempt_at"),
        Index(None, "channel", "state", "place", "id"),
        Index(None, "alert_id"),
    )

    id: Mapped[int] = mapped_column(Integer(), primary_key=True, autoincrement=True)
    alert_id: Mapped[UUID] = mapped_column(Uuid(), ForeignKey("alerts.id", ondelete="CASCADE"))
    channel: Mapped[str] = mapped_column(name_type())
    key: Mapped[UUID] = mapped_column(Uuid(), unique=True)
    place: Mapped[str] = mapped_column(String(160))
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer())
    next_attempt_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]


class ZoneRow(Base):
    """What was last committed of a zone's presence."""

    __tablename__ = "alert_zones"

    camera: Mapped[str] = mapped_column(name_type(), primary_key=True)
    zone: Mapped[str] = mapped_column(name_type(), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime]
    confirmed_at: Mapped[datetime]
    event_id: Mapped[UUID | None] = mapped_column(Uuid())


class WatchRow(Base):
    """Something a rule waits for: judged when `due_at` has come, unless it ends before."""

    __tablename__ = "alert_watches"
    __table_args__ = (Index(None, "due_at"), Index(None, "camera", "zone"), Index(None, "door"))

    id: Mapped[UUID] = mapped_column(Uuid(), primary_key=True)
    rule: Mapped[str] = mapped_column(name_type())
    trigger: Mapped[str] = mapped_column(String(32))
    camera: Mapped[str] = mapped_column(name_type())
    zone: Mapped[str] = mapped_column(name_type())
    door: Mapped[str] = mapped_column(name_type())
    event_id: Mapped[UUID | None] = mapped_column(Uuid())
    since: Mapped[datetime]
    due_at: Mapped[datetime]
    detail: Mapped[str] = mapped_column(String(255))


class OverrideRow(Base):
    """Somebody armed or disarmed by hand; `schedule` empty means all of them."""

    __tablename__ = "alert_overrides"

    id: Mapped[UUID] = mapped_column(Uuid(), primary_key=True)
    schedule: Mapped[str] = mapped_column(name_type())
    armed: Mapped[bool]
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    who: Mapped[str] = mapped_column(String(64))


class GrantRow(Base):
    """A time-bounded permission for a zone."""

    __tablename__ = "grants"
    __table_args__ = (Index(None, "camera", "zone", "until"),)

    id: Mapped[UUID] = mapped_column(Uuid(), primary_key=True)
    camera: Mapped[str] = mapped_column(name_type())
    zone: Mapped[str] = mapped_column(name_type())
    subject: Mapped[str] = mapped_column(String(128))
    since: Mapped[datetime]
    until: Mapped[datetime]
    single_use: Mapped[bool]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    source: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime]


class DoorRow(Base):
    """What a reader or door contact reported; the same report twice is one row."""

    __tablename__ = "door_events"
    __table_args__ = (Index(None, "door", "at"), Index(None, "at"))

    id: Mapped[UUID] = mapped_column(Uuid(), primary_key=True)
    door: Mapped[str] = mapped_column(name_type())
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime]
    source: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime]


class ActionRow(Base):
    """Who did what to which alert, grant or schedule, and when; the audit log chains the same."""

    __tablename__ = "alert_actions"
    __table_args__ = (Index(None, "subject"), Index(None, "at"))

    id: Mapped[int] = mapped_column(Integer(), primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(128))
    comment: Mapped[str] = mapped_column(String(1000))
