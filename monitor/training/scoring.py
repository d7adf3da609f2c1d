"""Scores of many picture files: decode and cut in threads, the network in batches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.config.camera import ViewKind
from monitor.errors import InputError, UsageError
from monitor.imaging.jpeg import read_picture
from monitor.imaging.views import cut
from monitor.inference.backend import Backend, open_predictor
from monitor.inference.model import ModelInfo
from monitor.training.card import sha256_of
from monitor.training.trained import load_network, probabilities

DECODERS: Final = 2
DEFAULT_ARCH: Final = "PPLCNet_x1_0"


class Scorer(Protocol):
    """P(someone), float32 (n,), of RGB uint8 patches (n, 224, 224, 3)."""

    def __call__(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class Scored:
    """What came out: `scores` float32 (n,), NaN where the picture could not be read.

    `unreadable` says why, by position; `seconds` is the time spent in the network alone.
    """

    scores: NDArray[np.float32]
    unreadable: dict[int, str]
    seconds: float


def score_files(
    scorer: Scorer,
    paths: Sequence[Path],
    view: ViewKind,
    *,
    batch_size: int = 32,
    progress: Callable[[int], None] | None = None,
) -> Scored:
    """Score every file as `view` cuts it; a picture's score is the maximum of its patches.

    `batch_size` is in patches. `progress` is told how many pictures were done since last time.
    """
    scores = np.full(len(paths), np.nan, np.float32)
    unreadable: dict[int, str] = {}
    seconds = 0.0
    pending: list[tuple[int, NDArray[np.uint8]]] = []

    def flush() -> None:
        nonlocal seconds
        if not pending:
            return
        start = time.perf_counter()
        found = scorer(np.concatenate([patches for _, patches in pending]))
        seconds += time.perf_counter() - start
        offset = 0
        for index, patches in pending:
            scores[index] = found[offset : offset + len(patches)].max()
            offset += len(patches)
        if progress is not None:
            progress(len(pending))
        pending.clear()

    for index, result in enumerate(_cut_ahead(paths, view, batch_size)):
        if isinstance(result, InputError):
            unreadable[index] = result.what
            if progress is not None:
                progress(1)
            continue
        pending.append((index, result))
        if sum(len(patches) for _, patches in pending) >= batch_size:
            flush()
    flush()
    return Scored(scores, unreadable, seconds)


def _cut_ahead(
    paths: Sequence[Path], view: ViewKind, ahead: int
) -> Iterator[NDArray[np.uint8] | InputError]:
    """Patches of each path in order, or why there are none; `ahead` pictures are in the works."""
    with ThreadPoolExecutor(DECODERS) as pool:
        waiting: deque[Future[NDArray[np.uint8] | InputError]] = deque()
        for path in paths:
            waiting.append(pool.submit(_read_and_cut, path, view))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read_and_cut(path: Path, view: ViewKind) -> NDArray[np.uint8] | InputError:
    try:
        return cut(read_picture(path), view)
    except InputError as error:
        return error
    except ValueError as error:
        return InputError(str(error), where=str(path))


def open_scorer(
    model: Path, *, arch: str = DEFAULT_ARCH, backend: Backend = Backend.PADDLE
) -> Scorer:
    """A scorer of a model folder, or of training weights (`.pdparams`) of the network `arch`.

    Raises ModelError when the model cannot be used, UsageError when weights are to be run
    with ONNX Runtime.
    """
    if model.suffix == ".pdparams":
        if backend is not Backend.PADDLE:
            raise UsageError(
                "training weights run with Paddle only",
                remedy="export and convert them first, or use --backend paddle",
            )
        network = load_network(arch, model)
        return lambda patches: _by_eight(lambda part: probabilities(network, part), patches)
    predictor = open_predictor(ModelInfo.load(model), backend)
    return lambda patches: predictor.run(patches)[:, 1]


def weights_digest(model: Path) -> str:
    """SHA-256 of the weights `open_scorer` reads: of a `.pdparams`, or of a folder's parameters."""
    return sha256_of(model if model.suffix == ".pdparams" else ModelInfo.load(model).params)


def _by_eight(
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]], patches: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Column 1 of what `run` gives for eight patches at a time: memory stays small."""
    parts = [run(patches[start : start + 8])[:, 1] for start in range(0, len(patches), 8)]
    return np.concatenate(parts)
