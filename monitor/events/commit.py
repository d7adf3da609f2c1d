"""One batch of messages into the database, in one transaction; their pictures follow.

A picture is handed on when its event is committed. Once its file is in place a later transaction
makes the row name it: a row never names a picture that is not there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.clock import Clock, Stamp
from monitor.events.apply import Message, apply, set_snapshot
from monitor.events.coverage import refresh
from monitor.events.database import explain, is_refused, sqlite_path, writing
from monitor.events.models import OccupancyEvent
from monitor.events.owed import OwedSnapshots
from monitor.events.snapshots import snapshot_path
from monitor.events.spool import Spool
from monitor.telemetry import get_logger

InTransaction = Callable[[Session, Message], None]
"""Called for each message in the transaction that commits it, after its row is in place. A
message may come again (the spool replays), so whatever it writes must be idempotent, too."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Commit:
    """A message that is in the database for good, and since when."""

    message: Message
    stamp: Stamp


class _Fresh(NamedTuple):
    """What `OwedSnapshots.add` takes."""

    event_id: UUID
    path: str
    jpeg: bytes
    named: bool


class Committer:
    """Commits batches; what the database will never take goes to `rejects`, loudly.

    `report` is called for each message after its commit and must be quick.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        pictures: OwedSnapshots | None,
        rejects: Spool,
        clock: Clock,
        report: Callable[[Commit], None] | None,
        in_transaction: InTransaction | None = None,
    ) -> None:
        self._readable = engine
        self._writable = writing(engine)
        self._file = sqlite_path(engine.url)
        self._pictures = pictures
        self._rejects = rejects
        self._clock = clock
        self._report = report
        self._in_transaction = in_transaction

    def write(self, messages: Sequence[Message]) -> None:
        """Commit all messages, and the names of the pictures that are in place.

        Raises SQLAlchemyError or OSError when the database (or the rejects file) is away; then
        nothing is committed that could not be committed again.
        """
        placed = self._pictures.placed() if self._pictures else {}
        if messages or placed:
            self._commit(messages, placed)

    def beat(self) -> None:
        """Note that the zones which are being seen still are. Raises SQLAlchemyError or OSError."""
        self._require_file()
        with Session(self._writable) as session, session.begin():
            refresh(session, self._clock.now().utc)

    def _commit(self, messages: Sequence[Message], placed: Mapping[UUID, str]) -> None:
        try:
            fresh, gone = self._transact(messages, placed)
        except SQLAlchemyError as error:
            if not is_refused(error):
                raise
            if len(messages) == 1:
                self._reject(messages[0], error)
            else:
                for message in messages:
                    self._commit([message], {})
                self._commit([], placed)
            return
        if self._pictures is not None:
            self._pictures.settle(placed.keys() - gone)
            for event_id in gone:
                self._pictures.discard(event_id, placed[event_id])
            for picture in fresh:
                self._pictures.add(*picture)
        stamp = self._clock.now()
        for message in messages:
            self._tell(Commit(message, stamp))

    def _transact(
        self, messages: Sequence[Message], placed: Mapping[UUID, str]
    ) -> tuple[list[_Fresh], set[UUID]]:
        """One transaction; the pictures it brought, and the events of `placed` that are gone."""
        self._require_file()
        now = self._clock.now().utc
        with Session(self._writable) as session, session.begin():
            apply(session, messages, now)
            gone = {i for i, path in placed.items() if not set_snapshot(session, i, path, now)}
            fresh = _fresh_pictures(session, messages)
            if self._in_transaction is not None:
                session.flush()
                for message in messages:
                    self._in_transaction(session, message)
        return fresh, gone

    def _require_file(self) -> None:
        """SQLite goes on writing happily into a file that somebody deleted; do not let it."""
        if self._file is not None and not self._file.exists():
            self._readable.dispose()
            raise FileNotFoundError(f"the database file {self._file} has vanished")

    def _reject(self, message: Message, error: SQLAlchemyError) -> None:
        self._rejects.append([message])
        log.error(
            "a message was refused by the database and set aside",
            camera=message.camera,
            zone=message.zone,
            event_id=str(message.event_id),
            reason=explain(error, self._readable.url).what,
        )

    def _tell(self, commit: Commit) -> None:
        if self._report is None:
            return
        try:
            self._report(commit)
        except Exception:
            log.exception("a listener of committed events failed")


def _fresh_pictures(session: Session, messages: Sequence[Message]) -> list[_Fresh]:
    """The last picture of each event, and where it belongs: where the row says, if it does."""
    latest = {m.event_id: m.snapshot for m in messages if m.event_id and m.snapshot is not None}
    pictures = []
    for event_id, jpeg in latest.items():
        row = session.get_one(OccupancyEvent, event_id)
        path = row.snapshot or snapshot_path(event_id, row.started_at)
        pictures.append(_Fresh(event_id, path, jpeg, row.snapshot is not None))
    return pictures
