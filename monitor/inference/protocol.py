"""What a worker and its parent say to each other. Pictures never travel, slot numbers do."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.config.inference import Backend, Device, Engine, Precision
from monitor.errors import MonitorError
from monitor.inference.model import ModelInfo


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is told at its start.

    `compare_plain`: also compare the scores with those of the plain kernels; one worker of a
    pool does it, once.
    """

    model: ModelInfo
    backend: Backend
    device: Device
    precision: Precision
    engine: Engine
    self_test: bool
    compare_plain: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker can score; `golden_pictures` of them it has scored as recorded."""

    golden_pictures: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot start, and will not."""

    error: MonitorError


@dataclass(frozen=True, slots=True)
class Order:
    """Score the patches in these slots."""

    batch: int
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """P(someone) of each patch of a batch, float32, in the order of its slots."""

    batch: int
    scores: bytes
