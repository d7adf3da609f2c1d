"""`dataset build`: annotated collections to PULC's list files.

    train_list.txt, val_list.txt         `path label`
    train_list.txt.debug, val_list.txt.debug     a few lines of them, both classes alternating
    train_list_for_distill.txt           the training list, and unlabelled pictures with label -1
    report.json, report.txt, contact_sheet.png
    fingerprints.jsonl                   what is known of the files, for a killed or next build

Pictures stay where they are; the lists name them relative to one root, which the report states.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from monitor.errors import InputError
from monitor.training.annotations import (
    Annotated,
    list_pictures,
    read_coco,
    read_folders,
    read_voc,
    read_yolo,
)
from monitor.training.build_config import AnnotatedSource, AnnotationFormat, BuildConfig, Split
from monitor.training.build_report import write_report
from monitor.training.build_result import Build, Listed
from monitor.training.duplicates import Fingerprint, fingerprints, group
from monitor.training.files import prepare_output
from monitor.training.lists import NOBODY, SOMEONE, UNLABELLED, listable, write_list
from monitor.training.progress import Reporter, Silent

LIST_BYTES_A_PICTURE = 400
"""Room one picture takes in all lists and the report, generously."""


def build_dataset(config: BuildConfig, report: Reporter | None = None) -> Build:
    """Read, label, check, de-duplicate, split and write; the same seed gives the same lists.

    Broken pictures are left out and named in the report, as are byte-identical copies (one is
    kept; all are dropped if their labels differ). Near-duplicates are kept on one side of the
    split; where sources with a fixed split disagree, `val` keeps them. Raises InputError when
    sources cannot be read or a class would be missing from a list.
    """
    said: Reporter = report or Silent()
    rows = _annotated(config)
    paths = [path for path, *_ in rows]
    build = Build(_root(config, paths))
    prepare_output(config.output_dir, LIST_BYTES_A_PICTURE * len(paths))
    with said.bar("checking and hashing pictures", len(paths)) as advance:
        journal = config.output_dir / "fingerprints.jsonl"
        prints = fingerprints(paths, journal, workers=config.workers, progress=advance)
    pictures = _usable(build, rows, prints)
    groups = group([picture.phash for picture in pictures], config.hash_distance)
    build.groups = int(groups.max()) + 1 if groups.size else 0
    _split(config, build, pictures, groups)
    _write_lists(config, build)
    write_report(config, build)
    return build


Row = tuple[Path, int, Split, str]
"""Path, label (0, 1, -1; -2 for a small person, left out), split, source."""

LEFT_OUT = -2


def label_of(largest: float | None, min_share: float) -> int:
    """PULC's rule: over `min_share` someone, no person nobody, else left out."""
    if largest is None:
        return NOBODY
    return SOMEONE if largest > min_share else LEFT_OUT


def _annotated(config: BuildConfig) -> list[Row]:
    rows: list[Row] = []
    for source in config.sources:
        name = str(source.annotations or source.images)
        rows += [
            (
                _absolute(item.path),
                label_of(item.largest, config.min_share),
                source.split,
                name,
            )
            for item in _read(source)
        ]
    for folder in config.unlabelled:
        rows += [
            (_absolute(path), UNLABELLED, Split.TRAIN, str(folder))
            for path in list_pictures(folder)
        ]
    return sorted(set(rows), key=lambda row: (str(row[0]), row[1], row[3]))


def _absolute(path: Path) -> Path:
    """Without `..`, symbolic links left as they are."""
    return Path(os.path.normpath(Path.cwd() / path))


def _read(source: AnnotatedSource) -> Sequence[Annotated]:
    if source.format is AnnotationFormat.FOLDERS:
        return read_folders(source.images)
    assert source.annotations is not None
    read = {
        AnnotationFormat.COCO: read_coco,
        AnnotationFormat.OBJECTS365: read_coco,
        AnnotationFormat.VOC: read_voc,
        AnnotationFormat.YOLO: read_yolo,
    }[source.format]
    return read(source.annotations, source.images, source.persons)


def _root(config: BuildConfig, paths: Sequence[Path]) -> Path:
    if config.root is None:
        return Path(os.path.commonpath([path.parent for path in paths]))
    root = _absolute(config.root)
    for path in paths:
        if not path.is_relative_to(root):
            raise InputError(f"{path} is outside the root", where=str(root))
    return root


