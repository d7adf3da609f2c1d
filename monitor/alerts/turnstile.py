"""Fairness on SQLite: the event writer, when it is busy, lets the outbox through.

SQLite has one lock for writing and no queue before it: who waits looks again every tenth of a
second, and a writer that commits one batch after the other takes it each time before that. So the
writer pauses after a commit while others wait, for a moment and not too often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_PAUSE = 0.25
"""Seconds the writer waits at most: two looks of SQLite's busy handler and a commit."""

EVERY = 0.5
"""Seconds between two pauses at least."""


class Turnstile:
    """Shared by the writer's thread and those that write the outbox."""

    def __init__(self, *, needed: bool) -> None:
        self._needed = needed
        self._changed = threading.Condition()
        self._waiting = 0
        self._paused_at = float("-inf")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around a transaction of the outbox, from before it asks for the lock."""
        with self._changed:
            self._waiting += 1
        try:
            yield
        finally:
            with self._changed:
                self._waiting -= 1
                self._changed.notify_all()

    def let_through(self) -> None:
        """On the writer's thread, between two transactions."""
        if not self._needed or not self._waiting:
            return
        now = time.monotonic()
        if now - self._paused_at < EVERY:
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, LONGEST_PAUSE)
        self._paused_at = time.monotonic()
