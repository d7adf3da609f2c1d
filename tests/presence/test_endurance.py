"""What presence outlasts: holds, clocks that step, restarts, and a million observations."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from datetime import timedelta
from itertools import count, pairwise
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from monitor.clock import Stamp
from monitor.config.camera import CameraConfig, SourceConfig
from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.messages import (
    EndReason,
    Frame,
    OpenOccupancy,
    PresenceState,
    Progress,
    Score,
    Summary,
    Transition,
)
from monitor.presence.machine import (
    FREE,
    Change,
    Hold,
    Observation,
    ZoneState,
    recanted,
    step,
    tick,
)
from monitor.presence.room import PresenceRoom

from .scenery import Place
from .scenery import at as scenery_at
from .test_machine_properties import EPOCH, at, configs, constant, either_mode, run, told, traces

UNKNOWN, VACANT, OCCUPIED = PresenceState.UNKNOWN, PresenceState.VACANT, PresenceState.OCCUPIED
Trace = list[tuple[float, float]]
unhurried = settings(deadline=None, max_examples=60)
holds = st.lists(
    st.tuples(st.builds(Hold, st.booleans(), st.booleans()), st.integers(1, 10)), max_size=12
)


def run_held(
    trace: Trace, config: PresenceConfig, held: Iterable[tuple[Hold, int]]
) -> tuple[list[Hold], list[ZoneState], list[Change]]:
    """Feed a trace under stretches of holds; after the last stretch nothing is held."""
    plan = [hold for hold, length in held for _ in range(length)]
    plan = (plan + [FREE] * len(trace))[: len(trace)]
    state = ZoneState()
    states: list[ZoneState] = []
    changes: list[Change] = []
    for (second, score), hold in zip(trace, plan, strict=True):
        result = step(state, Observation(at(second), score), config, hold)
        state = result.state
        states.append(state)
        changes += result.changes
    return plan, states, changes


@unhurried
@given(traces(), either_mode, holds)
def test_what_is_held_is_not_confirmed_and_everything_else_is(
    trace: Trace, config: PresenceConfig, held: list[tuple[Hold, int]]
) -> None:
    plan, states, _ = run_held(trace, config, held)
    before = ZoneState()
    for (second, score), hold, after in zip(trace, plan, states, strict=True):
        free = step(before, Observation(at(second), score), config).state
        waited = tick(before, at(second), config).state.presence
        kept = after.presence is waited
        if free.presence is OCCUPIED and waited is not OCCUPIED:
            assert (after.presence is OCCUPIED) is not hold.entries
            assert after.onset is not None or not hold.entries  # the evidence is not lost
        elif free.presence is VACANT and waited is not VACANT and hold.exits:
            assert kept
        else:
            assert after.presence is free.presence
        before = after


@unhurried
@given(
    st.sampled_from([0.2, 0.5, 1.0]),
    st.integers(1, 30),
    st.one_of(configs, st.just(PresenceConfig(mode=PresenceMode.EVIDENCE))),
)
def test_who_enters_under_a_hold_is_told_when_it_ends_and_dated_as_without(
    gap: float, length: int, config: PresenceConfig
) -> None:
    """Somebody comes in with the light and stays: the hold costs time, never the event."""
    config = config.model_copy(update={"max_gap": 10.0})
    empty: Trace = [(gap * i, 0.02) for i in range(80)]
    visit: Trace = [(gap * (80 + i), 0.99) for i in range(120)]
    free = told(run(empty + visit, config)[1])
    held = [(FREE, 80), (Hold(entries=True, exits=True), length)]
    _, _, changes = run_held(empty + visit, config, held)
    (came,) = [each for each in free if each[0] is OCCUPIED]
    (late,) = [each for each in told(changes) if each[0] is OCCUPIED]
    assert late[1] == came[1]
    ends = gap * (80 + length)
    assert abs(late[2] - max(came[2], ends)) < 1e-6


@unhurried
@given(traces(), either_mode, st.floats(0.0, 60.0))
def test_recanting_moves_the_last_evidence_back_and_nothing_else(
    trace: Trace, config: PresenceConfig, since: float
) -> None:
    state, _ = run(trace, config)
    after = recanted(state, at(since))
    if state.presence is not OCCUPIED:
        assert after is state
        return
    assert state.evidence is not None
    assert state.since is not None
    assert after.evidence is not None
    assert state.since <= after.evidence <= state.evidence
    assert after.evidence == min(state.evidence, max(at(since), state.since))


class Watching:
    """A room with one camera; what it said, by event."""

    def __init__(self, config: PresenceConfig, numbers: Iterable[int]) -> None:
        source = SourceConfig(url=SecretStr("rtsp://camera/"))
        ids = iter(numbers)
        self.said: list[Transition | Progress] = []
        self.room = PresenceRoom(
            {"dock": CameraConfig(source=source, presence=config)},
            on_message=self.said.append,
            new_id=lambda: UUID(int=next(ids)),
        )

    def see(self, score: float, stamp: Stamp) -> None:
        frame = Frame("dock", 0, stamp, None, (), np.zeros((1, 1, 3), np.uint8))
        self.room.on_score(Score("dock", "frame", score, frame, stamp))

    def changes(self) -> list[tuple[PresenceState, float, float, EndReason | None]]:
        return [
            (m.current, m.at.monotonic, m.confirmed.monotonic, m.end_reason)
            for m in self.said
            if isinstance(m, Transition)
        ]


@unhurried
@given(traces(), either_mode, st.lists(st.tuples(st.integers(0, 100), st.integers(-9999, 9999))))
def test_a_wall_clock_that_steps_changes_nothing_but_dates(
    trace: Trace, config: PresenceConfig, steps: list[tuple[int, int]]
) -> None:
    steady, stepping = Watching(config, count(1)), Watching(config, count(1))
    offset = dict(steps)
    jumped = timedelta(0)
    for i, (second, score) in enumerate(trace):
        jumped += timedelta(seconds=offset.get(i, 0))
        steady.see(score, at(second))
        stepping.see(score, Stamp(at(second).monotonic, at(second).utc + jumped))
    assert steady.changes() == stepping.changes()


@settings(deadline=None, max_examples=30)
@given(
    st.integers(5, 290).map(lambda fifth: fifth / 5 + 0.1),
    st.one_of(st.floats(0.0, 8.0), st.floats(11.0, 25.0)),
)
def test_a_restart_at_any_moment_costs_no_event_and_makes_none(killed: float, down: float) -> None:
    """A visit from 10 to 40 s; the process dies at `killed` and is back `down` seconds later."""
    trace = [(i / 5, 0.98 if 50 <= i <= 200 else 0.02) for i in range(350)]
    old, new = Watching(PresenceConfig(), count(1)), Watching(PresenceConfig(), count(100))
    back = killed + down
    for second, score in trace:
        if second <= killed:
            old.see(score, at(second))
    found = open_at_the_end(old)
    # The new process's monotonic clock begins anew.
    new.room.restore([found] if found else [], Stamp(5.0, at(back).utc))
    for second, score in trace:
        if second > back:
            new.see(score, Stamp(5.0 + second - back, at(second).utc))
    events: dict[UUID, list[Transition]] = {}
    for message in (*old.said, *new.said):
        if isinstance(message, Transition) and message.event_id is not None:
            events.setdefault(message.event_id, []).append(message)
    spans = sorted((each[0].at.utc, each[-1].at.utc) for each in events.values())
    assert all(each[-1].previous is OCCUPIED for each in events.values())  # none stays open
    assert all(end <= at(max(40.0, killed)).utc for _, end in spans)
    assert all(later[0] >= earlier[1] for earlier, later in pairwise(spans))
    long = found is not None and down > 10.0
    assert 1 + (long and back < 39.0) <= len(events) <= 1 + (long and back < 40.0)
    if killed > 11.0:
        assert spans[0][0] == at(10.0).utc
    if found is not None and long:
        assert events[found.event_id][-1].end_reason is EndReason.RESTART


def open_at_the_end(watching: Watching) -> OpenOccupancy | None:
    """What a database would hold of it: Progress is sent at the kill, as at an orderly stop."""
    watching.room.checkpoint()
    opened: Transition | None = None
    seen: Stamp | None = None
    for message in watching.said:
        if isinstance(message, Progress):
            seen = message.seen
        elif message.current is OCCUPIED:
            opened, seen = message, message.confirmed
        elif message.previous is OCCUPIED:
            opened = None
    if opened is None or opened.event_id is None or seen is None:
        return None
    zero = Summary(0.9, 0.9, 1)
    return OpenOccupancy(opened.event_id, "dock", "frame", opened.at, seen, zero)


def test_a_million_observations_neither_grow_nor_drift() -> None:
    """Nearly twelve days at one frame a second: a visit every 100 s, each exactly like the last."""
    config = PresenceConfig(exit_after=2.0, enter_after=2.0)
    cycle = constant(0.05, 0, 60, 1.0) + constant(0.97, 60, 100, 1.0)
    state, utc = ZoneState(), EPOCH.utc
    opened = closed = 0
    sizes = []
    for lap in range(10_000):
        if lap == 9_900:
            tracemalloc.start()
        for second, score in cycle:
            stamp = Stamp(100.0 * lap + second, utc)
            result = step(state, Observation(stamp, score), config)
            state = result.state
            for change in result.changes:
                opened += change.current is OCCUPIED
                closed += change.end_reason is EndReason.VACATED
                assert change.at.monotonic % 100.0 in (0.0, 59.5, 99.0)
        if lap >= 9_900:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert (opened, closed) == (10_000, 9_999)
    assert sizes[-1] - sizes[0] < 10_000


def test_the_whole_room_with_its_pictures_neither_grows_nor_drifts() -> None:
    """A faint visitor every 100 s, whom only the weighing against the empty zone finds: every time
    the same, whatever the room has learned. (A million looks: `benchmarks.presence --long`.)"""
    watching, place = Watching(PresenceConfig(), count(1)), Place()
    told: list[tuple[float, float, float]] = []
    levels: list[float] = []
    sizes: list[int] = []
    for lap in range(20):
        if lap == 14:
            tracemalloc.start()
        for second in range(100):
            there = 60 <= second < 90
            person = (40 + 12 * (second % 9), 120) if there else None
            frame = place.but(person=person).frame(100.0 * lap + second)
            score = (0.42, 0.45, 0.4)[second % 3] if there else (0.02, 0.03, 0.025)[second % 3]
            watching.room.on_score(Score("dock", "frame", score, frame, frame.stamp))
        sensed = watching.room.sensed("dock", "frame")
        assert sensed is not None
        assert sensed.evidence is not None
        assert sensed.evidence.level is not None
        levels.append(sensed.evidence.level)
        opened, closed = (each for each in watching.changes() if OCCUPIED in each[:1] or each[3])
        start = scenery_at(100.0 * lap).monotonic
        told.append((opened[1] - start, opened[2] - start, closed[1] - start))
        watching.said.clear()
        if lap >= 14:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert set(told[1:]) == {told[1]}
    assert told[1] == (59.5, 62.0, 89.0)
    assert abs(levels[-1] - levels[6]) < 0.1
    assert sizes[-1] - sizes[1] < 20_000
