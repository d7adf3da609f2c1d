"""One batch of messages into the database: pictures first, then one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.clock import Clock, Stamp
from monitor.events.apply import Message, apply, set_snapshot
from monitor.events.coverage import refresh
from monitor.events.database import explain, is_refused, sqlite_path, writing
from monitor.events.models import OccupancyEvent
from monitor.events.snapshots import OwedSnapshots, snapshot_path
from monitor.events.spool import Spool
from monitor.messages import Progress
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
        """Commit all messages and the pictures that are in place.

        Raises SQLAlchemyError or OSError when the database (or the rejects file) is away; then
        nothing is committed that could not be committed again.
        """
        paths = self._place_pictures(messages)
        if messages or paths:
            self._commit(messages, paths)

    def beat(self) -> None:
        """Note that the zones which are being seen still are. Raises SQLAlchemyError or OSError."""
        self._require_file()
        with Session(self._writable) as session, session.begin():
            refresh(session, self._clock.now().utc)

    def _commit(self, messages: Sequence[Message], paths: Mapping[UUID, str]) -> None:
        try:
            self._transact(messages, paths)
        except SQLAlchemyError as error:
            if not is_refused(error):
                raise
            if len(messages) == 1:
                self._reject(messages[0], error)
            else:
                for message in messages:
                    self._commit([message], {})
                self._commit([], paths)
            return
        if self._pictures is not None:
            self._pictures.settle(paths)
        stamp = self._clock.now()
        for message in messages:
            self._tell(Commit(message, stamp))

    def _transact(self, messages: Sequence[Message], paths: Mapping[UUID, str]) -> None:
        self._require_file()
        now = self._clock.now().utc
        with Session(self._writable) as session, session.begin():
            apply(session, messages, now)
            for event_id, path in paths.items():
                set_snapshot(session, event_id, path, now)
            if self._in_transaction is not None:
                session.flush()
                for message in messages:
                    self._in_transaction(session, message)

    def _require_file(self) -> None:
        """SQLite goes on writing happily into a file that somebody deleted; do not let it."""
        if self._file is not None and not self._file.exists():
            self._readable.dispose()
            raise FileNotFoundError(f"the database file {self._file} has vanished")

    def _place_pictures(self, messages: Sequence[Message]) -> dict[UUID, str]:
        """Files first, then rows: a row never names a picture that is not there yet."""
        if self._pictures is None:
            return {}
        fresh = {m.event_id: m for m in messages if m.event_id and m.snapshot is not None}
        known = self._known_paths(fresh) if fresh else {}
        for event_id, message in fresh.items():
            assert message.snapshot is not None
            path = known.get(event_id) or snapshot_path(event_id, _moment(message))
            self._pictures.add(event_id, path, message.snapshot)
        return self._pictures.write()

    def _known_paths(self, ids: Iterable[UUID]) -> dict[UUID, str]:
        query = select(OccupancyEvent.id, OccupancyEvent.snapshot, OccupancyEvent.started_at).where(
            OccupancyEvent.id.in_(ids)
        )
        with Session(self._readable) as session:
            rows = session.execute(query).all()
        return {row.id: row.snapshot or snapshot_path(row.id, row.started_at) for row in rows}

    def _reject(self, message: Message, error: SQLAlchemyError) -> None:
        self._rejects.append([message])
        if self._pictures is not None and message.event_id is not None:
            self._pictures.settle([message.event_id])
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


def _moment(message: Message) -> datetime:
    return message.seen.utc if isinstance(message, Progress) else message.at.utc
