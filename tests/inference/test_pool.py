from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.clock import SystemClock
from monitor.config.inference import Backend, Device, Engine, InferenceConfig, Precision
from monitor.errors import ModelError
from monitor.imaging.jpeg import encode
from monitor.imaging.slots import Slots
from monitor.inference import crew
from monitor.inference.batcher import Batch
from monitor.inference.model import ModelInfo
from monitor.inference.pool import InferencePool
from monitor.inference.process import Worker
from monitor.inference.protocol import Ready, Task
from monitor.messages import Cut, Frame, Score

from .frames import make_frame

Collected = list[Score]


class Collector:
    """Keeps scores; can be told to be slow."""

    def __init__(self) -> None:
        self.scores: Collected = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, score: Score) -> None:
        self.gate.wait(10)
        self.scores.append(score)


@pytest.fixture
def collector() -> Collector:
    return Collector()


PoolMaker = Callable[..., InferencePool]


@pytest.fixture
def make_pool(tiny_model: Path, collector: Collector) -> Iterator[PoolMaker]:
    pools: list[InferencePool] = []

    def make(model: Path = tiny_model, **settings: object) -> InferencePool:
        timing = {key: settings.pop(key) for key in list(settings) if key.endswith("_timeout")}
        config = InferenceConfig(model=model, **{"self_test": False, "workers": 1, **settings})
        pool = InferencePool(config, on_score=collector, clock=SystemClock(), **timing)
        pools.append(pool)
        pool.start()
        return pool

    yield make
    for pool in pools:
        pool.stop()


def by_camera(scores: Collected) -> dict[str, list[int]]:
    sequences: dict[str, list[int]] = defaultdict(list)
    for score in scores:
        sequences[score.camera].append(score.frame.sequence)
    return sequences


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> float:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "waited in vain"
        time.sleep(0.005)
    return time.monotonic() - begin


def exists(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_scores_are_those_of_the_frame_and_in_order(
    make_pool: PoolMaker, collector: Collector
) -> None:
    pool = make_pool()
    for sequence in range(60):
        pool.submit(make_frame(f"cam{sequence % 3}", sequence), wait=True)
    pool.drain(60)
    assert len(collector.scores) == 60
    for score in collector.scores:
        assert score.value == pytest.approx(score.frame.sequence / 255, abs=1e-3)
        assert score.zone == "frame"
        assert score.scored >= score.frame.stamp
    assert all(sequences == sorted(sequences) for sequences in by_camera(collector.scores).values())
    stats = pool.stats()
    assert (stats.frames_scored, stats.frames_dropped, stats.alive) == (60, 0, 1)
    assert stats.mean_batch > 1
    assert 0 < stats.latency_p50 <= stats.latency_p99


def test_workers_run_the_library_that_is_asked_for(
    make_pool: PoolMaker, collector: Collector, onnx_model: Path
) -> None:
    pool = make_pool(onnx_model, backend="onnxruntime", self_test=True)
    for sequence in range(20):
        pool.submit(make_frame("cam", sequence), wait=True)
    pool.drain(60)
    for score in collector.scores:
        assert score.value == pytest.approx(score.frame.sequence / 255, abs=1e-3)
    assert len(collector.scores) == 20


def test_workers_may_use_every_processor(both_programs: Path) -> None:
    """OpenVINO would tie each of them to the first processor while it computes."""
    slots = Slots.create(32, room="test", remedy="")
    task = Task(
        ModelInfo.load(both_programs), Backend.PADDLE, Device.CPU, Precision.FP32,
        engine=Engine.OPENVINO, self_test=False, compare_plain=False,
    )  # fmt: skip
    worker = Worker(slots, task, 0.0)
    try:
        assert isinstance(worker.receive(), Ready)
        seen = set()
        for number in range(20):
            worker.send(Batch(number, [], tuple(range(32))), 0.0)
            while not worker.connection.poll(0):
                seen.add(frozenset(os.sched_getaffinity(worker.pid)))
            worker.receive()
            worker.held.clear()
        assert seen == {frozenset(os.sched_getaffinity(0))}
    finally:
        worker.kill()
        slots.close()


def test_a_zone_scores_its_highest_patch_even_over_several_batches(
    make_pool: PoolMaker, collector: Collector
) -> None:
    pool = make_pool(max_batch=4)
    pool.submit(make_frame("cam", 0, door=(10, 200, 30, 40, 50), hall=(7, 8), roof=(90,)))
    pool.drain(60)
    values = {score.zone: round(score.value * 255) for score in collector.scores}
    assert values == {"door": 200, "hall": 8, "roof": 90}


def test_live_frames_are_replaced_by_newer_ones_and_counted(
    make_pool: PoolMaker, collector: Collector
) -> None:
    pool = make_pool(max_batch=2)
    (pid,) = pool.stats().worker_pids
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    for sequence in range(100):
        pool.submit(make_frame("busy", sequence))
    pool.submit(make_frame("quiet", 7))
    assert time.monotonic() - begin < 5
    os.kill(pid, signal.SIGCONT)
    pool.drain(60)
    sequences = by_camera(collector.scores)
    assert sequences["quiet"] == [7]
    assert sequences["busy"][-1] == 99
    stats = pool.stats()
    assert stats.frames_dropped == 100 - len(sequences["busy"]) > 80
    assert stats.frames_submitted == stats.frames_scored + stats.frames_dropped


def test_waiting_submit_loses_nothing_and_holds_the_caller_back(
    make_pool: PoolMaker, collector: Collector
) -> None:
    pool = make_pool(max_batch=2)
    (pid,) = pool.stats().worker_pids
    os.kill(pid, signal.SIGSTOP)
    sent = []

    def send() -> None:
        for sequence in range(40):
            pool.submit(make_frame("film", sequence), wait=True)
            sent.append(sequence)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.3)
    assert 0 < len(sent) < 20
    os.kill(pid, signal.SIGCONT)
    thread.join(60)
    pool.drain(60)
    assert by_camera(collector.scores)["film"] == list(range(40))


