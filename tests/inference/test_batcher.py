from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import SystemClock
from monitor.inference.batcher import Batch, Batcher, Job
from monitor.messages import Cut, Frame

NOW = SystemClock().now()
PICTURE = np.zeros((1, 1, 3), np.uint8)


def frame(camera: str, sequence: int, patches: int = 1) -> Frame:
    """A frame whose patches say where they come from; the batcher never looks at their shape."""
    marks = np.array([[ord(camera), sequence, index] for index in range(patches)], np.uint8)
    return Frame(camera, sequence, NOW, None, (Cut("frame", marks),), PICTURE)


def score(batch: Batch) -> np.ndarray:
    """What a worker would answer: a number made of each patch's own marks."""
    return np.array(
        [value(job.patches[index]) for job, index in batch.items],
        dtype=np.float32,
    )


def value(marks: np.ndarray) -> float:
    return float(marks[0]) * 65536 + float(marks[1]) * 256 + float(marks[2])


def expected(job: Job) -> float:
    return max(value(patch) for patch in job.patches)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abcd"), st.integers(1, 9), st.booleans()),
        st.tuples(st.just("take")),
        st.tuples(st.just("complete"), st.integers(0, 5)),
        st.tuples(st.just("lose"), st.integers(0, 5)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(ACTIONS, st.integers(1, 8))
def test_no_score_goes_astray_whatever_happens(actions: list[tuple], max_batch: int) -> None:
    batcher = Batcher(max_batch=max_batch, max_wait=1.0)
    in_flight: list[Batch] = []
    left: dict[str, list[int]] = defaultdict(list)
    submitted = dropped = lost = 0

    def leave(jobs: list[Job]) -> None:
        for job in jobs:
            assert not job.lost
            assert job.zone_scores() == {"frame": expected(job)}
            left[job.frame.camera].append(job.frame.sequence)

    def finish(batch: Batch, *, lose: bool) -> None:
        nonlocal lost
        if lose:
            count, jobs = batcher.lose(batch)
            lost += count
            leave(jobs)
        else:
            leave(batcher.complete(batch, score(batch)))

    for action in actions:
        if action[0] == "add":
            _, camera, patches, replace = action
            dropped += batcher.add(
                frame(camera, submitted, patches), float(submitted), replace=replace
            )
            submitted += 1
        elif action[0] == "take":
            waiting = batcher.waiting
            batch = batcher.take()
            assert len(batch.items) == min(waiting, max_batch)
            assert batcher.waiting == waiting - len(batch.items)
            in_flight.append(batch)
        elif in_flight:
            finish(in_flight.pop(action[1] % len(in_flight)), lose=action[0] == "lose")
    while batcher.waiting:
        in_flight.append(batcher.take())
    while in_flight:
        finish(in_flight.pop(), lose=False)

    assert batcher.due() is None
    assert sum(len(sequences) for sequences in left.values()) + dropped + lost == submitted
    for sequences in left.values():
        assert sequences == sorted(set(sequences))


def test_cameras_take_turns() -> None:
    batcher = Batcher(max_batch=4, max_wait=1.0)
    for sequence in range(6):
        batcher.add(frame("a", sequence), 0.0, replace=False)
    batcher.add(frame("b", 0), 0.1, replace=False)
    batcher.add(frame("c", 0), 0.2, replace=False)
    cameras = [job.frame.camera for job, _ in batcher.take().items]
    assert cameras == ["a", "b", "c", "a"]


def test_a_begun_frame_is_finished_before_others() -> None:
    batcher = Batcher(max_batch=4, max_wait=1.0)
    batcher.attend("c", closely=True)
    for camera in "ab":
        batcher.add(frame(camera, 1, patches=3), 0.0, replace=True)
    batcher.take()
    batcher.add(frame("c", 2, patches=3), 0.1, replace=True)
    cameras = [job.frame.camera for job, _ in batcher.take().items]
    assert cameras == ["b", "b", "c", "c"]


def test_cameras_looked_at_closely_go_first_but_nobody_waits_for_ever() -> None:
    batcher = Batcher(max_batch=1, max_wait=1.0)
    for camera, moment in (("a", 0.0), ("b", 0.2), ("c", 0.4), ("d", 0.6)):
        batcher.add(frame(camera, 1), moment, replace=True)
    batcher.attend("c", closely=True)
    batcher.attend("d", closely=True)
    order = [batcher.take().items[0][0].frame.camera for _ in range(4)]
    assert order == ["c", "a", "d", "b"]


def test_a_camera_that_is_settled_again_waits_its_turn() -> None:
    batcher = Batcher(max_batch=1, max_wait=1.0)
    for camera in "ab":
        batcher.add(frame(camera, 1), 0.0, replace=True)
    batcher.attend("b", closely=True)
    batcher.attend("b", closely=False)
    assert batcher.take().items[0][0].frame.camera == "a"


def test_the_newest_frame_takes_the_turn_of_the_one_it_replaces() -> None:
    batcher = Batcher(max_batch=8, max_wait=1.0)
    assert batcher.add(frame("a", 1), 5.0, replace=True) == 0
    assert batcher.add(frame("a", 2), 5.9, replace=True) == 1
    assert batcher.due() == 6.0
    assert [job.frame.sequence for job, _ in batcher.take().items] == [2]


def test_a_frame_that_is_begun_is_not_replaced() -> None:
    batcher = Batcher(max_batch=2, max_wait=1.0)
    batcher.add(frame("a", 1, patches=3), 0.0, replace=True)
    first = batcher.take()
    assert batcher.add(frame("a", 2), 0.0, replace=True) == 0
    second = batcher.take()
    assert [(job.frame.sequence, index) for job, index in second.items] == [(1, 2), (2, 0)]
    assert batcher.complete(second, score(second)) == []
    jobs = batcher.complete(first, score(first))
    assert [job.frame.sequence for job in jobs] == [1, 2]


def test_full_and_due() -> None:
    batcher = Batcher(max_batch=3, max_wait=0.5)
    assert batcher.due() is None
    assert not batcher.full()
    batcher.add(frame("a", 1, patches=2), 10.0, replace=True)
    assert batcher.due() == pytest.approx(10.5)
    assert not batcher.full()
    batcher.add(frame("b", 1), 11.0, replace=True)
    assert batcher.full()
