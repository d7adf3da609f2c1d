"""Readers of annotated pictures: COCO and Objects365 JSON, VOC XML, YOLO text, plain folders.

Every reader says of each picture how large its largest person box is; the labelling rule is
applied later. A person of unknown or impossible extent counts as present with size 0, so that
its picture is never taken for one of nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from monitor.errors import InputError
from monitor.imaging.jpeg import PICTURE_SUFFIXES

FOLDERS = {"nobody": 0.0, "0": 0.0, "someone": 1.0, "1": 1.0}
"""Names of class folders and the person share a picture in them is given."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """A picture and `largest`: its largest person box / its area; None if it shows no person."""

    path: Path
    largest: float | None


def read_coco(annotations: Path, images: Path, persons: Sequence[str]) -> list[Annotated]:
    """COCO's JSON, and Objects365's, which has the same form.

    `persons`: category names that are persons, in any case. Crowd boxes make a picture not
    empty but say nothing of a single person's size. Raises InputError if the file is no such
    JSON or has no person category.
    """
    tree = _read_json(annotations)
    try:
        wanted = {name.casefold() for name in persons}
        categories = {
            item["id"] for item in tree["categories"] if item["name"].casefold() in wanted
        }
        if not categories:
            known = ", ".join(sorted(str(item["name"]) for item in tree["categories"])[:20])
            raise InputError(
                f"there is no category {' or '.join(persons)}; there are {known}",
                where=str(annotations),
                remedy="name the person category in `persons`",
            )
        sizes = {item["id"]: _coco_size(item) for item in tree["images"]}
        largest: dict[Any, float] = {}
        for box in tree["annotations"]:
            if box["category_id"] in categories:
                share = 0.0 if box.get("iscrowd") else _coco_share(box, sizes[box["image_id"]])
                largest[box["image_id"]] = max(share, largest.get(box["image_id"], 0.0))
        return [
            Annotated(images / item["file_name"], largest.get(item["id"]))
            for item in tree["images"]
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"the JSON is not COCO's: {error!r}", where=str(annotations)) from None


def read_voc(annotations: Path, images: Path, persons: Sequence[str]) -> list[Annotated]:
    """Pascal VOC: a folder of XML files, one a picture, named like it or by its <filename>."""
    wanted = {name.casefold() for name in persons}
    return [_voc_picture(file, images, wanted) for file in _files(annotations, {".xml"})]


def read_yolo(annotations: Path, images: Path, persons: Sequence[str]) -> list[Annotated]:
    """YOLO: a text file beside each picture's name, lines `class cx cy w h` in shares.

    `persons` are class numbers as text, or names if `annotations` (or its parent) holds a
    `classes.txt`. A picture without a text file is a background picture, as in YOLO.
    """
    numbers = _yolo_numbers(annotations, persons)
    found = []
    for picture in _files(images, PICTURE_SUFFIXES):
        text = annotations / picture.relative_to(images).with_suffix(".txt")
        found.append(Annotated(picture, _yolo_largest(text, numbers) if text.exists() else None))
    return found


def read_folders(images: Path) -> list[Annotated]:
    """Pictures in folders `nobody` and `someone` (or `0` and `1`), at any depth below those."""
    found = []
    for name, share in FOLDERS.items():
        if (images / name).is_dir():
            largest = share if share > 0.0 else None
            found += [Annotated(file, largest) for file in _files(images / name, PICTURE_SUFFIXES)]
    if not found:
        raise InputError(
            "there are no pictures in folders `nobody` and `someone`",
            where=str(images),
            remedy="sort pictures into these two folders, or choose another format",
        )
    return found


def list_pictures(folder: Path) -> list[Path]:
    """All picture files below a folder, sorted; InputError if there are none."""
    return list(_files(folder, PICTURE_SUFFIXES))


def _files(folder: Path, suffixes: Set[str]) -> Sequence[Path]:
    if not folder.is_dir():
        raise InputError("there is no such folder", where=str(folder), remedy="is the path right?")
    files = sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in suffixes and file.is_file()
    )
    if not files:
        raise InputError(f"the folder holds no {'/'.join(sorted(suffixes))}", where=str(folder))
    return files


def _read_json(file: Path) -> Mapping[str, Any]:
    try:
        with file.open(encoding="utf-8") as stream:
            tree = json.load(stream)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=str(file)) from None
    except ValueError as error:
        raise InputError(f"no valid JSON: {error}", where=str(file)) from None
    if not isinstance(tree, dict):
        raise InputError("the JSON holds no object", where=str(file))
    return tree


def _coco_size(item: Mapping[str, Any]) -> tuple[float, float]:
    return float(item["width"]), float(item["height"])


def _coco_share(box: Mapping[str, Any], size: tuple[float, float]) -> float:
    left, top, width, height = (float(value) for value in box["bbox"])
    return _share((left, top, left + width, top + height), size)


def _share(box: tuple[float, float, float, float], size: tuple[float, float]) -> float:
    """Area of the part of a box (left, top, right, bottom) that lies in a picture, as a share."""
    width, height = size
    if width <= 0 or height <= 0:
        return 0.0
    wide = min(box[2], width) - max(box[0], 0.0)
    high = min(box[3], height) - max(box[1], 0.0)
    return max(0.0, wide) * max(0.0, high) / (width * height)


def _voc_picture(file: Path, images: Path, wanted: set[str]) -> Annotated:
    try:
        root = ElementTree.parse(file).getroot()  # noqa: S314 (expat stops entity bombs itself)
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise InputError(f"no valid XML: {error}", where=str(file)) from None
    picture = _voc_path(root, file, images)
    boxes = [
        item.find("bndbox")
        for item in root.iter("object")
        if (item.findtext("name") or "").strip().casefold() in wanted
    ]
    if not boxes:
        return Annotated(picture, None)
    size = _voc_size(root) or _picture_size(picture)
    return Annotated(picture, max(_voc_share(box, size) for box in boxes))


def _voc_path(root: ElementTree.Element, file: Path, images: Path) -> Path:
    """By the annotation file's own name if there is such a picture, else by <filename>."""
    for suffix in sorted(PICTURE_SUFFIXES):
        candidate = images / f"{file.stem}{suffix}"
        if candidate.exists():
            return candidate
    name = (root.findtext("filename") or "").strip()
    return images / (Path(name).name or f"{file.stem}.jpg")