def test_worker_killed_in_mid_batch_is_restarted_and_its_batches_are_redone(
    make_pool: PoolMaker, collector: Collector
) -> None:
    pool = make_pool(workers=2, max_batch=4)
    victim = pool.stats().worker_pids[0]
    os.kill(victim, signal.SIGSTOP)  # so that it dies with batches in hand
    for sequence in range(40):
        pool.submit(make_frame(f"cam{sequence % 5}", sequence), wait=True)
    os.kill(victim, signal.SIGKILL)
    assert wait_for(lambda: victim not in pool.stats().worker_pids) < 5.0  # not by the timeout
    pool.drain(60)
    assert len(collector.scores) == 40
    for score in collector.scores:
        assert score.value == pytest.approx(score.frame.sequence / 255, abs=1e-3)
    assert all(sequences == sorted(sequences) for sequences in by_camera(collector.scores).values())
    wait_for(lambda: pool.stats().alive == 2)
    assert pool.stats().restarts == 1
    assert not exists(victim)


def test_hung_worker_is_killed_and_its_batch_redone(
    make_pool: PoolMaker, collector: Collector
) -> None:
    pool = make_pool(workers=2, max_batch=2, hang_timeout=4.0)
    victim = pool.stats().worker_pids[0]
    os.kill(victim, signal.SIGSTOP)
    for sequence in range(12):
        pool.submit(make_frame("cam", sequence), wait=True)
    pool.drain(60)
    assert by_camera(collector.scores)["cam"] == list(range(12))
    assert not exists(victim)


def test_a_worker_that_dies_while_loading_does_not_count_against_the_batch(
    make_pool: PoolMaker, collector: Collector
) -> None:
    pool = make_pool(max_batch=1)
    (first,) = pool.stats().worker_pids
    os.kill(first, signal.SIGSTOP)
    pool.submit(make_frame("cam", 1), wait=True)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: pool.stats().worker_pids not in ((first,), ()))
    (second,) = pool.stats().worker_pids
    os.kill(second, signal.SIGKILL)
    pool.drain(60)
    assert pool.stats().frames_lost == 0
    assert pool.stats().restarts == 2
    assert by_camera(collector.scores)["cam"] == [1]


