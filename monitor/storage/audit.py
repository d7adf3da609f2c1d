"""The audit log: who did what, each entry chained to the one before it.

An entry's hash covers its content and the hash of its predecessor, so that an entry which is
changed, removed, inserted or moved breaks the chain at that place. `audit_head` names the last
entry; it is also the lock that puts writers in a row. Triggers (migration 0004) refuse UPDATE
and DELETE; the chain tells of whoever got around them.

What a chain cannot see: somebody who may write the whole database can make all entries and the
head anew. An `Anchor` that was noted elsewhere, on paper or in another system, shows that, too
(`monitor.storage.chain`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from monitor.errors import DatabaseError
from monitor.storage.columns import NAMING, UTCDateTime
from monitor.storage.database import describe, explain, writing
from monitor.telemetry import redact

GENESIS = "0" * 64
"""What the first entry follows."""

HEAD = 1
"""The id of the one row of `audit_head`."""

LONGEST = 60_000
"""Characters of an entry's details; MariaDB's TEXT ends at 65 535."""


def text_type(length: int) -> String:
    """Text of people in any script, whatever the MariaDB server's own character set is."""
    wide = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(wide, "mysql", "mariadb")


class Base(DeclarativeBase):
    """The tables of the audit log."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UTCDateTime()}  # noqa: RUF012


class AuditRow(Base):
    """One entry. `details` is JSON as ASCII text, kept as it was hashed."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "action", "seq"),)

    seq: Mapped[int] = mapped_column(Integer(), primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(text_type(64))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(text_type(255))
    details: Mapped[str] = mapped_column(Text())
    prev_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class HeadRow(Base):
    """The last entry of the chain; one row, made by the migration."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(SmallInteger(), primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(Integer())
    hash: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True, slots=True)
class Anchor:
    """An entry's number and hash, written `17:ab12…`, to be noted where nobody can change it."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


class Content(NamedTuple):
    """What an entry's hash covers, in this order."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: str
    prev_hash: str

    def digest(self) -> str:
        """SHA-256 of the fields as a JSON list, in ASCII."""
        moment = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        fields = [self.seq, moment, *self[2:]]
        return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def record(
    target: Engine | Connection | Session,
    *,
    actor: str,
    action: str,
    subject: str = "",
    details: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> Anchor:
    """Append an entry: in the transaction of a connection or session, or in one of its own.

    Make it the last thing of a transaction: other writers of the log wait until it commits.
    SQLite: begin the transaction with `monitor.storage.database.writing`. Secrets in the details
    are redacted. Raises DatabaseError for an engine, SQLAlchemyError otherwise.
    """
    fields = (
        (at or datetime.now(UTC)).astimezone(UTC),
        _fitting(actor, 64),
        action[:32],
        _fitting(subject, 255),
        _as_text(details or {}),
    )
    if isinstance(target, Engine):
        try:
            with writing(target).begin() as connection:
                return _append(connection, fields)
        except SQLAlchemyError as error:
            raise explain(error, target.url) from error
    if isinstance(target, Session):
        target.flush()  # what waits for other locks waits before this one is taken
        return _append(target.connection(), fields)
    return _append(target, fields)


def find_entries(
    engine: Engine,
    *,
    action: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    limit: int = 100,
) -> Sequence[AuditRow]:
    """The newest entries first. Raises DatabaseError."""
    query = select(AuditRow).order_by(AuditRow.seq.desc()).limit(limit)
    if action is not None:
        query = query.where(AuditRow.action == action)
    if actor is not None:
        query = query.where(AuditRow.actor == actor)
    if since is not None:
        query = query.where(AuditRow.at >= since)
    try:
        with Session(engine, expire_on_commit=False) as session:
            return session.scalars(query).all()
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def _append(connection: Connection, fields: tuple[datetime, str, str, str, str]) -> Anchor:
    head = connection.execute(
        select(HeadRow.seq, HeadRow.hash).where(HeadRow.id == HEAD).with_for_update()
    ).one_or_none()
    if head is None:
        raise DatabaseError(
            "the head of the audit log is gone: somebody removed it",
            where=describe(connection.engine.url),
            remedy="`run_monitor.py audit verify` tells more; restore a backup",
        )
    content = Content(head.seq + 1, *fields, head.hash)
    digest = content.digest()
    connection.execute(insert(AuditRow).values(**content._asdict(), hash=digest))
    connection.execute(
        update(HeadRow).where(HeadRow.id == HEAD).values(seq=content.seq, hash=digest)
    )
    return Anchor(content.seq, digest)


def _fitting(text: str, length: int) -> str:
    """Text every database takes: no NUL, no lone surrogates, not too long, no secret."""
    clean = redact(text).encode("utf-8", "replace").decode("utf-8").replace("\0", "")
    return clean[:length]


def _as_text(details: Mapping[str, Any]) -> str:
    text = json.dumps(_redacted(details), default=str, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= LONGEST else json.dumps({"cut": text[: LONGEST // 2]})


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item) for item in value]
    return value