def _voc_size(root: ElementTree.Element) -> tuple[float, float] | None:
    width, height = _number(root.findtext("size/width")), _number(root.findtext("size/height"))
    return (width, height) if width and height else None


def _voc_share(box: ElementTree.Element | None, size: tuple[float, float]) -> float:
    if box is None:
        return 0.0
    edges = [_number(box.findtext(name)) for name in ("xmin", "ymin", "xmax", "ymax")]
    if any(edge is None for edge in edges):
        return 0.0
    left, top, right, bottom = (float(edge or 0.0) for edge in edges)
    return _share((left, top, right, bottom), size)


def _picture_size(path: Path) -> tuple[float, float]:
    try:
        with Image.open(path) as picture:
            return float(picture.width), float(picture.height)
    except (OSError, ValueError):
        return 0.0, 0.0  # A broken picture is named when it is decoded.


def _yolo_numbers(annotations: Path, persons: Sequence[str]) -> set[int]:
    names: list[str] = []
    for folder in (annotations, annotations.parent):
        if (folder / "classes.txt").is_file():
            lines = (folder / "classes.txt").read_text(encoding="utf-8").splitlines()
            names = [line.strip().casefold() for line in lines]
            break
    numbers = {int(person) for person in persons if person.isdigit()}
    numbers |= {names.index(p.casefold()) for p in persons if p.casefold() in names}
    if not numbers:
        raise InputError(
            f"YOLO files number their classes; which one is {' or '.join(persons)}?",
            where=str(annotations),
            remedy="give `persons` as numbers (COCO's person is 0) or add a classes.txt",
        )
    return numbers


def _yolo_largest(file: Path, numbers: set[int]) -> float | None:
    largest: float | None = None
    for where, fields in _yolo_lines(file):
        values = [_number(field) for field in fields]
        if len(values) < 5 or any(value is None for value in values):
            raise InputError("the line is not `class cx cy w h`", where=where)
        kind, x, y, wide, high = (float(value or 0.0) for value in values[:5])
        if int(kind) in numbers:
            box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
            largest = max(largest or 0.0, _share(box, (1.0, 1.0)))
    return largest


def _yolo_lines(file: Path) -> Iterator[tuple[str, list[str]]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read: {error}", where=str(file)) from None
    for number, line in enumerate(lines, start=1):
        if line.split():
            yield f"{file}:{number}", line.split()


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1e9 else None