def _usable(build: Build, rows: Sequence[Row], prints: Sequence[Fingerprint]) -> list[Listed]:
    """Whole pictures with a label, one of each file content; fills in what was left out."""
    pictures = []
    for (path, label, split, source), mark in zip(rows, prints, strict=True):
        build.seen[source] += 1
        name = path.relative_to(build.root).as_posix()
        if mark.problem:
            build.broken[str(path)] = mark.problem
        elif not listable(name):
            build.broken[repr(name)] = "a list cannot hold this file name"
        elif label == LEFT_OUT:
            build.small_persons[source] += 1
        else:
            pictures.append(Listed(path, label, split, source, mark.digest, mark.phash))
    labels: dict[str, set[int]] = {}
    for picture in pictures:
        if picture.label != UNLABELLED:
            labels.setdefault(picture.digest, set()).add(picture.label)
    # Labelled before unlabelled and val before train, so that the better copy is kept.
    order = sorted(pictures, key=lambda p: (p.label == UNLABELLED, p.split is not Split.VAL))
    kept: dict[str, Listed] = {}
    for picture in order:
        if len(labels.get(picture.digest, ())) > 1:
            build.contradictions.append(str(picture.path))
        elif picture.digest in kept:
            build.duplicates.append(str(picture.path))
        else:
            kept[picture.digest] = picture
    return sorted(kept.values(), key=lambda picture: str(picture.path))


def _split(
    config: BuildConfig, build: Build, pictures: Sequence[Listed], groups: Iterable[int]
) -> None:
    """Whole groups to one side; `val` gets at most its share of each class."""
    members: dict[int, list[Listed]] = {}
    for picture, number in zip(pictures, groups, strict=True):
        members.setdefault(int(number), []).append(picture)
    free = [
        group_
        for group_ in members.values()
        if all(p.split is Split.AUTO for p in _labelled(group_))
    ]
    totals = Counter(p.label for group_ in free for p in _labelled(group_))
    room = {label: round(config.val_share * count) for label, count in totals.items()}
    order = np.random.default_rng(config.seed).permutation(len(free))
    chosen: set[int] = set()
    for position in order:
        labels = Counter(p.label for p in _labelled(free[position]))
        if labels and all(room[label] >= count for label, count in labels.items()):
            chosen.add(id(free[position]))
            for label, count in labels.items():
                room[label] -= count
    for group_ in members.values():
        to_val = id(group_) in chosen or any(p.split is Split.VAL for p in _labelled(group_))
        _place(build, group_, to_val=to_val)
    for name, side in (("train", build.train), ("val", build.val)):
        for label, word in ((NOBODY, "nobody"), (SOMEONE, "someone")):
            if not any(picture.label == label for picture in side):
                raise InputError(
                    f"{name}_list.txt would hold no picture of class {label} ({word})",
                    where=str(config.output_dir),
                    remedy="add pictures, change val_share, or check `persons` and min_share",
                )


def _labelled(pictures: Iterable[Listed]) -> list[Listed]:
    return [picture for picture in pictures if picture.label != UNLABELLED]


def _place(build: Build, pictures: Sequence[Listed], *, to_val: bool) -> None:
    for picture in pictures:
        if picture.label == UNLABELLED:
            # Near a validation picture, even without a label, it would leak what it shows.
            if to_val:
                build.straddling.append(str(picture.path))
            else:
                build.unlabelled.append(picture)
        elif not to_val:
            build.train.append(picture)
        elif picture.split is Split.TRAIN:
            build.straddling.append(str(picture.path))
        else:
            build.val.append(picture)


def _write_lists(config: BuildConfig, build: Build) -> None:
    folder = config.output_dir
    for name, pictures in (("train_list.txt", build.train), ("val_list.txt", build.val)):
        lines = _lines(build.root, pictures)
        write_list(folder / name, lines)
        write_list(folder / f"{name}.debug", _few(lines, config.debug_count))
    distill = _lines(build.root, [*build.train, *build.unlabelled])
    write_list(folder / "train_list_for_distill.txt", distill)


def _lines(root: Path, pictures: Iterable[Listed]) -> list[tuple[str, int]]:
    return sorted(
        (picture.path.relative_to(root).as_posix(), picture.label) for picture in pictures
    )


def _few(lines: Sequence[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    """The first pictures of both classes, alternating as long as there are both."""
    by_label = [[line for line in lines if line[1] == label] for label in (NOBODY, SOMEONE)]
    half = count // 2
    taken = [side[: max(half, count - len(other))] for side, other in (by_label, by_label[::-1])]
    places = sorted((place, line[1], line) for side in taken for place, line in enumerate(side))
    return [line for _, _, line in places][:count]
