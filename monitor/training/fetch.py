"""The official PULC model, or another archive of its kind: downloaded, checked, put in place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from monitor.errors import InputError, UsageError
from monitor.training.archive import unpack_model
from monitor.training.card import CARD, sha256_of
from monitor.training.download import Download, Progress, download, shown
from monitor.training.files import prepare_output, write_json

MOST_BYTES: Final = 200_000_000
"""Largest archive that is accepted."""

ROOM: Final = 50_000_000
"""Bytes that must be free on the disk before anything is downloaded."""


def fetch_model(
    url: str,
    output: Path,
    *,
    sha256: str | None = None,
    force: bool = False,
    check: Callable[[Path], None] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download the archive at `url` and make `output` a model folder; returns it.

    The archive is kept as `.NAME.tar.part` beside `output` until it is whole, so an interrupted
    fetch goes on where it stopped. Unpacking happens in a folder of its own that takes the
    place of `output` only after `check` has accepted it. Raises UsageError when `output` has
    files already and `force` is not given, InputError when it cannot be written, and what
    `download`, `unpack_model` and `check` raise.
    """
    output = output.absolute()
    if output.exists() and not output.is_dir():
        raise InputError("the output is a file", where=str(output), remedy="name a folder")
    if output.is_dir() and any(output.iterdir()) and not force:
        raise UsageError(
            "the output folder is not empty",
            where=str(output),
            remedy="choose another --output, or replace the folder with --force",
        )
    prepare_output(output.parent, ROOM)
    archive = output.with_name(f".{output.name}.tar")
    try:
        download(Download(url, archive, MOST_BYTES, sha256), progress=progress)
        _unpack(archive, output, url, check)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}",
            where=str(output),
            remedy="make room or choose another --output; the download goes on where it stopped",
        ) from error
    return output


def _unpack(archive: Path, output: Path, url: str, check: Callable[[Path], None] | None) -> None:
    """Make `output` of the archive, in a folder of its own first; the archive is used up."""
    staging = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        files = unpack_model(archive, staging, where=shown(url))
        _write_card(staging, files, url, archive)
        if check is not None:
            check(staging)
        staging.chmod(0o755)
        _put_in_place(staging, output)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        archive.unlink(missing_ok=True)


def _write_card(folder: Path, files: list[Path], url: str, archive: Path) -> None:
    """Where the files came from and what they are, for `model verify`."""
    card = {
        "labels": ["nobody", "someone"],
        "source": shown(url),
        "archive_sha256": sha256_of(archive),
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {file.name: sha256_of(file) for file in sorted(files)},
    }
    write_json(folder / CARD, card)


def _put_in_place(staging: Path, output: Path) -> None:
    """Rename the finished folder to `output`; a folder that was there is removed afterwards."""
    if not output.exists():
        staging.rename(output)
        return
    former = Path(tempfile.mkdtemp(prefix=f".{output.name}.former.", dir=output.parent))
    output.rename(former / output.name)
    try:
        staging.rename(output)
    except OSError:
        (former / output.name).rename(output)
        raise
    finally:
        shutil.rmtree(former, ignore_errors=True)
