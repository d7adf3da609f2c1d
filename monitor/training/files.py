"""Files written whole or not at all, and folders known to be writable before the work starts."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from monitor.errors import InputError
from monitor.storage.files import whole_path


@contextmanager
def atomic(file: Path) -> Iterator[Path]:
    """A temporary path beside `file`, whose folder is made, that takes its place if all goes well.

    Raises InputError if it cannot be written: no room, no right.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_path(file) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}",
            where=str(file),
            remedy="make room or choose another output; what was there before is intact",
        ) from error


def write_text(file: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(file: Path, value: Any) -> None:
    """Write `value` as indented JSON atomically; paths become strings."""
    write_text(file, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def write_with(file: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a binary file atomically."""
    with atomic(file) as temporary, temporary.open("wb") as stream:
        write(stream)


def prepare_output(folder: Path, needed_bytes: int) -> None:
    """Make `folder`; raise InputError if it cannot be written or its disk is too full."""
    remedy = "choose another output folder or make room"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise InputError(
            f"the output folder cannot be written: {error.strerror}",
            where=str(folder),
            remedy=remedy,
        ) from None
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise InputError(
            f"the disk has {free / 1e6:.0f} MB left, the run needs {needed_bytes / 1e6:.0f} MB",
            where=str(folder),
            remedy=remedy,
        )
