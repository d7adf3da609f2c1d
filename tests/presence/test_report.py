"""Dwell and merging: by hand, and against doing it afterwards on the list of occupancies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import Stamp
from monitor.config.presence import PresenceConfig
from monitor.messages import EndReason, PresenceState
from monitor.presence.machine import Change, Observation, ZoneState, ended, step, tick
from monitor.presence.report import Told, report

UNKNOWN, VACANT, OCCUPIED = PresenceState.UNKNOWN, PresenceState.VACANT, PresenceState.OCCUPIED
QUICK = PresenceConfig(smoothing=0.0, enter_after=0.0, enter_hits=1, exit_after=1.0)


def at(seconds: float) -> Stamp:
    return Stamp(seconds, datetime(2026, 3, 1, tzinfo=UTC))


class Zone:
    """A machine and what is told of it."""

    def __init__(self, **changes: float) -> None:
        self.config = PresenceConfig.model_validate({**QUICK.model_dump(), **changes})
        self.state, self.told = ZoneState(), Told()
        self.changes: list[Change] = []
        self.latent: list[Change] = []

    def see(self, scores: Iterable[tuple[float, float]]) -> Zone:
        for second, score in scores:
            result = step(self.state, Observation(at(second), score), self.config)
            self.state = result.state
            self.latent += result.changes
            self.told, changes = report(self.told, result, self.config)
            self.changes += changes
        return self

    def wait(self, second: float) -> Zone:
        result = tick(self.state, at(second), self.config)
        self.state = result.state
        self.told, changes = report(self.told, result, self.config)
        self.changes += changes
        return self

    def finish(self, second: float) -> Zone:
        result = ended(self.state, at(second), EndReason.END_OF_MEDIA)
        self.latent += result.changes
        self.state = result.state
        self.told, changes = report(self.told, result, self.config)
        self.changes += changes
        return self

    def heard(self) -> list[tuple[PresenceState, float, float]]:
        return [(c.current, c.at.monotonic, c.confirmed.monotonic) for c in self.changes]


def steady(score: float, start: int, end: int) -> list[tuple[float, float]]:
    """Two scores a second from `start` to before `end`."""
    return [(i / 2, score) for i in range(start * 2, end * 2)]


EMPTY, LONG = steady(0.0, 0, 5), steady(0.9, 5, 15)


def test_without_either_everything_is_told_at_once() -> None:
    zone = Zone().see([*EMPTY, *LONG, *steady(0.0, 15, 20)])
    assert zone.changes == zone.latent
    assert zone.heard() == [(VACANT, 0.0, 0.0), (OCCUPIED, 5.0, 5.0), (VACANT, 14.5, 16.0)]


def test_a_short_stay_is_never_told() -> None:
    zone = Zone(min_dwell=3.0).see([*EMPTY, *steady(0.9, 5, 8), *steady(0.0, 8, 20)])
    assert zone.heard() == [(VACANT, 0.0, 0.0)]


def test_a_long_stay_is_told_late_and_dated_early() -> None:
    zone = Zone(min_dwell=3.0).see([*EMPTY, *LONG])
    assert zone.heard()[1:] == [(OCCUPIED, 5.0, 8.0)]


def test_only_evidence_counts_as_dwelling() -> None:
    """Waiting for the exit to be confirmed does not make a short stay a long one."""
    zone = Zone(min_dwell=3.0, exit_after=10.0).see([*steady(0.9, 0, 2), *steady(0.0, 2, 30)])
    assert zone.heard() == [(VACANT, 1.5, 12.0)]
    assert zone.changes[0].end_reason is None


def test_dwelling_forgives_what_floating_point_takes() -> None:
    assert 1.7 - 1.1 < 0.6
    zone = Zone(min_dwell=0.6).see([(1.1, 0.9), (1.4, 0.9), (1.7, 0.9)])
    assert zone.heard() == [(OCCUPIED, 1.1, 1.7)]


def test_a_short_stay_before_a_gap_leaves_the_zone_unknown() -> None:
    zone = Zone(min_dwell=3.0).see(steady(0.9, 0, 2)).wait(60.0)
    assert zone.heard() == []
    assert zone.told.withheld is None


def test_a_return_in_time_continues_the_occupancy() -> None:
    zone = Zone(merge_within=10.0)
    zone.see([*EMPTY, *LONG, *steady(0.0, 15, 22), *steady(0.9, 22, 25), *steady(0.0, 25, 40)])
    assert zone.heard()[1:] == [(OCCUPIED, 5.0, 5.0), (VACANT, 24.5, 35.0)]


def test_a_return_too_late_is_another_occupancy() -> None:
    zone = Zone(merge_within=5.0)
    zone.see([*EMPTY, *LONG, *steady(0.0, 15, 22), *steady(0.9, 22, 25)])
    assert zone.heard()[1:] == [
        (OCCUPIED, 5.0, 5.0),
        (VACANT, 14.5, 20.0),
        (OCCUPIED, 22.0, 22.0),
    ]


def test_a_return_that_began_in_time_may_be_confirmed_later() -> None:
    zone = Zone(merge_within=5.0, enter_after=3.0)
    zone.see([*steady(0.9, 0, 5), *steady(0.0, 5, 9), *steady(0.9, 9, 20)])
    assert zone.heard() == [(OCCUPIED, 0.0, 3.0)]
    zone = Zone(merge_within=5.0, enter_after=3.0)
    zone.see([*steady(0.9, 0, 5), *steady(0.0, 5, 9), *steady(0.9, 9, 11), *steady(0.0, 11, 12)])
    assert zone.heard() == [(OCCUPIED, 0.0, 3.0), (VACANT, 4.5, 11.0)]


def test_a_gap_ends_the_waiting_for_a_return() -> None:
    zone = Zone(merge_within=60.0).see([*steady(0.9, 0, 5), *steady(0.0, 5, 8)])
    zone.wait(100.0).see([(101.0, 0.9)])
    assert zone.heard()[1:] == [(VACANT, 4.5, 17.5), (UNKNOWN, 7.5, 17.5), (OCCUPIED, 101.0, 101.0)]
    assert zone.changes[1].end_reason is EndReason.VACATED


def test_a_return_needs_no_second_dwelling() -> None:
    zone = Zone(min_dwell=3.0, merge_within=10.0)
    zone.see([*LONG, *steady(0.0, 15, 18), (18.0, 0.9), *steady(0.0, 19, 40)])
    assert zone.heard() == [(OCCUPIED, 5.0, 8.0), (VACANT, 18.0, 28.5)]


def afterwards(latent: list[Change], config: PresenceConfig) -> list[tuple[float, float]]:
    """Occupancies from the machine's own, judged with hindsight."""
    spans: list[tuple[float, float]] = []
    start, mergeable = 0.0, False
    for change in latent:
        if change.current is OCCUPIED:
            start = change.at.monotonic
        elif change.previous is OCCUPIED:
            end = change.at.monotonic
            if mergeable and start - spans[-1][1] <= config.merge_within + 1e-6:
                spans[-1] = spans[-1][0], end
            elif end - start >= config.min_dwell - 1e-6:
                spans.append((start, end))
            else:
                continue
            mergeable = change.current is VACANT
        elif change.current is UNKNOWN:
            mergeable = False
    return spans


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.6, 0.9]),
            st.integers(1, 10),
            st.sampled_from([0.5, 0.5, 0.5, 0.5, 12.0]),
        ),
        max_size=20,
    ),
    st.sampled_from([0.0, 2.0, 4.0]),
    st.sampled_from([0.0, 3.0, 9.0]),
    st.sampled_from([0.0, 1.5]),
)
def test_what_is_told_is_what_hindsight_would_tell(
    parts: list[tuple[float, int, float]], dwell: float, merge: float, enter_after: float
) -> None:
    zone = Zone(min_dwell=dwell, merge_within=merge, enter_after=enter_after)
    now = 0.0
    for score, count, gap in parts:
        for i in range(count):
            now += gap if i == 0 else 0.5
            zone.see([(now, score)])
    zone.finish(now)
    told = [c for c in zone.changes if OCCUPIED in (c.previous, c.current)]
    spans = [(a.at.monotonic, b.at.monotonic) for a, b in zip(told[::2], told[1::2], strict=True)]
    assert spans == afterwards(zone.latent, zone.config)
    previous = UNKNOWN
    for change in zone.changes:
        assert change.previous is previous is not change.current
        assert change.at.monotonic <= change.confirmed.monotonic
        previous = change.current