def test_batch_that_kills_workers_twice_is_given_up_and_counted(
    make_pool: PoolMaker, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(max_batch=1, hang_timeout=4.0)
    send = Worker.send

    def kill_with_it(worker: Worker, batch: Batch, now: float) -> None:
        if batch.items[0][0].frame.camera == "poison":
            os.kill(worker.pid, signal.SIGSTOP)
            send(worker, batch, now)
            os.kill(worker.pid, signal.SIGKILL)
        else:
            send(worker, batch, now)

    monkeypatch.setattr(Worker, "send", kill_with_it)
    pool.submit(make_frame("poison", 1), wait=True)
    pool.submit(make_frame("cam", 2), wait=True)
    pool.drain(60)
    stats = pool.stats()
    assert (stats.frames_lost, stats.frames_scored, stats.restarts) == (1, 1, 2)
    assert by_camera(collector.scores) == {"cam": [2]}


def test_no_score_ever_reaches_another_camera_while_workers_die(
    make_pool: PoolMaker, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "RESTARTS", 1000)
    pool = make_pool(workers=2, max_batch=8)
    chance = random.Random(4)
    done = threading.Event()

    def kill_now_and_then() -> None:
        while not done.wait(chance.uniform(0.2, 0.5)):
            if pids := pool.stats().worker_pids:
                os.kill(chance.choice(pids), signal.SIGKILL)

    def film(camera: int) -> None:
        for sequence in range(40):
            pool.submit(make_frame(f"{camera}", sequence, left=(camera,), right=(100 + camera,)))
            time.sleep(0.02)

    killer = threading.Thread(target=kill_now_and_then)
    films = [threading.Thread(target=film, args=(camera,)) for camera in range(24)]
    for thread in [killer, *films]:
        thread.start()
    for thread in films:
        thread.join()
    done.set()
    killer.join()
    pool.drain(60)
    for score in collector.scores:
        red = int(score.camera) + (100 if score.zone == "right" else 0)
        assert score.value == pytest.approx(red / 255, abs=1e-3)
    for sequences in by_camera(collector.scores).values():
        assert sequences == sorted(sequences)
    stats = pool.stats()
    assert stats.restarts > 0
    assert len(collector.scores) == 2 * stats.frames_scored > 0
    assert stats.frames_submitted == 24 * 40
    assert stats.frames_scored + stats.frames_dropped + stats.frames_lost == 24 * 40


def test_a_failing_listener_does_not_stop_the_others(tiny_model: Path) -> None:
    seen: list[str] = []

    def listen(score: Score) -> None:
        if score.camera == "bad":
            raise RuntimeError("cannot handle this")
        seen.append(score.camera)

    config = InferenceConfig(model=tiny_model, workers=1, self_test=False)
    pool = InferencePool(config, on_score=listen, clock=SystemClock())
    pool.start()
    try:
        pool.submit(make_frame("bad", 0), wait=True)
        pool.submit(make_frame("good", 0), wait=True)
        pool.drain(60)
    finally:
        pool.stop()
    assert seen == ["good"]


def test_without_hope_waiting_callers_are_told(
    make_pool: PoolMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path
) -> None:
    monkeypatch.setattr(crew, "RESTARTS", 1)
    model = tmp_path / "model"
    model.mkdir()
    for file in tiny_model.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    pool = make_pool(model, max_batch=1)
    (pid,) = pool.stats().worker_pids
    os.kill(pid, signal.SIGSTOP)
    pool.submit(make_frame("cam", 0), wait=True)
    (model / "inference.pdiparams").write_bytes(b"")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ModelError, match="no inference worker stays alive"):
        pool.drain(60)
    for sequence in range(4):
        pool.submit(make_frame("cam", sequence), wait=True)  # there still is room
    with pytest.raises(ModelError, match="no inference worker stays alive"):
        pool.submit(make_frame("cam", 4), wait=True)
    pool.submit(make_frame("cam", 5))  # live cameras just go on


