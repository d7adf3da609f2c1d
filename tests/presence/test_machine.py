"""The state machine: cases computed by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from math import exp, inf, nan

import pytest

from monitor.clock import Stamp
from monitor.config.presence import PresenceConfig
from monitor.messages import EndReason, PresenceState
from monitor.presence.machine import (
    Change,
    Hold,
    Observation,
    Pending,
    ZoneState,
    ended,
    lost,
    resumed,
    step,
    tick,
)

UNKNOWN, VACANT, OCCUPIED = PresenceState.UNKNOWN, PresenceState.VACANT, PresenceState.OCCUPIED
EPOCH = Stamp(1000.0, datetime(2026, 3, 1, tzinfo=UTC))
PLAIN = PresenceConfig(
    enter_threshold=0.8,
    exit_threshold=0.4,
    enter_after=0.6,
    enter_hits=3,
    exit_after=2.0,
    max_gap=10.0,
    smoothing=0.0,
)


def at(seconds: float) -> Stamp:
    return EPOCH.shifted(seconds)


def settings(**changes: float) -> PresenceConfig:
    return PresenceConfig.model_validate({**PLAIN.model_dump(), **changes})


def run(
    scores: Iterable[tuple[float, float]], config: PresenceConfig, state: ZoneState | None = None
) -> tuple[ZoneState, list[Change]]:
    """Feed (second, score) pairs."""
    state = state or ZoneState()
    changes: list[Change] = []
    for second, score in scores:
        result = step(state, Observation(at(second), score), config)
        state = result.state
        changes += result.changes
    return state, changes


def seconds(stamp: Stamp) -> float:
    return round(stamp.monotonic - EPOCH.monotonic, 6)


def told(changes: Iterable[Change]) -> list[tuple[PresenceState, float, float]]:
    return [(c.current, seconds(c.at), seconds(c.confirmed)) for c in changes]


def constant(score: float, start: float, end: float, fps: float = 5.0) -> list[tuple[float, float]]:
    return [(start + i / fps, score) for i in range(round((end - start) * fps))]


VISIT = constant(0.1, 0, 2) + constant(0.95, 2, 5) + constant(0.1, 5, 9)


def test_a_visit_is_dated_by_its_evidence() -> None:
    state, changes = run(VISIT, PLAIN)
    assert told(changes) == [
        (VACANT, 0.0, 0.6),
        (OCCUPIED, 2.0, 2.6),  # hits at 2.0, 2.2, 2.4, 2.6
        (VACANT, 4.8, 7.0),  # last evidence 4.8, clears since 5.0
    ]
    assert changes[-1].end_reason is EndReason.VACATED
    assert state.presence is VACANT
    assert state.pending is None


def test_smoothing_follows_its_time_constant() -> None:
    config = settings(smoothing=0.5)
    state, _ = run([(0.0, 0.0), (0.25, 1.0), (1.0, 0.2)], config)
    first = 1 - exp(-0.25 / 0.5)
    expected = first * exp(-0.75 / 0.5) + 0.2 * (1 - exp(-0.75 / 0.5))
    assert state.smoothed == pytest.approx(expected, abs=1e-12)


def test_smoothing_delays_the_confirmation_but_not_the_onset() -> None:
    # At 5 frames/s and 0.3 s: 0.487, 0.737, 0.865: the third high score is the first hit.
    config = settings(smoothing=0.3)
    _, changes = run(constant(0.0, 0, 2) + constant(1.0, 2, 4), config)
    assert told(changes)[1] == (OCCUPIED, 2.0, 3.0)


def test_smoothing_delays_the_exit_but_not_the_end() -> None:
    config = settings(smoothing=0.3)
    scores = constant(0.0, 0, 2) + constant(1.0, 2, 6) + constant(0.0, 6, 12)
    _, changes = run(scores, config)
    # 0.513, 0.264: the second low score, at 6.2, is the first clear; 2 s later it is confirmed.
    assert told(changes)[2] == (VACANT, 5.8, 8.2)


def test_one_high_score_under_a_low_average_does_not_move_the_end() -> None:
    config = settings(smoothing=2.0, exit_after=5.0)
    scores = constant(1.0, 0, 3) + constant(0.0, 3, 7) + [(7.0, 0.9)] + constant(0.0, 7.2, 12)
    _, changes = run(scores, config)
    assert told(changes)[1][:2] == (VACANT, 2.8)


def test_both_enter_conditions_must_hold() -> None:
    few = run([(0.0, 0.9), (1.0, 0.9)], PLAIN)[0]
    assert (few.presence, few.pending) == (UNKNOWN, Pending.ENTERING)
    short = run([(0.0, 0.9), (0.1, 0.9), (0.2, 0.9), (0.3, 0.9)], PLAIN)[0]
    assert short.presence is UNKNOWN
    assert run([(0.0, 0.9), (0.3, 0.9), (0.6, 0.9)], PLAIN)[0].presence is OCCUPIED


def test_a_dead_band_score_cancels_an_entering_and_an_exiting() -> None:
    entering = [(0.0, 0.9), (0.2, 0.9), (0.4, 0.6), (0.6, 0.9), (0.8, 0.9)]
    state, changes = run(entering, PLAIN)
    assert changes == []
    assert state.onset == at(0.6)
    exiting = [(3.0, 0.1), (4.9, 0.4), (5.1, 0.1), (7.0, 0.1)]
    state, changes = run(constant(0.9, 0, 2) + exiting, PLAIN)
    assert state.presence is OCCUPIED
    assert state.pending is Pending.EXITING


def test_thresholds_are_inclusive_above() -> None:
    config = settings(enter_after=0.0, enter_hits=1, exit_after=0.0)
    assert run([(0.0, 0.8)], config)[0].presence is OCCUPIED
    assert run([(0.0, 0.8), (1.0, 0.4)], config)[0].presence is OCCUPIED
    assert run([(0.0, 0.8), (1.0, 0.39999)], config)[0].presence is VACANT


def test_a_constant_score_at_the_threshold_stays_a_hit() -> None:
    config = settings(smoothing=0.7)
    _, changes = run([(i / 7, 0.8) for i in range(200)], config)
    assert [c.current for c in changes] == [OCCUPIED]


def test_scores_in_the_dead_band_leave_an_unknown_zone_unknown() -> None:
    assert run(constant(0.6, 0, 60), PLAIN)[1] == []


def test_a_gap_ends_an_occupancy_at_its_last_evidence() -> None:
    occupied, _ = run(constant(0.9, 0, 3), PLAIN)
    assert tick(occupied, at(12.7), PLAIN).changes == ()
    result = tick(occupied, at(40.0), PLAIN)
    (change,) = result.changes
    assert (change.current, change.end_reason) == (UNKNOWN, EndReason.SIGNAL_LOST)
    assert (seconds(change.at), seconds(change.confirmed)) == (2.8, 12.8)
    assert tick(result.state, at(100.0), PLAIN).changes == ()


def test_a_gap_noticed_by_the_next_score_gives_the_same_change() -> None:
    occupied, _ = run(constant(0.9, 0, 3), PLAIN)
    by_tick = tick(occupied, at(20.0), PLAIN).changes
    by_score = step(occupied, Observation(at(50.0), 0.9), PLAIN)
    assert by_score.changes == by_tick
    assert by_score.state.onset == at(50.0)


def test_one_score_after_a_gap_may_suffice() -> None:
    config = settings(enter_after=0.0, enter_hits=1)
    _, changes = run([(0.0, 0.9), (60.0, 0.9)], config)
    assert told(changes) == [(OCCUPIED, 0.0, 0.0), (UNKNOWN, 0.0, 10.0), (OCCUPIED, 60.0, 60.0)]


def test_a_vacant_zone_that_is_not_seen_is_unknown() -> None:
    vacant, _ = run(constant(0.1, 0, 2), PLAIN)
    (change,) = tick(vacant, at(20.0), PLAIN).changes
    assert (change.previous, change.current, change.end_reason) == (VACANT, UNKNOWN, None)
    assert seconds(change.at) == 1.8


def test_an_outage_in_time_keeps_the_occupancy_but_no_pending_exit() -> None:
    state, _ = run(constant(0.9, 0, 3) + constant(0.1, 3, 4), PLAIN)
    state = lost(state, at(4.0))
    assert state.pending is Pending.GAP
    state, changes = run([(9.0, 0.1), (10.8, 0.1)], PLAIN, state)
    assert changes == []
    assert state.pending is Pending.EXITING
    assert told(run([(11.0, 0.1)], PLAIN, state)[1]) == [(VACANT, 2.8, 11.0)]


def test_an_outage_ends_the_evidence_for_an_entering() -> None:
    state = lost(run([(0.0, 0.9), (0.5, 0.9)], PLAIN)[0], at(0.6))
    state, changes = run([(5.0, 0.9)], PLAIN, state)
    assert changes == []
    assert (state.onset, state.pending) == (at(5.0), Pending.ENTERING)


def test_a_picture_from_before_the_outage_does_not_end_it() -> None:
    state = lost(run([(0.0, 0.1)], PLAIN)[0], at(1.0))
    assert run([(0.9, 0.1)], PLAIN, state)[0].pending is Pending.GAP
    assert run([(1.1, 0.1)], PLAIN, state)[0].pending is Pending.EXITING


def test_an_outage_outlasts_the_gap() -> None:
    state = lost(run([(0.0, 0.1)], PLAIN)[0], at(1.0))
    state = tick(state, at(60.0), PLAIN).state
    assert (state.presence, state.pending) == (UNKNOWN, Pending.GAP)


def test_news_of_an_outage_that_is_over_is_ignored() -> None:
    state = run([(5.0, 0.1)], PLAIN)[0]
    assert lost(state, at(4.0)) == state
    assert lost(state, at(5.0)).unseen == at(5.0)


def test_an_occupancy_survives_a_restart() -> None:
    state = resumed(started=at(0.0), seen=at(20.0))
    assert (state.presence, state.pending) == (OCCUPIED, Pending.GAP)
    going_on, changes = run(constant(0.9, 25, 27), PLAIN, state)
    assert (changes, going_on.presence) == ([], OCCUPIED)
    (change,) = tick(state, at(30.0), PLAIN).changes
    assert (change.end_reason, change.at) == (EndReason.SIGNAL_LOST, at(20.0))


def test_the_end_of_watching_ends_an_occupancy_only() -> None:
    occupied, _ = run(constant(0.9, 0, 3), PLAIN)
    (change,) = ended(occupied, at(3.0), EndReason.END_OF_MEDIA).changes
    assert (change.at, change.end_reason) == (at(2.8), EndReason.END_OF_MEDIA)
    assert ended(ZoneState(), at(3.0), EndReason.END_OF_MEDIA).changes == ()


@pytest.mark.parametrize("score", [nan, -0.01, 1.01, inf])
def test_numbers_that_are_no_probability_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Observation(at(0.0), score)


def test_time_that_does_not_advance_is_refused() -> None:
    state, _ = run(constant(0.9, 0, 3), PLAIN)
    for second in (2.8, 1.0, -5.0):
        result = step(state, Observation(at(second), 0.0), PLAIN)
        assert (result.state, result.changes, result.accepted) == (state, (), False)


def test_an_exit_first_seen_at_a_glance_counts_from_the_middle_of_the_two_looks() -> None:
    """Last seen at 10 s, gone at 11.4 s: the two seconds of `exit_after` are over at 12.7 s."""
    there = [(index / 5, 0.9) for index in range(51)]
    state, _ = run([*there, (11.4, 0.1)], PLAIN)
    assert state.clears is not None
    assert seconds(state.clears.since) == pytest.approx(10.7)
    state, changes = run([(12.6, 0.1), (12.7, 0.1)], PLAIN, state)
    assert state.presence is VACANT
    assert seconds(changes[-1].at) == pytest.approx(10.0)
    assert seconds(changes[-1].confirmed) == pytest.approx(12.7)


def test_an_exit_is_moved_back_by_a_second_at_most() -> None:
    there = [(index / 5, 0.9) for index in range(51)]
    state, _ = run([*there, (15.0, 0.1)], PLAIN)
    assert state.clears is not None
    assert seconds(state.clears.since) == pytest.approx(14.0)


def test_an_exit_that_ends_between_two_glances_is_one_whoever_comes_then() -> None:
    """Nobody from 5 s on: over at 7 s, before the middle of the looks at 6.6 and 7.8 s."""
    until = constant(0.1, 0, 2) + constant(0.95, 2, 5) + [(5.0, 0.1), (5.8, 0.1), (6.6, 0.1)]
    state, changes = run([*until, (7.8, 0.95)], PLAIN)
    assert told(changes)[2:] == [(VACANT, 4.8, 7.8)]
    assert changes[-1].end_reason is EndReason.VACATED
    _, changes = run(constant(0.95, 8, 10), PLAIN, state)
    assert told(changes) == [(OCCUPIED, 7.2, 8.4)]


def test_who_comes_back_before_an_exit_is_over_has_not_left() -> None:
    """Halfway between the looks at 6.0 and 7.6 s it is not over: it was not seen to last."""
    until = constant(0.1, 0, 2) + constant(0.95, 2, 5) + [(5.0, 0.1), (6.0, 0.1)]
    state, changes = run([*until, (7.6, 0.95)], PLAIN)
    assert state.presence is OCCUPIED
    assert len(changes) == 2


def test_a_hold_keeps_an_exit_between_two_glances_from_being_confirmed() -> None:
    until = [*constant(0.95, 0, 5), (5.0, 0.1), (6.6, 0.1)]
    state, _ = run(until, PLAIN)
    held = step(state, Observation(at(8.6), 0.95), PLAIN, Hold(exits=True))
    assert held.state.presence is OCCUPIED
    assert held.changes == ()


@pytest.mark.parametrize(("look", "end"), [(6.2, 4.8), (8.8, 6.8)])
def test_between_rare_looks_an_occupancy_ends_in_the_middle(look: float, end: float) -> None:
    """A second and a half after the last evidence, that is the end; four after it, too early."""
    _, changes = run([*constant(0.95, 0, 5), (look, 0.1), (look + 2.0, 0.1)], PLAIN)
    assert told(changes)[1:] == [(VACANT, pytest.approx(end), look + 2.0)]
