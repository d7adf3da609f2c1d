"""Pictures to verdicts, as PaddleClas's Python package gives them: `PresenceClassifier`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Self, TypedDict

import numpy as np
import structlog
from numpy.typing import NDArray

from monitor.config.camera import ViewKind
from monitor.config.inference import Device, Engine, Precision
from monitor.errors import InputError
from monitor.imaging.jpeg import PICTURE_SUFFIXES, read_picture
from monitor.imaging.views import cut
from monitor.inference.backend import Backend, open_predictor
from monitor.inference.model import DEFAULT_MODEL, ModelInfo
from monitor.inference.predictor import Predictor
from monitor.inference.protocol import Task
from monitor.inference.remote import RemotePredictor
from monitor.messages import Picture

_log = structlog.get_logger(__name__)

Item = str | Path | Picture
Inputs = Item | Iterable[Item]
"""A file, a folder, an RGB uint8 (height, width, 3) array, or several of them."""


_Cut = tuple[str, NDArray[np.uint8]]
"""A picture's name and its patches."""


class Verdict(TypedDict):
    """PaddleClas's result for one picture.

    `class_ids` [0] or [1], `scores` the probability of that class, `label_names` its name,
    `filename` the path as text, or `array 0` and so on for arrays.
    """

    class_ids: list[int]
    scores: list[float]
    label_names: list[str]
    filename: str


class PresenceClassifier:
    """Says of pictures whether somebody is on them.

    >>> classifier = PresenceClassifier(threshold=0.5)
    >>> for verdicts in classifier.predict("photos/"):
    ...     for verdict in verdicts:
    ...         print(verdict["filename"], verdict["label_names"][0], verdict["scores"][0])
    """

    def __init__(
        self,
        model: Path | str = DEFAULT_MODEL,
        *,
        threshold: float | None = None,
        batch_size: int = 8,
        view: ViewKind | str = ViewKind.PULC,
        backend: Backend | str = Backend.PADDLE,
        threads: int | None = None,
        processes: int = 0,
    ) -> None:
        """Load `model`. Raises ModelError when it cannot be used, ValueError for wrong numbers.

        `threshold` in [0, 1], by default the model's own. `batch_size`: pictures a batch.
        `threads` decode pictures, by default as many as there are processors. `processes` score
        batches side by side (call `close` when done); with 0 this process does it alone, which
        a few pictures are not worth more than.
        """
        if threshold is not None and not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold must be between 0 and 1, not {threshold}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.model = ModelInfo.load(Path(model))
        self.threshold = self.model.threshold if threshold is None else threshold
        self._batch_size = batch_size
        self._view = ViewKind(view)
        self._threads = threads or processors()
        self._predictors = _predictors(self.model, Backend(backend), processes, batch_size)

    def close(self) -> None:
        """End the processes that score, if there are any."""
        for predictor in self._predictors:
            if isinstance(predictor, RemotePredictor):
                predictor.close()
        self._predictors = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def predict(
        self, inputs: Inputs, *, on_unreadable: Callable[[InputError], None] | None = None
    ) -> Iterator[list[Verdict]]:
        """Judge `inputs`, a batch of verdicts at a time, in their order (folders: `find_pictures`).

        Pictures are decoded in parallel, ahead of the network. A file that cannot be read is
        left out: `on_unreadable` is told, else the log. Raises InputError when a path does not
        exist or there is nothing to judge.
        """
        items = _listed(inputs)
        side_by_side = len(self._predictors)
        with (
            ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool,
            ThreadPoolExecutor(side_by_side, thread_name_prefix="score") as scoring,
        ):
            judged: deque[Future[list[Verdict]]] = deque()
            idle = SimpleQueue[Predictor]()
            for predictor in self._predictors:
                idle.put(predictor)
            try:
                cuts = self._cuts(items, pool, on_unreadable or _warn)
                while batch := list(islice(cuts, self._batch_size)):
                    judged.append(scoring.submit(self._judge, batch, idle))
                    if len(judged) > side_by_side:
                        yield judged.popleft().result()
                while judged:
                    yield judged.popleft().result()
            finally:
                for future in judged:
                    future.cancel()

    def _cuts(
        self,
        items: list[Path | Picture],
        pool: ThreadPoolExecutor,
        on_unreadable: Callable[[InputError], None],
    ) -> Iterator[_Cut]:
        """Pictures cut for the network, decoded ahead."""
        ahead: deque[tuple[str, Future[NDArray[np.uint8]]]] = deque()
        most = 2 * self._batch_size * len(self._predictors) + self._threads
        try:
            for name, item in _named(items):
                ahead.append((name, pool.submit(self._patches, item)))
                if len(ahead) >= most:
                    yield from _first(ahead, on_unreadable)
            while ahead:
                yield from _first(ahead, on_unreadable)
        finally:
            for _, future in ahead:
                future.cancel()

    def _patches(self, item: Path | Picture) -> NDArray[np.uint8]:
        picture = read_picture(item) if isinstance(item, Path) else item
        try:
            return cut(picture, self._view)
        except ValueError as error:
            where = str(item) if isinstance(item, Path) else "array"
            raise InputError(str(error), where=where, remedy="give another picture") from error

    def _judge(self, batch: list[_Cut], idle: SimpleQueue[Predictor]) -> list[Verdict]:
        predictor = idle.get()
        try:
            scores = predictor.run([patch for _, patches in batch for patch in patches])[:, 1]
        finally:
            idle.put(predictor)
        verdicts, start = [], 0
        for name, patches in batch:
            end = start + len(patches)
            score = float(scores[start:end].max())
            verdicts.append(verdict(name, score, self.threshold, self.model.labels))
            start = end
        return verdicts


