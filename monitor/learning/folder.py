"""The folder of pictures to learn from, bounded in number and size.

    nobody/CAMERA/….jpg      labelled.txt: `path 0`
    someone/CAMERA/….jpg     labelled.txt: `path 1`
    doubtful/CAMERA/….jpg    doubtful.txt: `path -1`, for distillation and for sorting by eye

The lists are what `model train` and `model distill` read. They are made from what lies in the
folders: move a doubtful picture to one of the other two, and it is labelled with the next list.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from monitor.config.learning import LearningConfig
from monitor.storage.files import whole_file


class Kind(StrEnum):
    """What is known of a picture."""

    NOBODY = "nobody"
    SOMEONE = "someone"
    DOUBTFUL = "doubtful"


LABELS = {Kind.NOBODY: 0, Kind.SOMEONE: 1, Kind.DOUBTFUL: -1}
"""As in `monitor.training.lists`."""

LABELLED, UNLABELLED = "labelled.txt", "doubtful.txt"

SUFFIX = ".jpg"

Folders = dict[str, int]
"""Paths, and nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    kind: Kind
    camera: str
    size: int
    age: float


class LearningFolder:
    """Keeps pictures below one folder. For one thread. All methods may raise OSError."""

    def __init__(self, config: LearningConfig) -> None:
        self.config = config
        self._root = config.folder
        self._most = config.max_pictures
        self._heaviest = int(config.max_megabytes * 1e6)
        self._count, self._weight = 0, 0
        self._counted = False
        self._listed: Folders | None = None

    @property
    def unlisted(self) -> bool:
        """Whether the lists are older than what lies in the folders, sorted by hand or not."""
        return self._listed is None or self._listed != self._folders()

    def keep(self, kind: Kind, camera: str, name: str, jpeg: bytes) -> Path | None:
        """Keep a picture as `name`, in place of one of that name of whatever kind.

        Doubtful ones make way for it, the oldest of the camera that has the most. None if there
        is no room: what was labelled makes way for nothing.
        """
        for other in Kind:
            self._remove(self._path(other, camera, name))
        if not self._make_room(len(jpeg)):
            return None
        target = self._path(kind, camera, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as file:
            file.write(jpeg)
        self._count += 1
        self._weight += len(jpeg)
        return target

    def drop(self, camera: str, name: str) -> bool:
        """Remove a picture of whatever kind; whether there was one."""
        return sum(self._remove(self._path(kind, camera, name)) for kind in Kind) > 0

    def write_lists(self) -> dict[Kind, int]:
        """Write both lists from what lies in the folders; returns how many of each kind."""
        self._root.mkdir(parents=True, exist_ok=True)
        folders = self._folders()
        kept = sorted(self._all(), key=lambda each: str(each.path))
        for file, kinds in (
            (LABELLED, (Kind.NOBODY, Kind.SOMEONE)),
            (UNLABELLED, (Kind.DOUBTFUL,)),
        ):
            lines = [
                f"{each.path.relative_to(self._root).as_posix()} {LABELS[each.kind]}\n"
                for each in kept
                if each.kind in kinds
            ]
            with whole_file(self._root / file) as stream:
                stream.write("".join(lines).encode())
        self._listed = folders
        return {kind: sum(each.kind is kind for each in kept) for kind in Kind}

    def _folders(self) -> Folders:
        """The folders that hold pictures, and when each was last changed."""
        found = {}
        for kind in Kind:
            for path in (self._root / kind.value).glob("*/"):
                with suppress(FileNotFoundError):
                    found[str(path)] = path.stat().st_mtime_ns
        return found

    def _path(self, kind: Kind, camera: str, name: str) -> Path:
        return self._root / kind.value / camera / f"{name}{SUFFIX}"

    def _make_room(self, size: int) -> bool:
        if not self._counted:
            kept = list(self._all())
            self._count, self._weight = len(kept), sum(each.size for each in kept)
            self._counted = True
        if self._fits(size):
            return True
        doubtful = [each for each in self._all() if each.kind is Kind.DOUBTFUL]
        while doubtful and not self._fits(size):
            cameras = [each.camera for each in doubtful]
            fullest = max(set(cameras), key=lambda name: (cameras.count(name), name))
            oldest = min((e for e in doubtful if e.camera == fullest), key=lambda each: each.age)
            self._remove(oldest.path)
            doubtful.remove(oldest)
        return self._fits(size)

    def _fits(self, size: int) -> bool:
        return self._count < self._most and self._weight + size <= self._heaviest

    def _remove(self, path: Path) -> bool:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return False
        if self._counted:
            self._count -= 1
            self._weight -= size
        return True

    def _all(self) -> Iterator[_Kept]:
        for kind in Kind:
            for folder, _, files in os.walk(self._root / kind.value):
                here = Path(folder)
                for name in files:
                    if not name.endswith(SUFFIX):
                        continue
                    with suppress(FileNotFoundError):  # somebody is sorting them right now
                        found = (here / name).stat()
                        camera = here.relative_to(self._root / kind.value).as_posix()
                        yield _Kept(here / name, kind, camera, found.st_size, found.st_mtime)
