"""Labelled pictures to measure on: list files, or CSV files with more columns.

A list file is `path label`, one a line (`monitor.training.lists`). A CSV has a header with
`path` and `label`, and perhaps `source` and `max_person_box_fraction` (the largest person's
box as a share of the picture); rows labelled `skip` are left out.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from monitor.errors import InputError
from monitor.inference.model import DEFAULT_LABELS
from monitor.training.lists import Entry, read_list, resolve_inside

SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture: `name` as listed, `label` 0 nobody / 1 someone.

    `person_share` is the largest person's box area / picture area, None if unknown.
    """

    name: str
    path: Path
    label: int
    source: str = ""
    person_share: float | None = None

    @property
    def entry(self) -> Entry:
        """As a line of a list file."""
        return Entry(self.name, self.path, self.label)


def read_labelled(file: Path, root: Path | None, sources: Path | None = None) -> list[Labelled]:
    """Read a list or a CSV (by its suffix); paths are relative to `root`, default its folder.

    `sources`: a CSV with `path` and `source` and/or `max_person_box_fraction` that adds these
    by path. Without any, a picture's source is the first folder of its path that is not named
    after a class. Raises InputError
    for a file that is missing, malformed or empty, and for missing pictures (ten are named).
    """
    base = file.parent if root is None else root
    if file.suffix.lower() == ".csv":
        items = _read_csv(file, base)
    else:
        items = [
            Labelled(entry.name, entry.path, entry.label, _first_folder(entry.name))
            for entry in read_list(file, base)
        ]
    if sources is None:
        return items
    return _with_sources(items, sources)


def _read_csv(file: Path, root: Path) -> list[Labelled]:
    items, missing = [], []
    base = os.path.normpath(root.absolute())
    for where, row in _rows(file, {"path", "label"}):
        label = (row["label"] or "").strip()
        if label == SKIP:
            continue
        if label not in {"0", "1"}:
            raise InputError(
                f"label {label!r} is none", where=where, remedy="write 0, 1 or skip in `label`"
            )
        name = (row["path"] or "").strip()
        path = resolve_inside(base, name, where)
        if not path.is_file():
            missing.append(name)
        source = (row.get("source") or "").strip() or _first_folder(name)
        items.append(Labelled(name, path, int(label), source, _share(row, where)))
    if missing:
        named = ", ".join(missing[:10]) + (" …" if len(missing) > 10 else "")
        raise InputError(
            f"{len(missing)} listed pictures do not exist: {named}",
            where=str(file),
            remedy=f"paths are relative to {root}; give --root or correct the file",
        )
    if not items:
        raise InputError("the file names no labelled picture", where=str(file))
    return items


def _with_sources(items: list[Labelled], file: Path) -> list[Labelled]:
    known = {row["path"]: (where, row) for where, row in _rows(file, {"path"})}
    matched = []
    for item in items:
        if item.name not in known:
            matched.append(item)
            continue
        where, row = known[item.name]
        share = _share(row, where)
        matched.append(
            replace(
                item,
                source=(row.get("source") or "").strip() or item.source,
                person_share=item.person_share if share is None else share,
            )
        )
    if not any(item.name in known for item in items):
        raise InputError(
            "no path of this file is in the list",
            where=str(file),
            remedy="its `path` column must be written as in the list",
        )
    return matched


def _rows(file: Path, needed: set[str]) -> Iterator[tuple[str, Mapping[str, str | None]]]:
    """The rows of a CSV, each with `file:line` for messages."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            lacking = needed - set(reader.fieldnames or ())
            if lacking:
                raise InputError(
                    f"the header lacks {', '.join(sorted(lacking))}",
                    where=str(file),
                    remedy="the first line names the columns: path,label[,source,…]",
                )
            for row in reader:
                yield f"{file}:{reader.line_num}", row
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"is no UTF-8 CSV: {error}", where=str(file)) from None


def _share(row: Mapping[str, str | None], where: str) -> float | None:
    text = (row.get("max_person_box_fraction") or "").strip()
    if not text:
        return None
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise InputError(f"{text!r} is no share of a picture, 0 to 1", where=where)
    return share


def _first_folder(name: str) -> str:
    """Of `someone/dock/1.jpg` it is `dock`: folders named after a class tell no source."""
    folders = [part for part in Path(name).parts[:-1] if part not in DEFAULT_LABELS]
    return folders[0] if folders else ""