def test_stop_leaves_nothing_behind(make_pool: PoolMaker) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    pool = make_pool(workers=2)
    pids = pool.stats().worker_pids
    pool.submit(make_frame("cam", 1))
    pool.stop()
    pool.stop()
    pool.submit(make_frame("cam", 1))
    assert not any(exists(pid) for pid in pids)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert threading.active_count() == threads
    assert pool.stats().alive == 0


PARENT = """
import signal, sys, time
from pathlib import Path
from monitor.clock import SystemClock
from monitor.config.inference import Backend, Device, Engine, InferenceConfig, Precision
from monitor.inference.pool import InferencePool

# Tests run in the background of a shell inherit that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
config = InferenceConfig(model=Path(sys.argv[1]), workers=2, self_test=False)
pool = InferencePool(config, on_score=print, clock=SystemClock())
pool.start()
try:
    print(*pool.stats().worker_pids, flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    pool.stop()
    print("stopped", flush=True)
"""


def start_parent(model: Path) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, [int(word) for word in process.stdout.readline().split()]


def test_workers_end_when_their_parent_is_killed(tiny_model: Path) -> None:
    process, pids = start_parent(tiny_model)
    assert len(pids) == 2
    assert all(exists(pid) for pid in pids)
    process.kill()
    wait_for(lambda: not any(exists(pid) for pid in pids))
    _, errors = process.communicate()
    assert errors == ""


def test_ctrl_c_is_the_parents_and_quiet(tiny_model: Path) -> None:
    process, pids = start_parent(tiny_model)
    os.killpg(process.pid, signal.SIGINT)
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output == "stopped\n"
    assert errors == ""
    assert not any(exists(pid) for pid in pids)


@pytest.mark.parametrize(
    "patches",
    [
        np.zeros((1, 224, 224), np.uint8),
        np.zeros((0, 224, 224, 3), np.uint8),
        np.zeros((1, 224, 224, 3), np.float32),
        np.zeros((1, 225, 224, 3), np.uint8),
    ],
)
def test_patches_of_another_shape_are_refused(tiny_model: Path, patches: np.ndarray) -> None:
    pool = InferencePool(InferenceConfig(model=tiny_model), on_score=print, clock=SystemClock())
    frame = Frame("c", 0, SystemClock().now(), None, (Cut("frame", patches),), patches)
    with pytest.raises(ValueError, match="patches of zone frame"):
        pool.submit(frame)


def test_a_model_that_scores_wrongly_is_refused(
    make_pool: PoolMaker, tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    golden = model / "golden"
    golden.mkdir(parents=True)
    for file in tiny_model.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    (golden / "red.jpg").write_bytes(encode(make_frame("c", 0, z=(200,)).cuts[0].patches[0]))
    record = {"view": "stretch", "tolerance": 0.02}
    entry = {"file": "red.jpg", "someone": 200 / 255}
    (golden / "scores.json").write_text(json.dumps({**record, "pictures": [entry]}))
    make_pool(model, self_test=True)
    entry["someone"] = 0.5
    (golden / "scores.json").write_text(json.dumps({**record, "pictures": [entry]}))
    with pytest.raises(ModelError, match=r"red\.jpg scored 0\.78.*recorded is 0\.5"):
        make_pool(model, self_test=True)


def test_a_corrupt_model_is_refused_with_its_remedy(
    make_pool: PoolMaker, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "inference.json").write_bytes((tiny_model / "inference.json").read_bytes())
    (tmp_path / "inference.pdiparams").write_bytes(b"broken")
    with pytest.raises(ModelError, match="Paddle cannot load the model") as caught:
        make_pool(tmp_path)
    assert "export the model again" in caught.value.remedy
