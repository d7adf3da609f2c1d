"""Snapshot files: one JPEG an event, written whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import UUID

from monitor.storage.files import sync_folder, whole_file

LOST = "lost"
"""The folder, in that of the snapshots, of pictures that belong to nobody."""

FRESH = 60.0
"""Seconds within which a picture without a row is no surprise."""


def snapshot_path(event_id: UUID, started: datetime) -> str:
    """Where an event's snapshot lies, relative to the folder: `YYYY-MM-DD/ID.jpg` (UTC day)."""
    return f"{started:%Y-%m-%d}/{event_id}.jpg"


class SnapshotStore:
    """The folder of snapshots. Paths are relative to it, as the database keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, path: str, jpeg: bytes) -> None:
        """Put one picture in place, see `write_all`."""
        self.write_all({path: jpeg})

    def write_all(self, pictures: Mapping[str, bytes]) -> None:
        """Put the pictures in place, each atomically and all durably: one fsync a picture and
        one a folder. Raises OSError; the pictures before the one that failed are in place."""
        targets = {self.folder / path: jpeg for path, jpeg in pictures.items()}
        for target, jpeg in targets.items():
            if not target.parent.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                sync_folder(self.folder)
            with whole_file(target) as file:
                file.write(jpeg)
        for folder in {target.parent for target in targets}:
            sync_folder(folder)

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
        with suppress(OSError):  # not empty, or the writer has just put something into it
            target.parent.rmdir()
        return size

    def size(self, path: str) -> int:
        """Bytes of the picture; 0 if there is none. Raises OSError."""
        try:
            return (self.folder / path).stat().st_size
        except FileNotFoundError:
            return 0

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

    def set_aside(self, path: str) -> str:
        """Move a picture that belongs to nobody; where it lies now. Raises OSError."""
        aside = f"{LOST}/{path}"
        target = self.folder / aside
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).rename(target)
        with suppress(OSError):
            (self.folder / path).parent.rmdir()
        return aside

    def old_paths(self, before: datetime) -> Iterator[str]:
        """The pictures of the UTC days that were over before the moment, named as by `paths`.

        What a crash left half-written is among them, and what was set aside.
        """
        days = (*self.folder.glob("????-??-??"), *self.folder.glob(f"{LOST}/????-??-??"))
        for day in sorted(days):
            if day.name < f"{before:%Y-%m-%d}":
                for file in (*day.glob("*.jpg"), *day.glob(".*.partial")):
                    yield file.relative_to(self.folder).as_posix()
