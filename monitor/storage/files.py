"""Files that are there whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(target: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file that takes the place of `target` once the block has ended well and it is on disk.

    Until then it is `.NAME.partial` in the same folder, which a failed block leaves no trace of.
    That the new name survives power loss takes a `sync_folder` as well. `private`: nobody but the
    owner may read it at any moment. Raises OSError.
    """
    with whole_path(target) as partial:
        if private:
            partial.unlink(missing_ok=True)
        with open(partial, "xb" if private else "wb", opener=_owned if private else None) as file:
            yield file


def _owned(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def whole_path(target: Path) -> Iterator[Path]:
    """As `whole_file`, for what opens its file itself: the path to write to."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make renames and new files in `folder` survive power loss. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
