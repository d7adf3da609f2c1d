"""Near-duplicates: perceptual hashes, and groups of pictures whose hashes are close.

A hash is imagehash's 64-bit DCT hash. Pairs within a distance of d bits are found by bands:
cut into d + 1 bands, two such hashes must agree in at least one, so only pictures that share a
band are compared. 100,000 pictures take seconds, not the 5 billion comparisons of all pairs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from monitor.errors import InputError
from monitor.imaging.jpeg import decode
from monitor.training.lists import PICTURE_ERRORS, why_unreadable

HASH_BITS = 64
_BLOCK = 2048
"""Hashes compared with others at a time, which bounds the memory."""

_MOST_PAIRS = 4_000_000
"""Pairs kept before they are made groups, for the same reason."""

Pairs = NDArray[np.int64]
"""Two rows of positions, (2, n)."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`digest` of the file's bytes, `phash` of what they show; or what is wrong with it."""

    digest: str = ""
    phash: int = 0
    problem: str = ""


def fingerprint(path: Path) -> Fingerprint:
    """Decode the whole file (JPEGs at an eighth of their size) and hash it."""
    try:
        data = path.read_bytes()
        with Image.open(BytesIO(data)) as picture:
            picture.draft("L", (max(64, picture.width // 8), max(64, picture.height // 8)))
            picture.load()
            bits = imagehash.phash(picture).hash.reshape(-1)
            is_jpeg = picture.format == "JPEG"
        if not is_jpeg:
            decode(data)  # Training reads with OpenCV, which knows fewer formats.
    except InputError as error:
        return Fingerprint(problem=error.what)
    except PICTURE_ERRORS as error:
        return Fingerprint(problem=why_unreadable(error))
    value = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return Fingerprint(hashlib.sha256(data).hexdigest(), value)


def fingerprints(
    paths: Sequence[Path],
    journal: Path,
    *,
    workers: int,
    progress: Callable[[int], None] | None = None,
) -> list[Fingerprint]:
    """The fingerprint of every file, in order, by several threads.

    Each is noted in `journal` as it is made, with the file's size and time of change; files
    unchanged since are not read again, so a killed build goes on where it was. Raises
    InputError if the journal cannot be written.
    """
    known = _read_journal(journal)
    stamps = [_stamp(path) for path in paths]
    results: list[Fingerprint] = []
    try:
        with journal.open("a", encoding="utf-8") as notes, ThreadPoolExecutor(workers) as pool:

            def make(item: tuple[Path, str]) -> Fingerprint:
                return known.get((str(item[0]), item[1])) or fingerprint(item[0])

            marks = pool.map(make, zip(paths, stamps, strict=True))
            for path, stamp, mark in zip(paths, stamps, marks, strict=True):
                results.append(mark)
                if (str(path), stamp) not in known:
                    notes.write(json.dumps([str(path), stamp, *astuple(mark)]) + "\n")
                if progress is not None:
                    progress(1)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(journal)) from None
    return results


def _read_journal(file: Path) -> dict[tuple[str, str], Fingerprint]:
    """What is known by path and stamp; a line that a kill cut short is passed over."""
    known: dict[tuple[str, str], Fingerprint] = {}
    if not file.exists():
        return known
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            path, stamp, digest, phash, problem = json.loads(line)
            known[path, stamp] = Fingerprint(str(digest), int(phash), str(problem))
        except (ValueError, TypeError):
            continue
    return known


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}-{status.st_mtime_ns}"


def group(phashes: Sequence[int], distance: int) -> NDArray[np.int64]:
    """The number of each hash's group; chains of hashes within `distance` bits are one group.

    Groups are numbered by their first member, so the answer depends on nothing but the input.
    """
    values, inverse = np.unique(np.array(phashes, np.uint64), return_inverse=True)
    labels = np.arange(values.size)
    pairs: list[Pairs] = []
    waiting = 0
    for found in _close_pairs(values, distance):
        pairs.append(found)
        waiting += found.shape[1]
        if waiting > _MOST_PAIRS:
            labels, pairs, waiting = _components(labels, pairs), [], 0
    members = _components(labels, pairs)[inverse]
    _, starts, numbers = np.unique(members, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(starts))[numbers], np.int64)


def _components(labels: NDArray[np.int64], pairs: Sequence[Pairs]) -> NDArray[np.int64]:
    """Groups after joining the pairs to the groups there are."""
    count = labels.size
    first, second = np.concatenate([np.stack([np.arange(count), labels]), *pairs], axis=1)
    graph = coo_array((np.ones(first.size, np.bool_), (first, second)), shape=(count, count))
    # The number of a component is made the position of a member, to be a pair again.
    numbers = connected_components(graph, directed=False)[1]
    _, members = np.unique(numbers, return_index=True)
    return np.asarray(members[numbers], np.int64)


def _close_pairs(values: NDArray[np.uint64], distance: int) -> Iterator[Pairs]:
    """Pairs of positions whose values differ in 1 to `distance` bits; some come repeatedly."""
    for low, width in _bands(distance + 1):
        mask = np.uint64((1 << width) - 1)
        keys = (values >> np.uint64(low)) & mask
        order = np.argsort(keys, kind="stable")
        edges = np.flatnonzero(np.diff(keys[order])) + 1
        for bucket in np.split(order, edges):
            for start in range(0, bucket.size - 1, _BLOCK):
                block = bucket[start : start + _BLOCK]
                rest = bucket[start:]
                apart = np.bitwise_count(values[block][:, None] ^ values[rest][None, :])
                rows, columns = np.nonzero(apart <= distance)
                later = columns > rows
                yield np.stack([block[rows[later]], rest[columns[later]]])


def _bands(count: int) -> Iterator[tuple[int, int]]:
    """Lowest bit and width of `count` bands that together are the 64 bits."""
    edges = [round(HASH_BITS * number / count) for number in range(count + 1)]
    for low, high in pairwise(edges):
        yield low, high - low
