"""Media time that only goes forward, and which frames are looked at."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.capture.sampling import LONGEST_STEP, LagMeter, RateMeter, Sampler, Timeline

anything = st.none() | st.floats(-1e7, 1e7)
steps = st.floats(-1.0, 5.0)


@given(st.lists(st.tuples(anything, steps), min_size=1))
def test_time_never_runs_back_nor_leaps(frames: list[tuple[float | None, float]]) -> None:
    timeline = Timeline()
    times = [timeline.advance(pts, step) for pts, step in frames]
    assert times[0] == 0.0
    assert all(0.0 <= b - a <= LONGEST_STEP + 1e-6 for a, b in pairwise(times))


@given(st.floats(0, 1e6), st.lists(st.floats(0.001, LONGEST_STEP - 0.001), min_size=1))
def test_follows_good_time_stamps(start: float, gaps: list[float]) -> None:
    timeline = Timeline()
    pts = start
    timeline.advance(pts, 99.0)
    for gap in gaps:
        pts += gap
        now = timeline.advance(pts, 99.0)
    assert now == pytest.approx(pts - start, abs=1e-6)
    assert timeline.breaks == 0


@pytest.mark.parametrize(
    "pts",
    [
        [None, None, None, None],
        [0.0, 0.0, 0.0, 0.0],
        [5.0, 4.0, 3.0, 2.0],
        [0.0, 1e5, 2e5, 3e5],
    ],
    ids=["missing", "standing still", "running back", "leaping"],
)
def test_goes_by_the_step_where_time_stamps_are_no_use(pts: list[float | None]) -> None:
    timeline = Timeline()
    assert [timeline.advance(each, 0.25) for each in pts] == [0.0, 0.25, 0.5, 0.75]


def test_goes_on_smoothly_after_the_counter_wraps() -> None:
    wrap = 2**32 / 90_000
    timeline = Timeline()
    times = [timeline.advance(pts, 0.04) for pts in (wrap - 0.08, wrap - 0.04, 0.0, 0.04, 0.08)]
    assert times == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])
    assert timeline.breaks == 1


def test_a_first_frame_without_time_stamp_costs_one_step() -> None:
    timeline = Timeline()
    assert [timeline.advance(pts, 0.1) for pts in (None, 7.0, 7.1)] == pytest.approx([0, 0.1, 0.2])


@given(
    st.floats(0.2, 60.0),
    st.lists(st.floats(0.001, 0.3), min_size=2, max_size=200),
)
def test_samples_at_most_fps_and_leaves_no_slot_out(fps: float, gaps: list[float]) -> None:
    sampler = Sampler(fps)
    times = [math.fsum(gaps[:n]) for n in range(len(gaps) + 1)]
    taken = [t for t in times if sampler.due(t)]
    assert taken[0] == 0.0
    assert len(taken) <= times[-1] * fps + 1.02
    longest = 1.0 / fps + max(gaps) + 0.003
    assert all(b - a <= longest for a, b in pairwise(taken))


@pytest.mark.parametrize(("rate", "fps", "each"), [(25, 5, 5), (30, 5, 6), (15, 5, 3), (10, 10, 1)])
def test_takes_each_nth_frame_of_a_steady_stream(rate: int, fps: int, each: int) -> None:
    sampler = Sampler(fps)
    taken = [n for n in range(rate * 60) if sampler.due(round(n / rate, 3))]  # milliseconds
    assert taken == list(range(0, rate * 60, each))


def test_rate_meter_measures_the_recent_rate() -> None:
    meter = RateMeter()
    assert meter.add(0.0) is None
    rates = [meter.add(n / 10) for n in range(1, 100)]
    assert rates[-1] == pytest.approx(10.0)
    assert [meter.add(9.9 + n / 25) for n in range(1, 100)][-1] == pytest.approx(25.0)


def late_at(delays: list[float], fps: float = 10.0, most: float = 2.0) -> int | None:
    """At which packet a stream counts as too late, if packet n comes `delays[n]` after its time."""
    meter = LagMeter(most)
    for index, delay in enumerate(delays):
        if meter.too_late(index / fps, 100.0 + index / fps + delay):
            return index
    return None


def test_a_stream_that_falls_behind_is_told() -> None:
    found = late_at([0.05 * n for n in range(200)])  # half a second each second
    assert found is not None
    assert 40 <= found <= 70


def test_a_hiccup_is_forgiven_where_the_rest_comes_in_a_burst() -> None:
    delays = [0.0] * 50 + [max(0.0, 4.0 - 0.09 * n) for n in range(60)] + [0.0] * 50
    assert late_at(delays) is None
    assert late_at([0.0] * 50 + [4.0] * 60) is not None


def test_a_first_burst_is_no_lag() -> None:
    assert late_at([3.0 - min(n, 30) * 0.1 for n in range(100)]) is None


def test_clocks_that_run_apart_are_no_lag() -> None:
    """A camera whose clock loses 0.4 %, for hours."""
    assert late_at([0.0004 * n for n in range(100_000)]) is None
