"""A minute of scores, packed and read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.events.minutes import LEAST, SECONDS, Minute, Tallies, pack, unpack

score = st.floats(0.0, 1.0)
seconds = st.lists(st.tuples(st.integers(0, SECONDS - 1), score), max_size=300)


def minute_of(scores: list[tuple[int, float]]) -> Minute:
    tallies = Tallies()
    for second, value in scores:
        tallies.add(second, value)
    return Minute.of(tallies)


@given(seconds)
def test_what_is_read_back_is_what_was_scored_within_a_step(
    scores: list[tuple[int, float]],
) -> None:
    packed = unpack(pack(minute_of(scores)))
    for second in range(SECONDS):
        here = [value for at, value in scores if at == second]
        assert packed.count[second] == min(len(here), 255)
        if here:
            for found, meant in (
                (packed.scores.low[second], min(here)),
                (packed.scores.mean[second], sum(here) / len(here)),
                (packed.scores.high[second], max(here)),
            ):
                assert found == pytest.approx(meant, abs=0.008)
            assert (
                packed.scores.low[second]
                <= packed.scores.mean[second]
                <= packed.scores.high[second]
            )


def test_sure_scores_stay_sure() -> None:
    packed = unpack(pack(minute_of([(0, 0.0), (1, 1.0), (2, 0.99)])))
    assert packed.scores.mean[0] == pytest.approx(LEAST, rel=0.01)
    assert packed.scores.mean[1] == pytest.approx(1.0 - LEAST, rel=0.01)
    assert packed.scores.mean[2] == pytest.approx(0.99, abs=0.0004)


@given(st.lists(st.tuples(st.integers(0, SECONDS - 1), score, score), max_size=200))
def test_what_scores_counted_for_is_kept_beside_them(
    scores: list[tuple[int, float, float]],
) -> None:
    tallies = Tallies()
    for second, value, counted in scores:
        tallies.add(second, value, counted)
    packed = unpack(pack(Minute.of(tallies)))
    assert packed.counted is not None
    for second in {second for second, _, _ in scores}:
        here = [counted for at, _, counted in scores if at == second]
        assert packed.counted.low[second] == pytest.approx(min(here), abs=0.008)
        assert packed.counted.mean[second] == pytest.approx(sum(here) / len(here), abs=0.008)
        assert packed.counted.high[second] == pytest.approx(max(here), abs=0.008)
        raw = [value for at, value, _ in scores if at == second]
        assert packed.scores.high[second] == pytest.approx(max(raw), abs=0.008)


def test_one_score_of_which_that_is_not_known_makes_the_minute_unknown() -> None:
    known, mixed = Tallies(), Tallies()
    known.add(1, 0.4, 0.9)
    mixed.add(2, 0.4, 0.9)
    mixed.add(3, 0.4)
    assert unpack(pack(Minute.of(mixed))).counted is None
    assert Minute.of(known).joined(Minute.of(mixed)).counted is None
    joined = Minute.of(known).joined(Minute.of(known)).counted
    assert joined is not None
    assert joined.mean[1] == 0.9


@given(seconds, seconds)
def test_joining_loses_no_second_and_twice_is_once(
    one: list[tuple[int, float]], other: list[tuple[int, float]]
) -> None:
    mine, theirs = minute_of(one), minute_of(other)
    joined = mine.joined(theirs)
    assert (joined.count == np.maximum(mine.count, theirs.count)).all()
    again = joined.joined(theirs)
    assert (again.count == joined.count).all()
    assert (again.scores.mean == joined.scores.mean).all()


def test_a_quiet_minute_takes_few_bytes() -> None:
    rng = np.random.default_rng(1)
    quiet = minute_of([(second, float(rng.uniform(0.01, 0.03))) for second in range(SECONDS)])
    assert len(pack(quiet)) < 70
    weighed = replace(quiet, counted=quiet.scores)
    assert len(pack(weighed)) < len(pack(quiet)) + 8
    assert len(pack(minute_of([]))) < 10


@pytest.mark.parametrize(
    "data",
    [b"", b"\x09abc", b"\x01abc", b"\x02\xff\xff", b"\x01" + b"\x01" * 60, b"\x03" + b"\x01" * 120],
)
def test_what_is_no_minute_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a minute of scores"):
        unpack(data)
