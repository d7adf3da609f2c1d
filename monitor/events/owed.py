"""Pictures on their way to the store: an event never waits for its picture.

    committed event ──add──▶ owed ──place──▶ file ──▶ placed ──▶ row names it ──settle

A thread of its own puts files in place, so that their fsyncs hold up no commit. The row names a
picture only once its file is durable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from monitor.clock import Clock
from monitor.events.snapshots import SnapshotStore
from monitor.telemetry import get_logger

RETRY_AFTER = 10.0
"""Seconds between tries while the folder cannot be written."""

MOST_OWED = 64 * 1024 * 1024
"""Bytes of pictures kept in memory; beyond that the oldest is given up, and counted."""

AT_ONCE = 16
"""Pictures that share the fsync of their folder; the first row waits for no more than these."""

log = get_logger(__name__)


@dataclass(slots=True)
class _Owed:
    path: str
    jpeg: bytes
    named: bool
    in_place: bool = False


class OwedSnapshots:
    """Pictures that are owed until their row names them. Safe to use from several threads.

    While the folder cannot be written, pictures are kept (at most MOST_OWED) and tried again;
    `reason` says why. `on_change` is called after pictures got in place or could not.
    """

    def __init__(
        self, store: SnapshotStore, clock: Clock, *, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_change = on_change
        self._changed = threading.Condition()
        self._placing = threading.Lock()
        self._owed: dict[UUID, _Owed] = {}
        self._bytes = 0
        self._retry_at = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="event-snapshots", daemon=True)
        self.lost = 0
        self.reason = ""

    def start(self) -> None:
        """Start the thread that puts pictures in place."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread, waiting at most `timeout` seconds for the picture it is at."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def count(self) -> int:
        """Pictures that no row names yet."""
        with self._changed:
            return len(self._owed)

    def pending(self) -> bool:
        """Whether pictures will be in place soon or wait for their rows: not while the folder
        cannot be written."""
        with self._changed:
            return bool(self._owed) and (not self.reason or bool(self._ready()))

    def owes(self, event_id: UUID) -> bool:
        """Whether the event's picture is on its way and the folder can be written."""
        with self._changed:
            return event_id in self._owed and not self.reason

    def add(self, event_id: UUID, path: str, jpeg: bytes, named: bool) -> None:
        """Take the picture of a committed event; a newer one of the same event replaces it.

        `named`: the row names the path already.
        """
        with self._changed:
            earlier = self._forget(event_id)
            if earlier is not None:  # its file may be in place: do not leave it behind
                path, named = earlier.path, named or earlier.named
            self._owed[event_id] = _Owed(path, jpeg, named)
            self._bytes += len(jpeg)
            while self._bytes > MOST_OWED and len(self._owed) > 1:
                self._forget(next(iter(self._owed)))
                self.lost += 1
            self._changed.notify_all()

    def place(self) -> None:
        """Put all that are owed in place, on this thread; give up when the folder cannot be
        written."""
        while self._place_some():
            pass

    def placed(self) -> dict[UUID, str]:
        """The paths of those in place whose rows do not name them yet, by event."""
        with self._changed:
            return {event_id: self._owed[event_id].path for event_id in self._ready()}

    def settle(self, event_ids: Iterable[UUID]) -> None:
        """Their rows name the pictures now."""
        with self._changed:
            for event_id in event_ids:
                owed = self._owed.get(event_id)
                if owed is not None and owed.in_place:
                    self._forget(event_id)
                elif owed is not None:  # a newer picture came meanwhile
                    owed.named = True

    def discard(self, event_id: UUID, path: str) -> None:
        """The event is gone, and its picture goes, too."""
        with self._changed:
            self._forget(event_id)
        try:
            self._store.delete(path)
        except OSError as error:
            log.warning("a stray snapshot stays", path=path, reason=error.strerror or str(error))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and not self._due():
                    self._changed.wait(self._pause())
                if self._stopping:
                    return
            self._place_some()

    def _due(self) -> bool:
        return self._pause() == 0.0

    def _pause(self) -> float | None:
        """Seconds until there is something to place; None: nothing is owed."""
        if all(owed.in_place for owed in self._owed.values()):
            return None
        return max(0.0, self._retry_at - self._clock.now().monotonic)

    def _ready(self) -> list[UUID]:
        return [event_id for event_id, owed in self._owed.items() if owed.in_place]

    def _forget(self, event_id: UUID) -> _Owed | None:
        owed = self._owed.pop(event_id, None)
        if owed is not None:
            self._bytes -= len(owed.jpeg)
        return owed

    def _place_some(self) -> bool:
        """Put the oldest few in place; False when there was nothing, or the folder failed."""
        with self._placing:
            with self._changed:
                waiting = ((i, owed) for i, owed in self._owed.items() if not owed.in_place)
                some = dict(islice(waiting, AT_ONCE))
            try:
                self._store.write_all({owed.path: owed.jpeg for owed in some.values()})
            except OSError as error:
                self._failed(error.strerror or str(error))
                some = {}
            else:
                with self._changed:
                    self._note(some)
        self._on_change()
        return bool(some)

    def _note(self, some: dict[UUID, _Owed]) -> None:
        """They are in place; those whose rows name them are settled with that."""
        self.reason, self._retry_at = "", 0.0
        for event_id, owed in some.items():
            owed.in_place = True
            if owed.named and self._owed.get(event_id) is owed:
                self._forget(event_id)
        self._changed.notify_all()

    def _failed(self, reason: str) -> None:
        with self._changed:
            self._retry_at = self._clock.now().monotonic + RETRY_AFTER
            if not self.reason:
                log.error("snapshots cannot be written", reason=reason)
            self.reason = f"snapshots: {reason}"
