"""What a worker and its parent say to each other. Pictures never travel, slot numbers do."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import Final

from monitor.config.inference import Backend, Device, Engine, Precision
from monitor.errors import MonitorError
from monitor.inference.model import ModelInfo

_ANSWER: Final = b"A"
"""First byte of an answer; pickled messages begin with another."""


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

    def packed(self) -> bytes:
        """As it travels: pickling an object costs more than a small batch can afford."""
        return struct.pack(f"<Q{len(self.slots)}I", self.batch, *self.slots)

    @classmethod
    def unpacked(cls, data: bytes) -> Order:
        """What `packed` made."""
        batch, *slots = struct.unpack(f"<Q{(len(data) - 8) // 4}I", data)
        return cls(batch, tuple(slots))


@dataclass(frozen=True, slots=True)
class Answer:
    """P(someone) of each patch of a batch, float32, in the order of its slots."""

    batch: int
    scores: bytes

    def packed(self) -> bytes:
        """As it travels; `unpacked` reads it."""
        return _ANSWER + struct.pack("<Q", self.batch) + self.scores


def unpacked(data: bytes) -> Ready | Failed | Answer:
    """What a worker says: an answer, or a pickled word before the first of them."""
    if data.startswith(_ANSWER):
        return Answer(struct.unpack_from("<Q", data, len(_ANSWER))[0], data[len(_ANSWER) + 8 :])
    message = pickle.loads(data)  # noqa: S301  (from our own child)
    assert isinstance(message, Ready | Failed)
    return message
