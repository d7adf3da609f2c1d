"""Our worker against ONNX Runtime and OpenVINO: uint8 patches in, scores out, the same network.

    python -m benchmarks.inference --model models/person_exists --format json

Every contestant is a process of its own with one math thread and the same preprocessing; ours
is measured as the pool uses it: slot in shared memory → order → answer. They take turns, batch
by batch, so that whatever else loads the machine hits all of them; each round in another order,
because who follows a process with the same libraries finds their code in the cache, which is 2 %
of a single picture. The best turn of each counts: processor time (of the whole process, which says
the same on a busy machine; the ratios are of it) and elapsed time. With two processes each, both
work at once.
Needs `pip install 'presence-monitor[benchmarks]'`.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import typer

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.config.inference import Backend, Device, Engine, Precision
from monitor.imaging.slots import Slots
from monitor.inference.batcher import Batch
from monitor.inference.model import DEFAULT_MODEL, ModelInfo
from monitor.inference.onnx import OnnxPredictor
from monitor.inference.predictor import CPUINFO, BatchPredictor, Predictor
from monitor.inference.process import Worker
from monitor.inference.protocol import Answer, Ready, Task
from monitor.training.convert import convert_model

BATCHES = (1, 2, 4, 8, 16, 32)
RIVALS = ("onnxruntime", "openvino")
OURS = "worker "


class Contestant(Protocol):
    """One process, `pid`, that scores the patches in the slots."""

    pid: int

    def begin(self, batch: int) -> None:
        """Let it score the first `batch` slots."""

    def end(self) -> np.ndarray:
        """Wait for its scores: float32 (batch,)."""


class Ours:
    """A worker of the pool, spoken to as the pool does."""

    def __init__(self, slots: Slots, model: ModelInfo, kind: str) -> None:
        library, precision = kind.split()
        backend, _, engine = library.partition("-")
        task = Task(
            model, Backend(backend), Device.CPU, Precision(precision),
            engine=Engine(engine or "openvino"), self_test=False, compare_plain=False,
        )  # fmt: skip
        self._worker = Worker(slots, task, time.monotonic())
        assert isinstance(self._worker.receive(), Ready)
        self._number = 0
        self.pid = self._worker.pid

    def begin(self, batch: int) -> None:
        self._number += 1
        self._worker.send(Batch(self._number, [], tuple(range(batch))), time.monotonic())

    def end(self) -> np.ndarray:
        answer = self._worker.receive()
        assert isinstance(answer, Answer)
        self._worker.held.clear()
        return np.frombuffer(answer.scores, dtype=np.float32)

    def close(self) -> None:
        self._worker.kill()


class Rival:
    """Another library in a process of its own, which holds the same patches in its memory."""

    def __init__(self, name: str, model: ModelInfo, patches: np.ndarray) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_rival, args=(theirs, name, model), daemon=True)
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid
        theirs.close()
        self._connection.send(patches)
        self._connection.recv()

    def begin(self, batch: int) -> None:
        self._connection.send(batch)

    def end(self) -> np.ndarray:
        return np.frombuffer(self._connection.recv(), dtype=np.float32)

    def close(self) -> None:
        self._connection.close()
        self._process.join()


class OpenVinoPredictor(BatchPredictor):
    """OpenVINO on the CPU, one thread, `inference.onnx`; built for latency, as one batch runs."""

    def __init__(self, model: ModelInfo, buckets: tuple[int, ...]) -> None:
        import openvino

        super().__init__(buckets)
        settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        settings |= {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
        compiled = openvino.Core().compile_model(
            str(model.folder / "inference.onnx"), "CPU", settings
        )
        self._request = compiled.create_infer_request()

    def _infer(self, batch: np.ndarray) -> np.ndarray:
        return np.asarray(self._request.infer([batch], share_inputs=True)[0])


def _rival(connection: Connection, name: str, model: ModelInfo) -> None:
    import cv2

    cv2.setNumThreads(1)
    whole = tuple(reversed(BATCHES))  # a rival gets whole batches, not ours cut to eight
    predictor: Predictor
    if name == "openvino":
        predictor = OpenVinoPredictor(model, whole)
    else:
        predictor = OnnxPredictor(model, buckets=whole)
    patches = connection.recv()
    connection.send("ready")
    while True:
        try:
            batch = connection.recv()
        except EOFError:
            return
        connection.send(predictor.run(patches[:batch])[:, 1].tobytes())


@dataclass
class Team:
    """The processes of one contestant; the second only works in pairs."""

    name: str
    members: list[Contestant]

    def time(self, batch: int, count: int) -> tuple[float, float, np.ndarray]:
        """Processor and elapsed ms a patch with `count` processes at work, and scores."""
        working = self.members[:count]
        busy, begin = processor_seconds(working), time.perf_counter()
        for member in working:
            member.begin(batch)
        scores = [member.end() for member in working]
        elapsed = time.perf_counter() - begin
        per_patch = 1e3 / (batch * count)
        return (processor_seconds(working) - busy) * per_patch, elapsed * per_patch, scores[0]


def processor_seconds(processes: Sequence[Contestant]) -> float:
    """Processor time that all threads of these processes have used."""
    return sum(time.clock_gettime((~process.pid << 3) | 2) for process in processes)


@contextmanager
def teams(model: ModelInfo, patches: np.ndarray) -> Iterator[list[Team]]:
    """All contestants, two processes each, ended afterwards."""
    slots = Slots.create(len(patches), room="benchmark", remedy="")
    slots.patches[:] = patches
    with ExitStack() as stack:
        stack.callback(slots.close)
        built = []
        for name in (*(f"{OURS}{kind}" for kind in kinds()), *RIVALS):
            members: list[Any] = []
            for _ in range(2):
                if name.startswith(OURS):
                    members.append(Ours(slots, model, name.removeprefix(OURS)))
                else:
                    members.append(Rival(name, model, patches))
                stack.callback(members[-1].close)
            built.append(Team(name, members))
        yield built


def kinds() -> list[str]:
    """What our workers are measured with: Paddle as it is set up (OpenVINO inside) and with oneDNN,
    ONNX Runtime, and bf16 where the processor has it."""
    bf16 = ["paddle bf16"] if "avx512_bf16" in CPUINFO.read_text() else []
    return ["paddle fp32", "paddle-onednn fp32", "onnxruntime fp32", *bf16]


def measure(built: list[Team], batches: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Rows of milliseconds a patch: batch, processes, and each contestant's best."""
    rows = []
    order = random.Random(0)
    for count in (1, 2):
        for batch in batches:
            busy: dict[str, float] = {}
            elapsed: dict[str, float] = {}
            scores: dict[str, np.ndarray] = {}
            for turn in range(rounds + 1):
                for team in order.sample(built, len(built)):
                    cpu, wall, scores[team.name] = team.time(batch, count)
                    if turn:  # the first one compiles kernels
                        busy[team.name] = min(cpu, busy.get(team.name, cpu))
                        elapsed[team.name] = min(wall, elapsed.get(team.name, wall))
            rows.append({"processes": count, "batch": batch, **_row(busy, elapsed, scores)})
    return rows


