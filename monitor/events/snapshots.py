"""Snapshot files: one JPEG an event, written whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from monitor.clock import Clock
from monitor.telemetry import get_logger

RETRY_AFTER = 10.0
"""Seconds between tries while the folder cannot be written."""

MOST_OWED = 100
"""Pictures kept in memory meanwhile; beyond that the oldest is given up, and counted."""

FRESH = 60.0
"""Seconds within which a picture without a row is no surprise."""

log = get_logger(__name__)


def snapshot_path(event_id: UUID, started: datetime) -> str:
    """Where an event's snapshot lies, relative to the folder: `YYYY-MM-DD/ID.jpg` (UTC day)."""
    return f"{started:%Y-%m-%d}/{event_id}.jpg"


class SnapshotStore:
    """The folder of snapshots. Paths are relative to it, as the database keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, path: str, jpeg: bytes) -> None:
        """Put the picture in place atomically and durably. Raises OSError."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        try:
            with partial.open("wb") as file:
                file.write(jpeg)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)

    def delete(self, path: str) -> int:
        """Remove a picture, and its day's folder when that was the last; return freed bytes.

        A picture that is gone already frees 0 bytes. Raises OSError.
        """
        target = self.folder / path
        try:
            size = target.stat().st_size
            target.unlink()
        except FileNotFoundError:
            return 0
        if not any(target.parent.iterdir()):
            target.parent.rmdir()
        return size

    def exists(self, path: str) -> bool:
        """Whether the picture is there."""
        return (self.folder / path).is_file()

    def paths(self) -> Iterator[str]:
        """All pictures in the folder, as the database would name them.

        Those of the last minute are left out: their rows may be on their way.
        """
        youngest = time.time() - FRESH
        for file in sorted(self.folder.glob("????-??-??/*.jpg")):
            if file.stat().st_mtime < youngest:
                yield file.relative_to(self.folder).as_posix()


@dataclass(slots=True)
class _Owed:
    path: str
    jpeg: bytes
    in_place: bool = False


class OwedSnapshots:
    """Pictures on their way to the store. An event never waits for its picture.

    A picture is owed until its row names it. While the folder cannot be written, pictures are
    kept (at most MOST_OWED) and tried again.
    """

    def __init__(self, store: SnapshotStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._owed: dict[UUID, _Owed] = {}
        self._retry_at = 0.0
        self.lost = 0
        self.reason = ""

    def add(self, event_id: UUID, path: str, jpeg: bytes) -> None:
        """Take a picture; a newer one of the same event replaces it."""
        self._owed[event_id] = _Owed(path, jpeg)
        while len(self._owed) > MOST_OWED:
            self._owed.pop(next(iter(self._owed)))
            self.lost += 1

    def due_in(self) -> float | None:
        """Seconds until the next try; None when nothing is owed."""
        if not self._owed:
            return None
        return max(0.0, self._retry_at - self._clock.now().monotonic)

    def write(self) -> dict[UUID, str]:
        """Try all that are owed; the paths of those in place, by event."""
        if self.due_in() == 0.0:
            self._try()
        return {event_id: owed.path for event_id, owed in self._owed.items() if owed.in_place}

    def settle(self, event_ids: Iterable[UUID]) -> None:
        """Their rows name the pictures now (or never will)."""
        for event_id in event_ids:
            self._owed.pop(event_id, None)

    def _try(self) -> None:
        for owed in self._owed.values():
            if owed.in_place:
                continue
            try:
                self._store.write(owed.path, owed.jpeg)
            except OSError as error:
                self._retry_at = self._clock.now().monotonic + RETRY_AFTER
                if not self.reason:
                    log.error("snapshots cannot be written", reason=error.strerror or str(error))
                self.reason = f"snapshots: {error.strerror or error}"
                return
            owed.in_place = True
        self.reason = ""


def sync_folder(folder: Path) -> None:
    """Make renames and new files in `folder` survive power loss. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
