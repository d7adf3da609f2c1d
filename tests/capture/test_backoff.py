"""Waits between tries: bounded, growing, slow where only a person can help."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.capture.backoff import LONGEST, SHORTEST, SLOW_REASONS, backoff_delay
from monitor.messages import OutageReason

attempts = st.integers(0, 10_000)
reasons = st.sampled_from(OutageReason)
jitters = st.floats(0.0, 1.0, exclude_max=True)


@given(attempts, reasons, jitters)
def test_stays_within_its_bounds(attempt: int, reason: OutageReason, jitter: float) -> None:
    assert SHORTEST <= backoff_delay(attempt, reason, jitter) <= LONGEST


@given(attempts, reasons, jitters)
def test_never_shrinks_with_more_failures(
    attempt: int, reason: OutageReason, jitter: float
) -> None:
    assert backoff_delay(attempt, reason, jitter) <= backoff_delay(attempt + 1, reason, jitter)


@given(attempts, st.sampled_from(sorted(SLOW_REASONS)), jitters)
def test_is_slow_from_the_start_where_only_a_person_helps(
    attempt: int, reason: OutageReason, jitter: float
) -> None:
    assert backoff_delay(attempt, reason, jitter) >= 24.0


@given(st.integers(1, 10_000), reasons)
def test_jitter_spreads_the_tries(attempt: int, reason: OutageReason) -> None:
    assert backoff_delay(attempt, reason, 0.9) < 0.9 * backoff_delay(attempt, reason, 0.0)


def test_doubles_from_half_a_second_to_thirty() -> None:
    waits = [backoff_delay(n, OutageReason.REFUSED, 0.0) for n in range(8)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
