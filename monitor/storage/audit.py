"""The audit log: who did what, each entry chained to the one before it.

An entry's hash covers its content and the hash of its predecessor, so that an entry which is
changed, removed, inserted or moved breaks the chain at that place. `audit_head` names the last
entry; it is also the lock that puts writers in a row. Triggers (migration 0004) refuse UPDATE
and DELETE; the chain tells of whoever got around them.

What a chain cannot see: somebody who may write the whole database can make all entries and the
head anew. An `Anchor` that was noted elsewhere, on paper or in another system, shows that, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    Row,
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

from monitor.errors import DatabaseError, UsageError
from monitor.storage.columns import NAMING, UTCDateTime
from monitor.storage.database import describe, explain, writing
from monitor.telemetry import redact

GENESIS = "0" * 64
"""What the first entry follows."""

HEAD = 1
"""The id of the one row of `audit_head`."""

LONGEST = 60_000
"""Characters of an entry's details; MariaDB's TEXT ends at 65 535."""

PAGE = 1000
"""Entries read at once while verifying."""


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


@dataclass(frozen=True, slots=True)
class Fault:
    """The first entry that is not as it was written."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: entries that are right, the head, and the first fault, if any."""

    entries: int
    head: Anchor
    fault: Fault | None


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
    entry = (
        (at or datetime.now(UTC)).astimezone(UTC),
        _fitting(actor, 64),
        action[:32],
        _fitting(subject, 255),
        _as_text(details or {}),
    )
    if isinstance(target, Engine):
        try:
            with writing(target).begin() as connection:
                return _append(connection, *entry)
        except SQLAlchemyError as error:
            raise explain(error, target.url) from error
    if isinstance(target, Session):
        target.flush()  # what waits for other locks waits before this one is taken
        return _append(target.connection(), *entry)
    return _append(target, *entry)


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


def parse_anchor(text: str) -> Anchor:
    """Read `17:ab12…`. Raises UsageError."""
    number, _, digest = text.strip().partition(":")
    if not number.isdigit() or len(digest) != len(GENESIS) or set(digest) - set("0123456789abcdef"):
        raise UsageError(
            f"{text!r} is no anchor", remedy="write NUMBER:HASH, as `audit verify` prints it"
        )
    return Anchor(int(number), digest)


def verify(engine: Engine, anchor: Anchor | None = None) -> Verdict:
    """Walk the whole chain; `anchor` is an entry that must be in it. Raises DatabaseError."""
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":  # the others read one snapshot anyway
                connection.execution_options(isolation_level="REPEATABLE READ")
            return _walk(connection, anchor)
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def _append(
    connection: Connection, at: datetime, actor: str, action: str, subject: str, details: str
) -> Anchor:
    head = connection.execute(
        select(HeadRow.seq, HeadRow.hash).where(HeadRow.id == HEAD).with_for_update()
    ).one_or_none()
    if head is None:
        raise DatabaseError(
            "the head of the audit log is gone: somebody removed it",
            where=describe(connection.engine.url),
            remedy="`run_monitor.py audit verify` tells more; restore a backup",
        )
    seq = head.seq + 1
    digest = _digest(seq, at, actor, action, subject, details, head.hash)
    connection.execute(
        insert(AuditRow).values(
            seq=seq, at=at, actor=actor, action=action, subject=subject, details=details,
            prev_hash=head.hash, hash=digest,
        )
    )  # fmt: skip
    connection.execute(update(HeadRow).where(HeadRow.id == HEAD).values(seq=seq, hash=digest))
    return Anchor(seq, digest)


def _digest(
    seq: int, at: datetime, actor: str, action: str, subject: str, details: str, before: str
) -> str:
    """SHA-256 of the entry as a JSON list, in ASCII."""
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    content = [seq, moment, actor, action, subject, details, before]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def _walk(connection: Connection, anchor: Anchor | None) -> Verdict:
    last = Anchor(0, GENESIS)
    anchored = anchor is None
    try:
        for row in _rows(connection):
            fault = _fault(row, last)
            if fault is None and anchor is not None and row.seq == anchor.seq:
                anchored = row.hash == anchor.hash
                if not anchored:
                    fault = Fault(row.seq, "is not the entry of the anchor: made anew since then")
            if fault is not None:
                return Verdict(last.seq, last, fault)
            last = Anchor(row.seq, row.hash)
    except ValueError as error:  # SQLite holds whatever somebody puts into a column
        return Verdict(last.seq, last, Fault(last.seq + 1, f"cannot be read: {error}"))
    fault = _head_fault(connection, last)
    if fault is None and not anchored:
        fault = Fault(last.seq + 1, f"is missing: the anchor {anchor} lies beyond the last entry")
    return Verdict(last.seq, last, fault)


def _rows(connection: Connection) -> Iterator[Row[Any]]:
    """All entries in order. A page that cannot be read is read again one by one, up to the fault."""
    columns = list(AuditRow.__table__.columns)
    query = select(*columns).order_by(AuditRow.seq)
    last, size = None, PAGE
    while True:
        page = query.limit(size)
        if last is not None:
            page = page.where(AuditRow.seq > last)
        try:
            rows = connection.execute(page).all()
        except ValueError:
            if size == 1:
                raise
            size = 1
            continue
        if not rows:
            return
        yield from rows
        last = rows[-1].seq


def _fault(row: Row[Any], last: Anchor) -> Fault | None:
    if row.seq < 1:
        return Fault(row.seq, "was inserted before the first entry")
    if row.seq > last.seq + 1:
        gone = "is missing" if row.seq == last.seq + 2 else f"up to {row.seq - 1} are missing"
        return Fault(last.seq + 1, gone)
    content = (row.seq, row.at, row.actor, row.action, row.subject, row.details, row.prev_hash)
    if _digest(*content) != row.hash:
        return Fault(row.seq, "was changed: its content is not what its hash says")
    if row.prev_hash != last.hash:
        return Fault(row.seq, f"does not follow entry {last.seq}: one of the two was replaced")
    return None


def _head_fault(connection: Connection, last: Anchor) -> Fault | None:
    head = connection.execute(
        select(HeadRow.seq, HeadRow.hash).where(HeadRow.id == HEAD)
    ).one_or_none()
    if head is None:
        return Fault(last.seq + 1, "may be missing: the head of the log was removed")
    if head.seq > last.seq:
        until = "is missing" if head.seq == last.seq + 1 else f"up to {head.seq} are missing"
        return Fault(last.seq + 1, f"{until}: the end was cut off")
    if head.seq < last.seq:
        return Fault(head.seq + 1, "was added past the head of the log")
    if head.hash != last.hash:
        return Fault(last.seq, "is not what the head of the log names: replaced")
    return None


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
