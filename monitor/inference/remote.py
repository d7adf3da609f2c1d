"""A predictor whose network runs in a worker process, for programs that score with several."""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ModelError
from monitor.imaging.slots import Slots
from monitor.inference.batcher import Batch
from monitor.inference.predictor import CLASSES, Patches
from monitor.inference.process import Worker
from monitor.inference.protocol import Answer, Failed, Ready, Task


class RemotePredictor:
    """One worker process and the slots it reads. Used by one thread at a time; `run` leaves the
    interpreter to other threads while the worker computes."""

    def __init__(self, task: Task, batch: int) -> None:
        """Start the worker; `batch`: patches it is handed at most. `await_ready` comes next."""
        self._slots = Slots.create(batch, room="predict", remedy="use fewer processes")
        self._worker = Worker(self._slots, task, time.monotonic())
        self._number = 0

    def await_ready(self) -> None:
        """Wait until it has loaded the model. Raises ModelError if it cannot."""
        message = self._heard()
        if isinstance(message, Failed):
            raise message.error

    def run(self, patches: Patches) -> NDArray[np.float32]:
        """float32 (n, 2): P(nobody) and P(someone) of each RGB uint8 patch (224, 224, 3).

        Raises ModelError when the process dies.
        """
        out = np.empty((len(patches), CLASSES), dtype=np.float32)
        for start in range(0, len(patches), self._slots.count):
            part = patches[start : start + self._slots.count]
            for slot, patch in enumerate(part):
                self._slots.patches[slot] = patch
            self._number += 1
            with suppress(BrokenPipeError):  # it has died already; the next line tells
                batch = Batch(self._number, [], tuple(range(len(part))))
                self._worker.send(batch, time.monotonic())
            answer = self._heard()
            assert isinstance(answer, Answer)
            self._worker.held.clear()
            out[start : start + len(part), 1] = np.frombuffer(answer.scores, dtype=np.float32)
        out[:, 0] = 1.0 - out[:, 1]
        return out

    def close(self) -> None:
        """End the process and give its memory back."""
        self._worker.end(grace=5.0)
        self._slots.close()

    def _heard(self) -> Ready | Failed | Answer:
        try:
            return self._worker.receive()
        except (EOFError, ConnectionResetError) as error:
            raise ModelError(
                "a process that scores died", remedy="look for memory or a crash in the system log"
            ) from error
