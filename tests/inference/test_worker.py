from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import paddle  # before any worker code: this process must have the whole of it
import pytest

from monitor.config.inference import Backend, Device, Engine, Precision
from monitor.errors import ModelError
from monitor.imaging.slots import Slots
from monitor.inference.model import ModelInfo
from monitor.inference.protocol import Answer, Failed, Order, Ready, Task, unpacked
from monitor.inference.runtime import bare_paddle
from monitor.inference.worker import serve

from .frames import patches_of


@pytest.fixture
def slots() -> Iterator[Slots]:
    made = Slots.create(4, room="test", remedy="")
    yield made
    made.close()


def task(model: ModelInfo) -> Task:
    return Task(
        model, Backend.PADDLE, Device.CPU, Precision.FP32,
        engine=Engine.OPENVINO, self_test=True, compare_plain=True,
    )  # fmt: skip


@pytest.fixture
def connection(slots: Slots, tiny_model: Path) -> Iterator[Connection]:
    """A worker's socket; the worker is a thread here."""
    ours, theirs = Pipe()
    thread = threading.Thread(target=serve, args=(theirs, slots, task(ModelInfo.load(tiny_model))))
    thread.start()
    yield ours
    ours.close()
    thread.join(10)
    assert not thread.is_alive()


def test_orders_are_answered_from_the_slots(connection: Connection, slots: Slots) -> None:
    assert connection.recv() == Ready(0)
    slots.patches[:] = patches_of(0, 100, 200, 50)
    for batch, chosen in enumerate([(3, 1), (2,), (0, 1, 2, 3)]):
        connection.send_bytes(Order(batch, chosen).packed())
        answer = unpacked(connection.recv_bytes())
        assert isinstance(answer, Answer)
        assert answer.batch == batch
        scores = np.frombuffer(answer.scores, np.float32)
        expected = np.array([0, 100, 200, 50])[list(chosen)] / 255
        np.testing.assert_allclose(scores, expected, atol=1e-3)


def test_a_worker_that_cannot_serve_says_why(
    slots: Slots, tiny_model: Path, tmp_path: Path
) -> None:
    for file in tiny_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = ModelInfo.load(tmp_path)
    model.params.write_bytes(b"")
    ours, theirs = Pipe()
    serve(theirs, slots, task(model))
    message = ours.recv()
    assert isinstance(message, Failed)
    assert isinstance(message.error, ModelError)
    assert message.error.remedy


def test_where_paddle_is_imported_it_is_not_loaded_twice() -> None:
    assert bare_paddle().Config is paddle.inference.Config


BARE = """
import sys
from pathlib import Path
from monitor.inference.model import ModelInfo
from monitor.inference.predictor import PaddlePredictor
from monitor.inference.selftest import synthetic_patch
model = ModelInfo.load(Path(sys.argv[1]))
print(repr(PaddlePredictor(model, bare=True).run(synthetic_patch()).tolist()))
assert "paddle" not in sys.modules
"""


def test_the_bare_library_scores_as_the_whole(tiny_model: Path) -> None:
    from monitor.inference.predictor import PaddlePredictor
    from monitor.inference.selftest import synthetic_patch

    bare = subprocess.run(
        [sys.executable, "-c", BARE, tiny_model],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "FLAGS_call_stack_level": "1"},
    )
    assert bare.stderr == ""
    whole = PaddlePredictor(ModelInfo.load(tiny_model)).run(synthetic_patch())
    assert bare.stdout.strip() == repr(whole.tolist())
