"""Model archives unpacked without trust: named files only, bounded, never outside the folder."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

from monitor.errors import ModelError

EXPECTED: Final = frozenset(
    {
        "inference.pdmodel",
        "inference.json",
        "inference.pdiparams",
        "inference.pdiparams.info",
        "inference.yml",
    }
)
"""What an inference model of Paddle consists of, old format and new."""

MOST_MEMBERS: Final = 100
MOST_BYTES: Final = 500_000_000
"""Most bytes a model may unpack to."""

_BLOCK: Final = 1 << 20


def unpack_model(
    archive: Path, folder: Path, *, where: str = "", limit: int = MOST_BYTES
) -> list[Path]:
    """Unpack the expected files of an uncompressed tar flat into `folder`; returns them.

    Other plain files are left out. The whole archive is refused with ModelError, before
    anything is written, when it holds a link, a device, an absolute path or one with `..`,
    an expected file twice, more than `limit` bytes, or no complete model; and when it is
    truncated or no tar. `where` names it in errors, if it came from elsewhere.
    """
    where = where or str(archive)
    try:
        with tarfile.open(archive, "r:") as tar:
            members = _accepted(tar, where, limit)
            folder.mkdir(parents=True, exist_ok=True)
            return [_write(tar, member, folder / name) for name, member in members.items()]
    except (tarfile.TarError, EOFError, ValueError, OverflowError, MemoryError) as error:
        raise ModelError(
            f"is no complete tar archive: {error}",
            where=where,
            remedy="download it again; compressed archives are not accepted",
        ) from None


def _accepted(tar: tarfile.TarFile, where: str, limit: int) -> dict[str, tarfile.TarInfo]:
    """The members to unpack by file name, all headers having been looked at."""
    accepted: dict[str, tarfile.TarInfo] = {}
    total = 0
    for count, member in enumerate(tar, start=1):
        total += member.size
        name = PurePosixPath(member.name).name
        problem = _problem(member)
        if name in accepted:
            problem = "is there twice"
        if count > MOST_MEMBERS:
            problem = f"is one too many: a model has fewer than {MOST_MEMBERS} files"
        if total > limit:
            problem = f"makes more than {limit / 1e6:.0f} MB"
        if problem is not None:
            raise ModelError(
                f"refused to unpack: {member.name[:200]!r} {problem}",
                where=where,
                remedy="this is no archive PaddleClas made: do not use it",
            )
        if member.isreg() and name in EXPECTED:
            accepted[name] = member
    if "inference.pdiparams" not in accepted or not (
        {"inference.pdmodel", "inference.json"} & accepted.keys()
    ):
        raise ModelError(
            f"holds no inference model, only {sorted(accepted) or 'other files'}",
            where=where,
            remedy="it needs inference.pdmodel or inference.json, and inference.pdiparams",
        )
    return accepted


def _problem(member: tarfile.TarInfo) -> str | None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        return "leads outside the folder"
    if member.issym() or member.islnk():
        return "is a link"
    if not (member.isreg() or member.isdir()) or member.issparse() or member.size < 0:
        return "is no plain file"
    return None


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> Path:
    source = tar.extractfile(member)
    assert source is not None
    written = 0
    with source, target.open("xb") as stream:
        while block := source.read(min(_BLOCK, member.size - written)):
            stream.write(block)
            written += len(block)
    if written != member.size:
        raise tarfile.ReadError(f"{member.name} ends after {written} of {member.size} bytes")
    return target
