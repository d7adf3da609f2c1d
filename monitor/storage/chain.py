"""Verifying the audit log: the first entry that is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from monitor.errors import UsageError
from monitor.storage.audit import GENESIS, HEAD, Anchor, AuditRow, Content, HeadRow
from monitor.storage.database import explain

PAGE = 1000
"""Entries read at once."""


class _Entry(NamedTuple):
    content: Content
    hash: str


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


def _walk(connection: Connection, anchor: Anchor | None) -> Verdict:
    last = Anchor(0, GENESIS)
    anchored = anchor in (None, last)
    try:
        for entry in _entries(connection):
            fault = _fault(entry, last)
            here = Anchor(entry.content.seq, entry.hash)
            if fault is None and anchor is not None and here.seq == anchor.seq:
                anchored = here == anchor
                if not anchored:
                    fault = Fault(here.seq, "is not the entry of the anchor: made anew since then")
            if fault is not None:
                return Verdict(last.seq, last, fault)
            last = here
    except (ValueError, TypeError) as error:  # SQLite holds whatever somebody puts into a column
        return Verdict(last.seq, last, Fault(last.seq + 1, f"cannot be read: {error}"))
    fault = _head_fault(connection, last)
    if fault is None and not anchored:
        fault = Fault(last.seq + 1, f"is missing: the anchor {anchor} lies beyond the last entry")
    return Verdict(last.seq, last, fault)


def _entries(connection: Connection) -> Iterator[_Entry]:
    """All entries in order; a page that cannot be read is read one by one, up to the fault."""
    query = select(*(getattr(AuditRow, name) for name in Content._fields), AuditRow.hash)
    query = query.order_by(AuditRow.seq)
    page, size = query, PAGE
    while True:
        try:
            rows = connection.execute(page.limit(size)).all()
        except (ValueError, TypeError):
            if size == 1:
                raise
            size = 1
            continue
        if not rows:
            return
        for row in rows:
            yield _Entry(Content(*row[:-1]), row.hash)
        page = query.where(AuditRow.seq > rows[-1].seq)


def _fault(entry: _Entry, last: Anchor) -> Fault | None:
    content = entry.content
    if content.seq < 1:
        return Fault(content.seq, "was inserted before the first entry")
    if content.seq > last.seq + 1:
        return Fault(last.seq + 1, _missing(last.seq + 1, content.seq - 1))
    if content.digest() != entry.hash:
        return Fault(content.seq, "was changed: its content is not what its hash says")
    if content.prev_hash != last.hash:
        return Fault(content.seq, f"does not follow entry {last.seq}: one of the two was replaced")
    return None


def _missing(first: int, final: int) -> str:
    return "is missing" if first == final else f"is missing, and all up to {final}"


def _head_fault(connection: Connection, last: Anchor) -> Fault | None:
    head = connection.execute(
        select(HeadRow.seq, HeadRow.hash).where(HeadRow.id == HEAD)
    ).one_or_none()
    if head is None:
        return Fault(last.seq + 1, "may be missing: the head of the log was removed")
    if head.seq > last.seq:
        gone = _missing(last.seq + 1, head.seq)
        return Fault(last.seq + 1, f"{gone}: the end was cut off")
    if head.seq < last.seq:
        return Fault(head.seq + 1, "was added past the head of the log")
    if head.hash != last.hash:
        return Fault(last.seq, "is not what the head of the log names: replaced")
    return None
