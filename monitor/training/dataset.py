"""Pictures of several weighted sources, read and augmented into batches while others train."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InputError
from monitor.messages import Picture
from monitor.training.config import Balance, DataConfig, SourceConfig
from monitor.training.lists import (
    NOBODY,
    UNLABELLED,
    Entry,
    find_broken,
    read_list,
    refuse_broken,
    require_both_classes,
)
from monitor.training.numbers import Range
from monitor.training.pictures import PictureCache
from monitor.training.progress import Reporter
from monitor.training.sampler import Order, Weights, balanced
from monitor.training.transforms import EvalTransform, Planes, TrainTransform

PREFETCH = 3
"""Batches prepared ahead of the one in use."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of the mixture and how it is cropped."""

    entry: Entry
    crop_scale: Range | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """`pictures` float32 (n, 3, size, size), `labels` int64 (n,), `indices` into the samples."""

    pictures: NDArray[np.float32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mixture:
    """All training samples with their labels and their weights in an epoch."""

    samples: Sequence[Sample]
    labels: NDArray[np.int64]
    weights: Weights


def load_entries(
    source: SourceConfig,
    *,
    check: bool,
    skip_broken: bool,
    workers: int,
    report: Reporter,
) -> list[Entry]:
    """Read one source's list and, with `check`, decode its pictures once.

    Raises InputError as `read_list` does, and for broken pictures unless `skip_broken`.
    """
    entries = read_list(source.list, source.root, unlabelled=source.unlabelled)
    if check:
        with report.bar(f"checking {source.list.name}", len(entries)) as advance:
            broken = find_broken(entries, workers=workers, progress=advance)
        if not skip_broken:
            refuse_broken(broken, str(source.list))
        entries = [entry for entry in entries if entry.name not in broken]
        if not entries:
            raise InputError(
                "not one picture can be decoded",
                where=str(source.list),
                remedy="are these pictures, and is the list's root theirs?",
            )
    return entries


def mix(config: DataConfig, entries: Sequence[Sequence[Entry]]) -> Mixture:
    """Put the sources' entries together by their weights and the classes' balance.

    Raises InputError if a class is missing among the labelled ones, unless all are unlabelled.
    """
    samples, labels, weights = [], [], []
    for source, listed in zip(config.train, entries, strict=True):
        for entry in listed:
            samples.append(Sample(entry, source.crop_scale))
            labels.append(entry.label)
            weights.append(source.weight)
    shown = [
        sample.entry
        for sample, label, weight in zip(samples, labels, weights, strict=True)
        if label != UNLABELLED and weight > 0.0
    ]
    if shown or not all(source.unlabelled for source in config.train):
        require_both_classes(shown, ", ".join(str(source.list) for source in config.train))
    label_array, weight_array = np.array(labels, np.int64), np.array(weights, np.float64)
    if weight_array.sum() <= 0.0:
        raise InputError(
            "all sources have weight 0", where="data.train", remedy="give one of them a weight"
        )
    if config.balance is Balance.SAMPLE:
        weight_array = balanced(weight_array, label_array)
    return Mixture(samples, label_array, weight_array)


class TrainBatches:
    """Batches of the mixture; every picture's randomness comes from (seed, epoch, position)."""

    def __init__(
        self,
        mixture: Mixture,
        transform: TrainTransform,
        cache: PictureCache,
        *,
        seed: int,
        batch_size: int,
        workers: int,
        drop_last: bool = False,
    ) -> None:
        self._mixture = mixture
        self._transform = transform
        self._cache = cache
        self._seed = seed
        self._batch_size = batch_size
        self._workers = workers
        self._drop_last = drop_last
        self._scenes = np.flatnonzero((mixture.labels == NOBODY) & (mixture.weights > 0.0))

    def count(self, pictures: int) -> int:
        """Batches that `pictures` pictures make."""
        if self._drop_last:
            return pictures // self._batch_size
        return -(-pictures // self._batch_size)

    def epoch(self, order: Order, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of `order` from number `start` on."""
        groups = [
            np.arange(first, min(first + self._batch_size, order.size))
            for first in range(0, self.count(order.size) * self._batch_size, self._batch_size)
        ]

        def fill(position: int, out: Planes) -> None:
            self._fill(
                int(order[position]), np.random.default_rng([self._seed, epoch, position]), out
            )

        for positions, pictures in _prepared(
            groups[start:], fill, self._transform.size, self._workers
        ):
            indices = order[positions]
            yield Batch(pictures, self._mixture.labels[indices], indices)

    def _fill(self, index: int, rng: np.random.Generator, out: Planes) -> None:
        sample = self._mixture.samples[index]
        picture = self._cache.read(sample.entry.path)
        self._transform(picture, rng, out, scene=self._scene, crop_scale=sample.crop_scale)

    def _scene(self, rng: np.random.Generator) -> Picture:
        if self._scenes.size == 0:
            raise InputError(
                "augment.shrink needs pictures of nobody to shrink into",
                where="data.train",
                remedy="list some with label 0, or switch augment.shrink off",
            )
        chosen = self._scenes[int(rng.integers(0, self._scenes.size))]
        return self._cache.read(self._mixture.samples[int(chosen)].entry.path)


class EvalBatches:
    """The validation pictures in their order."""

    def __init__(
        self,
        entries: Sequence[Entry],
        transform: EvalTransform,
        cache: PictureCache,
        *,
        batch_size: int,
        workers: int,
    ) -> None:
        self.entries = entries
        self.labels = np.array([entry.label for entry in entries], np.int64)
        self._transform = transform
        self._cache = cache
        self._batch_size = batch_size
        self._workers = workers

    def __iter__(self) -> Iterator[Batch]:
        indices = np.arange(len(self.entries))
        groups = [
            indices[first : first + self._batch_size]
            for first in range(0, indices.size, self._batch_size)
        ]

        def fill(index: int, out: Planes) -> None:
            self._transform(self._cache.read(self.entries[index].path), out)

        for group, pictures in _prepared(groups, fill, self._transform.size, self._workers):
            yield Batch(pictures, self.labels[group], group)


def _prepared(
    groups: Sequence[NDArray[np.int64]],
    fill: Callable[[int, Planes], None],
    size: int,
    workers: int,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Each group with its pictures, `PREFETCH` groups filled ahead by threads.

    Threads and not processes: decoding, resizing and Paddle's kernels all release the GIL, and
    nothing has to be copied between address spaces.
    """
    waiting: deque[tuple[NDArray[np.int64], NDArray[np.float32], list[Future[None]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="augment")

    def begin(group: NDArray[np.int64]) -> None:
        pictures = np.empty((group.size, 3, size, size), np.float32)
        jobs = [
            pool.submit(fill, int(item), out) for item, out in zip(group, pictures, strict=True)
        ]
        waiting.append((group, pictures, jobs))

    try:
        remaining = iter(groups)
        for group in remaining:
            begin(group)
            if len(waiting) > PREFETCH:
                break
        while waiting:
            group, pictures, jobs = waiting.popleft()
            for job in jobs:
                job.result()
            following = next(remaining, None)
            if following is not None:
                begin(following)
            yield group, pictures
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
