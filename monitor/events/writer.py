"""The single writer: takes messages without ever blocking, commits them in batches, loses none.

    put ──▶ queue ──▶ one transaction ──▶ committed ──▶ snapshot files ──▶ rows name them
              │ database away     ▲
              └──▶ spool on disk ─┘ replayed in order when it is back

A message leaves the queue only when it is committed or fsynced to the spool. Writing while the
previous commit runs is what makes batches; nothing waits for a batch to fill.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from monitor.clock import Clock
from monitor.errors import DatabaseError
from monitor.events.apply import Message, coalesce
from monitor.events.commit import Commit, Committer, InTransaction
from monitor.events.coverage import BEAT_EVERY
from monitor.events.database import explain
from monitor.events.owed import OwedSnapshots
from monitor.events.snapshots import SnapshotStore
from monitor.events.spool import Spool
from monitor.messages import CameraHealth
from monitor.telemetry import get_logger

__all__ = ["Commit", "EventWriter", "WriterStats"]

MAX_BATCH = 256
"""Messages in one transaction."""

FIRST_RETRY, LAST_RETRY = 0.2, 10.0
"""Seconds between tries while the database is away: doubling from the first to the last."""

PICTURES_IN_MEMORY = 200
"""Queued messages that keep their snapshot while neither database nor disk can be written."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WriterStats:
    """How the writer is. `lag` in seconds; counters since start."""

    lag: float
    queued: int
    spooled: int
    written: int
    rejected: int
    snapshots_owed: int
    snapshots_lost: int
    failed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Entry:
    message: Message
    since: float