def _row(
    busy: dict[str, float], elapsed: dict[str, float], scores: dict[str, np.ndarray]
) -> dict[str, Any]:
    rival = min(busy[name] for name in RIVALS)
    row: dict[str, Any] = {name: f"{cpu:.2f} / {elapsed[name]:.2f}" for name, cpu in busy.items()}
    for name in busy.keys() - set(RIVALS):
        kind = name.removeprefix(OURS)
        row[f"ratio {kind}"] = round(rival / busy[name], 3)
        row[f"|Δ| {kind}"] = max(float(np.abs(scores[name] - scores[r]).max()) for r in RIVALS)
    return row


def main(
    model: Annotated[Path, typer.Option(help="Model folder.")] = DEFAULT_MODEL,
    batch: Annotated[list[int] | None, typer.Option(help="Batch size; several times.")] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each contestant; the best counts.")] = 10,
    output: FormatOption = Format.TABLE,
) -> None:
    """Processor / elapsed ms a patch; how many times our worker is as fast as the better rival."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model"
        shutil.copytree(ModelInfo.load(model).folder, copy)
        convert_model(copy)
        patches = np.random.default_rng(0).integers(0, 256, (max(BATCHES), 224, 224, 3), np.uint8)
        with teams(ModelInfo.load(copy), patches) as built:
            rows = measure(built, batch or BATCHES, rounds)
    print_rows(rows, list(rows[0]), output, title="processor / elapsed ms a patch")


if __name__ == "__main__":
    typer.run(main)