def _predictors(
    model: ModelInfo, backend: Backend, processes: int, batch_size: int
) -> list[Predictor]:
    """One in this process, or as many as there shall be processes, loaded side by side."""
    if not processes:
        return [open_predictor(model, backend)]
    task = Task(
        model, backend, Device.CPU, Precision.FP32,
        engine=Engine.OPENVINO, self_test=False, compare_plain=False,
    )  # fmt: skip
    with ExitStack() as loading:
        remote = [RemotePredictor(task, batch_size) for _ in range(processes)]
        for predictor in remote:
            loading.callback(predictor.close)
        for predictor in remote:
            predictor.await_ready()
        loading.pop_all()
    return list(remote)


def verdict(filename: str, score: float, threshold: float, labels: tuple[str, str]) -> Verdict:
    """ThreshOutput (PaddleClas deploy/python/postprocess.py): nobody if `score < threshold`.

    `score` is P(someone); the verdict's score is that of the class it names.
    """
    found = 0 if score < threshold else 1
    return Verdict(
        class_ids=[found],
        scores=[score if found else 1.0 - score],
        label_names=[labels[found]],
        filename=filename,
    )


def find_pictures(path: Path) -> list[Path]:
    """`path` itself if it is a file, else all pictures in the folder and below, sorted.

    As PaddleClas's `get_image_list` walks folders, with more kinds of pictures. Raises
    InputError if there is nothing there.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError("there is no such file or folder", where=str(path), remedy="check it")
    pictures = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        raise InputError(
            "the folder has no pictures",
            where=str(path),
            remedy=f"put files there that end in {', '.join(sorted(PICTURE_SUFFIXES))}",
        )
    return pictures


def processors() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0))


def _listed(inputs: Inputs) -> list[Path | Picture]:
    if isinstance(inputs, str | Path):
        return list(find_pictures(Path(inputs)))
    if isinstance(inputs, np.ndarray) and inputs.ndim == 3:
        return [inputs]
    items: list[Path | Picture] = []
    for item in inputs:
        items += find_pictures(Path(item)) if isinstance(item, str | Path) else [item]
    if not items:
        raise InputError("nothing to judge was given", remedy="give files, folders or arrays")
    return items


def _named(items: list[Path | Picture]) -> Iterator[tuple[str, Path | Picture]]:
    for index, item in enumerate(items):
        yield str(item) if isinstance(item, Path) else f"array {index}", item


def _first(
    ahead: deque[tuple[str, Future[NDArray[np.uint8]]]],
    on_unreadable: Callable[[InputError], None],
) -> Iterator[_Cut]:
    """The picture that was decoded first, if it could be."""
    name, future = ahead.popleft()
    try:
        yield name, future.result()
    except InputError as error:
        on_unreadable(error)


def _warn(error: InputError) -> None:
    _log.warning("a picture is left out", file=error.where, why=error.what)