class EventWriter:
    """Writes Transitions and Progress to the event database from one thread of its own.

    `spool`: file that takes messages while the database is away; those of an earlier process
    are replayed first. `snapshots`: None keeps no pictures. `on_committed` is called on the
    writer thread after each commit, at least once a message; it must be quick. `in_transaction`
    adds what has to commit together with a message (`monitor.events.commit.InTransaction`).
    """

    def __init__(
        self,
        engine: Engine,
        *,
        spool: Path,
        snapshots: SnapshotStore | None,
        clock: Clock,
        on_committed: Callable[[Commit], None] | None = None,
        in_transaction: InTransaction | None = None,
    ) -> None:
        self._url = engine.url
        self._clock = clock
        self._changed = threading.Condition()
        self._pictures = (
            OwedSnapshots(snapshots, clock, on_change=self._on_picture) if snapshots else None
        )
        self._spool = _open_spool(spool)
        self._rejects = _open_spool(spool.with_name(f"{spool.name}.rejected"))
        self._committer = Committer(
            engine,
            pictures=self._pictures,
            rejects=self._rejects,
            clock=clock,
            report=on_committed,
            in_transaction=in_transaction,
        )
        self._spooled_since = clock.now().monotonic
        self._spool_reason = ""
        self._queue: deque[_Entry] = deque()
        self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)
        self._stopping = False
        self._written = 0
        self._reason = ""
        self._retry_at = 0.0
        self._pause = FIRST_RETRY
        self._beat_at = 0.0

    def start(self) -> None:
        """Start the threads; what an earlier process spooled is written first."""
        if self._pictures is not None:
            self._pictures.start()
        self._thread.start()

    def put(self, message: Message) -> None:
        """Take a message. Never blocks on the database. Raises RuntimeError after `stop`."""
        entry = _Entry(message, self._clock.now().monotonic)
        with self._changed:
            if self._stopping:
                raise RuntimeError("the event writer has been stopped")
            self._queue.append(entry)
            self._changed.notify_all()

    def replay_spool(self) -> int:
        """Write what an earlier process spooled, before `start`; returns how many messages.

        Call it before asking for open occupancies. Raises DatabaseError.
        """
        count = self._spool.pending
        try:
            self._replay()
        except (SQLAlchemyError, OSError) as error:
            raise explain(error, self._url) from error
        return count

    def lag(self) -> float:
        """Age in seconds of the oldest message that is not in the database."""
        now = self._clock.now().monotonic
        with self._changed:
            if self._spool.pending:
                return max(0.0, now - self._spooled_since)
            return max(0.0, now - self._queue[0].since) if self._queue else 0.0

    @property
    def alive(self) -> bool:
        """Whether the writer's thread runs."""
        return self._thread.is_alive()

    def stats(self) -> WriterStats:
        """A picture of the moment; `failed` until the next write succeeds."""
        owed = self._pictures
        reasons = [self._reason, self._spool_reason, owed.reason if owed else ""]
        reason = "; ".join(filter(None, reasons))
        return WriterStats(
            lag=self.lag(),
            queued=len(self._queue),
            spooled=self._spool.pending,
            written=self._written,
            rejected=self._rejects.pending,
            snapshots_owed=owed.count if owed else 0,
            snapshots_lost=owed.lost if owed else 0,
            failed=bool(reason),
            reason=reason,
        )

    def flush(self, timeout: float) -> bool:
        """Wait until everything taken so far is in the database, and its pictures in place unless
        their folder cannot be written; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unfinished(), timeout)

    def await_snapshot(self, event_id: UUID, timeout: float) -> bool:
        """Wait for the picture of an event that is on its way; False after `timeout` seconds.

        Returns at once when there is none, or its folder cannot be written.
        """

        def arrived() -> bool:
            queued = any(
                entry.message.event_id == event_id and entry.message.snapshot is not None
                for entry in self._queue
            )
            return not queued and not (self._pictures and self._pictures.owes(event_id))

        with self._changed:
            return self._changed.wait_for(arrived, timeout)

    def stop(self, timeout: float) -> bool:
        """Write what is left and end the thread, waiting at most `timeout` seconds.

        What the database does not take goes to the spool, for the next process. True when every
        message is in the database or on disk.
        """
        with self._changed:
            self._stopping = True
            self._retry_at = 0.0
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if self._pictures is not None:
            self._pictures.stop(timeout)
        if self._queue:
            self._to_spool()  # the thread hangs in the database; twice written is once applied
        if self._spool.pending:
            log.warning("messages wait in the spool", messages=self._spool.pending)
        return not self._queue

    def _run(self) -> None:
        while True:
            try:
                tried = self._turn()
            except Exception as error:
                log.exception("the event writer stumbled")
                self._fail(f"{type(error).__name__}: {error}")
                tried = True
            with self._changed:
                if self._stopping and (not self._unfinished() or (tried and self._reason)):
                    return

    def _unfinished(self) -> bool:
        """Whether messages are not in the database yet, or pictures not in their rows."""
        owed = self._pictures is not None and self._pictures.pending()
        return bool(self._queue) or bool(self._spool.pending) or owed

    def _on_picture(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _turn(self) -> bool:
        """Wait for something to do and do it; True if the database was tried."""
        wait = self._retry_at - time.monotonic()
        if self._reason and wait > 0.0:
            if not self._spool_reason:
                self._to_spool()
            with self._changed:
                can_spool = not self._spool_reason
                self._changed.wait_for(
                    lambda: self._stopping or (can_spool and bool(self._queue)), wait
                )
            return False
        if self._spool.pending:
            return self._attempt(self._replay)
        pictures = self._pictures
        if pictures is not None and self._stopping:
            pictures.place()
        with self._changed:
            beat = max(0.0, self._beat_at - time.monotonic())
            self._changed.wait_for(
                lambda: (
                    self._stopping
                    or bool(self._queue)
                    or (pictures is not None and bool(pictures.placed()))
                ),
                beat,
            )
            batch = [entry.message for entry in islice(self._queue, MAX_BATCH)]
        return self._attempt(lambda: self._write_queue(batch))

    def _attempt(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except (SQLAlchemyError, OSError) as error:
            self._fail(explain(error, self._url).what)
            self._to_spool()
        else:
            if self._reason:
                log.info("the event database is back")
            self._reason = self._spool_reason = ""
            self._pause = FIRST_RETRY
        return True

    def _fail(self, reason: str) -> None:
        if not self._reason:
            log.error("events cannot be written", reason=reason)
        self._reason = reason
        self._retry_at = 0.0 if self._stopping else time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LAST_RETRY)

    def _write_queue(self, batch: Sequence[Message]) -> None:
        self._committer.write(coalesce(batch))
        with self._changed:
            for _ in batch:
                self._queue.popleft()
            self._written += len(batch)
            self._changed.notify_all()
        if time.monotonic() >= self._beat_at or (self._stopping and not self._queue):
            self._committer.beat()
            self._beat_at = time.monotonic() + BEAT_EVERY

    def _replay(self) -> None:
        """Write the spool in order and empty it. Interrupted, it starts again: applying a
        message twice changes nothing."""
        if not self._spool.pending:
            return
        messages = self._spool.read()
        count = 0
        while batch := list(islice(messages, MAX_BATCH)):
            self._committer.write(coalesce(batch))
            count += len(batch)
            if self._pictures is not None:  # no hurry here: the spool holds them until they are
                self._pictures.place()
        self._committer.write(())
        with self._changed:
            self._spool.clear()
            self._written += count
            self._changed.notify_all()
        log.info("spooled messages are in the database", messages=count)

    def _to_spool(self) -> None:
        """Move the queue to disk; what the disk does not take stays in memory."""
        with self._changed:
            entries = list(self._queue)
            if not entries:
                return
            try:
                self._spool.append([entry.message for entry in entries])
            except OSError as error:
                if not self._spool_reason:
                    log.error("the spool cannot be written", reason=error.strerror or str(error))
                self._spool_reason = f"spool: {error.strerror or error}"
                self._slim(entries)
                return
            if self._spool.pending == len(entries):
                self._spooled_since = entries[0].since
            self._spool_reason = ""
            self._queue.clear()

    def _slim(self, entries: list[_Entry]) -> None:
        """Neither database nor disk: keep every change, give up superseded Progress and, beyond
        PICTURES_IN_MEMORY messages, the snapshots."""
        since = {id(entry.message): entry.since for entry in entries}
        oldest = entries[0].since
        kept = [_Entry(m, since.get(id(m), oldest)) for m in coalesce(e.message for e in entries)]
        excess = len(kept) - PICTURES_IN_MEMORY
        for index in range(max(0, excess)):
            message = kept[index].message
            if not isinstance(message, CameraHealth) and message.snapshot is not None:
                kept[index] = _Entry(replace(message, snapshot=None), kept[index].since)
                if self._pictures:
                    self._pictures.lost += 1
        self._queue = deque(kept)


def _open_spool(path: Path) -> Spool:
    try:
        return Spool(path)
    except OSError as error:
        raise DatabaseError(
            f"the spool cannot be opened: {error.strerror or error}",
            where=str(path),
            remedy="give this user read and write permission on it",
        ) from error
