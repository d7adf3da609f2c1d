"""Replay metrics against cases computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.presence.metrics import (
    Comparison,
    Span,
    compare,
    merged,
    percentile,
    poisson_bound,
    total,
)

TRUTH = [Span(10.0, 20.0), Span(40.0, 50.0)]


def test_perfect_events() -> None:
    got = compare(TRUTH, TRUTH, 100.0)
    assert (got.recall, got.precision, got.false_events, got.flaps_per_event) == (1, 1, 0, 0)
    assert got.accuracy == 1.0
    assert got.judged_s == pytest.approx(96.0)  # four edges, one second each
    assert got.onset_delays == (0.0, 0.0)
    assert got.confirm_p95 is None


def test_late_flapping_and_false_events() -> None:
    events = [
        Span(11.0, 13.0, confirmed=12.0),
        Span(15.0, 20.0, confirmed=16.0),
        Span(70.0, 73.0, confirmed=71.0),
    ]
    got = compare(events, TRUTH, 100.0)
    assert (got.visits, got.visits_found, got.events, got.events_true) == (2, 1, 3, 2)
    assert (got.recall, got.precision) == (0.5, pytest.approx(2 / 3))
    assert (got.flaps, got.flaps_per_event) == (1, 1.0)
    assert (got.onset_p50, got.confirm_p50) == (1.0, 2.0)
    assert got.false_per_day == pytest.approx(864.0)
    # Wrong: 10.5–11 and 13–15 missed, 40.5–49.5 missed, 70–73 false.
    assert got.judged_s - got.right_s == pytest.approx(0.5 + 2.0 + 9.0 + 3.0)


def test_the_edges_of_truth_are_not_judged() -> None:
    early = compare([Span(9.6, 20.4)], [Span(10.0, 20.0)], 30.0)
    assert (early.accuracy, early.onset_delays, early.precision) == (1.0, (0.0,), 1.0)
    beside = compare([Span(20.4, 25.0)], [Span(10.0, 20.0)], 30.0)
    assert (beside.recall, beside.precision) == (1.0, 1.0)
    beyond = compare([Span(20.6, 25.0)], [Span(10.0, 20.0)], 30.0)
    assert (beyond.recall, beyond.precision, beyond.false_events) == (0.0, 0.0, 1)


def test_an_empty_recording_without_events_is_right_and_bounds_the_rate() -> None:
    got = compare([], [], 86400.0)
    assert (got.recall, got.precision, got.accuracy) == (None, None, 1.0)
    assert got.false_per_day == 0.0
    assert got.false_per_day_bound == pytest.approx(2.9957, abs=1e-3)


def test_one_event_over_two_visits_finds_both() -> None:
    got = compare([Span(10.0, 50.0)], TRUTH, 100.0)
    assert (got.recall, got.flaps, got.onset_delays) == (1.0, 0, (0.0, 0.0))
    assert got.judged_s - got.right_s == pytest.approx(19.0)


def test_clips_add_up() -> None:
    good = compare([Span(10.0, 20.0, 10.5)], [Span(10.0, 20.0)], 30.0)
    bad = compare([Span(1.0, 2.0, 1.5)], [Span(10.0, 20.0)], 30.0)
    both = total([good, bad])
    assert (both.recall, both.precision, both.watched_s) == (0.5, 0.5, 60.0)
    assert both.confirm_delays == (0.5,)
    assert total([]) == Comparison()


def test_spans_that_touch_are_one() -> None:
    spans = [Span(5.0, 6.0, 5.5), Span(1.0, 3.0), Span(3.0, 4.0, 3.5), Span(2.0, 2.5)]
    assert merged(spans) == [Span(1.0, 4.0, 3.5), Span(5.0, 6.0, 5.5)]


def test_a_span_cannot_run_backwards() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        Span(2.0, 1.0)


def test_percentiles_are_linear() -> None:
    assert percentile([], 50) is None
    assert percentile([1.0, 2.0, 3.0, 4.0], 95) == pytest.approx(3.85)


@pytest.mark.parametrize(
    ("count", "bound"), [(0, 2.9957), (1, 4.7439), (5, 10.513), (100, 118.08), (2000, 2075.1)]
)
def test_the_poisson_bound_is_that_of_the_tables(count: int, bound: float) -> None:
    """Half the 95 % quantile of chi-squared with 2 (count + 1) degrees of freedom."""
    assert poisson_bound(count) == pytest.approx(bound, rel=2e-4)


spans = st.lists(
    st.tuples(st.integers(0, 80), st.integers(0, 20)).map(lambda p: Span(p[0], p[0] + p[1])),
    max_size=6,
)


@settings(deadline=None, max_examples=50)
@given(spans, spans)
def test_the_accuracy_is_that_of_looking_every_tenth_of_a_second(
    events: list[Span], truth: list[Span]
) -> None:
    got = compare(events, truth, 100.0)
    visits = merged(truth)
    judged = right = 0
    for i in range(1000):
        now = i / 10 + 0.05
        if any(abs(now - edge) < 0.5 for v in visits for edge in (v.start, v.end)):
            continue
        judged += 1
        inside = [any(s.start < now < s.end for s in each) for each in (events, visits)]
        right += inside[0] == inside[1]
    assert got.judged_s == pytest.approx(judged / 10)
    assert got.right_s == pytest.approx(right / 10)
