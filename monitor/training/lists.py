"""List files: `path label`, one picture a line, as PULC and PaddleClas write them.

The separator is the LAST space of a line, so paths may hold spaces; for paths without any this
is exactly PaddleClas's split on the delimiter " ", so their lists are read as they are (and the
lists written here are theirs as long as no path holds a space). UTF-8, a BOM is ignored, blank
lines are skipped. Labels: 0 nobody, 1 someone, -1 unlabelled (distillation only).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from monitor.errors import InputError
from monitor.imaging.jpeg import read_picture
from monitor.training.files import write_text

DELIMITER = " "
NOBODY, SOMEONE, UNLABELLED = 0, 1, -1
NAMED_AT_MOST = 10
"""How many broken files an error names; the rest is counted."""

PICTURE_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for files that are no whole picture."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: the path as listed, where the file is, and its label (0, 1 or -1)."""

    name: str
    path: Path
    label: int


def read_list(file: Path, root: Path, *, unlabelled: bool = False) -> list[Entry]:
    """Read a list whose paths are relative to `root` (or absolute inside it).

    With `unlabelled`, a line may be a bare path or carry the label -1. Raises InputError when
    the file is missing or empty, a line has no such label, a path leads outside `root`, or
    pictures are missing: these are all counted and the first ten named.
    """
    entries, missing = [], []
    base = os.path.normpath(Path.cwd() / root)
    for number, line in _lines(file):
        where = f"{file}:{number}"
        name, label = _split_label(line, where, unlabelled=unlabelled)
        path = resolve_inside(base, name, where)
        if path.is_file():
            entries.append(Entry(name, path, label))
        else:
            missing.append(f"{name} (line {number})")
    if missing:
        raise InputError(
            f"{len(missing)} listed pictures do not exist: {_some(missing)}",
            where=str(file),
            remedy=f"paths are relative to {root}; correct the list or the root",
        )
    if not entries:
        raise InputError(
            "the list names no picture", where=str(file), remedy="a line each: `path label`"
        )
    return entries


def read_soft_labels(file: Path) -> dict[str, float]:
    """Read `path p_someone` lines: a teacher's P(someone) in [0, 1] by listed path.

    Raises InputError when the file cannot be read, a line has no such number, or it is empty.
    """
    soft: dict[str, float] = {}
    for number, line in _lines(file):
        name, _, text = line.rpartition(DELIMITER)
        value = _number(text)
        if not name or value is None or not 0.0 <= value <= 1.0:
            raise InputError(
                f"{line!r} is not `path p_someone` with p in [0, 1]", where=f"{file}:{number}"
            )
        soft[name.strip()] = value
    if not soft:
        raise InputError("the file holds no soft label", where=str(file))
    return soft


def listable(name: str) -> bool:
    """Whether a list can name a path: no line break in it, no space at its ends, all Unicode."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return bool(name) and name == name.strip() and "\n" not in name


def write_list(file: Path, lines: Iterable[tuple[str, int | float]]) -> None:
    """Write `path label` lines atomically; every path must be `listable`."""
    text = "".join(f"{name}{DELIMITER}{_plain(label)}\n" for name, label in lines)
    write_text(file, text)


def count_labels(entries: Iterable[Entry]) -> dict[int, int]:
    """Number of entries of each label, labels in order."""
    counts: dict[int, int] = {}
    for entry in entries:
        counts[entry.label] = counts.get(entry.label, 0) + 1
    return dict(sorted(counts.items()))


def require_both_classes(entries: Sequence[Entry], where: str) -> None:
    """Raise InputError unless there are pictures of both classes."""
    counts = count_labels(entries)
    for label, word in ((NOBODY, "nobody"), (SOMEONE, "someone")):
        if not counts.get(label):
            raise InputError(
                f"there is no picture of class {label} ({word})",
                where=where,
                remedy="a two-class network needs pictures of both: add some, or mix in a source",
            )


def find_broken(
    entries: Sequence[Entry],
    *,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> dict[str, str]:
    """Decode every picture once and return `{name: what is wrong}` of those that fail.

    `progress` is told how many pictures were done since last time.
    """
    broken: dict[str, str] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        complaints = pool.map(lambda entry: complaint(entry.path), entries)
        for entry, problem in zip(entries, complaints, strict=True):
            if problem is not None:
                broken[entry.name] = problem
            if progress is not None:
                progress(1)
    return broken


def refuse_broken(broken: Mapping[str, str], where: str) -> None:
    """Raise InputError naming the broken pictures, if there are any."""
    if broken:
        named = [f"{name}: {problem}" for name, problem in broken.items()]
        raise InputError(
            f"{len(broken)} pictures cannot be decoded: {_some(named)}",
            where=where,
            remedy="repair or unlist them, or set data.skip_broken=true to train without them",
        )


def complaint(path: Path) -> str | None:
    """What is wrong with a picture file, or None: both decoders that meet it must take it.

    Pillow notices truncation, which OpenCV, the decoder of training, passes over. It decodes
    JPEGs at an eighth of their size, which reads the whole file all the same; OpenCV reads
    every JPEG that Pillow does, but not every TIFF.
    """
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (max(1, picture.width // 8), max(1, picture.height // 8)))
            picture.load()
            is_jpeg = picture.format == "JPEG"
        if not is_jpeg:
            read_picture(path)
    except InputError as error:
        return error.what
    except PICTURE_ERRORS as error:
        return why_unreadable(error)
    return None


def why_unreadable(error: Exception) -> str:
    """A Pillow error as a person reads it: its first line, without addresses in memory."""
    if isinstance(error, UnidentifiedImageError):
        return "is no picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def resolve_inside(base: str, name: str, where: str) -> Path:
    """The absolute path of `name` under `base`; InputError if it leads outside.

    Judged by the path's text: symbolic links inside the root are the owner's own arrangement.
    """
    path = os.path.normpath(f"{base}{os.sep}{name}" if not Path(name).is_absolute() else name)
    if os.path.commonpath([base, path]) != base or path == base:
        raise InputError(
            f"{name!r} leads outside {base}",
            where=where,
            remedy="list only pictures below the root, or choose a root above all of them",
        )
    return Path(path)


def _lines(file: Path) -> Iterable[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"cannot read the list: {error.strerror}",
            where=str(file),
            remedy="`dataset build` makes lists; is the path right?",
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"the list is not UTF-8: {error.reason}", where=str(file), remedy="save it as UTF-8"
        ) from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def _split_label(line: str, where: str, *, unlabelled: bool) -> tuple[str, int]:
    name, _, text = line.rpartition(DELIMITER)
    allowed = {"0": NOBODY, "1": SOMEONE}
    if unlabelled:
        allowed["-1"] = UNLABELLED
    if name and text in allowed:
        return name.rstrip(), allowed[text]
    if unlabelled:
        return line, UNLABELLED
    raise InputError(
        f"{line!r} does not end in a label",
        where=where,
        remedy="write `path label` with label 0 (nobody) or 1 (someone), one picture a line",
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(label: int | float) -> str:
    return str(label) if isinstance(label, int) else f"{label:.8g}"


def _some(items: Sequence[str]) -> str:
    rest = len(items) - NAMED_AT_MOST
    return ", ".join(items[:NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")
