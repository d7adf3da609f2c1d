"""How closely presence wants its cameras looked at."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import Stamp
from monitor.config import CameraConfig, PresenceConfig
from monitor.messages import Attention, EndReason, Frame, Outage, OutageReason, PresenceState, Score
from monitor.presence import PresenceRoom
from monitor.presence.attention import DOUBT_LASTS, Need, Watchfulness, need_of
from monitor.presence.machine import Observation, Pending, ZoneState, lost, step

START = Stamp(0.0, datetime(2026, 3, 1, tzinfo=UTC))
PLAIN = PresenceConfig(exit_after=2.0)
EVIDENCE = PresenceConfig.model_validate({"mode": "evidence", "exit_after": 2.0})
BOTH = pytest.mark.parametrize("settings", [PLAIN, EVIDENCE], ids=["plain", "evidence"])


def seen(scores: Iterable[float], settings: PresenceConfig, fps: float = 5.0) -> ZoneState:
    state = ZoneState()
    for index, score in enumerate(scores):
        state = step(state, Observation(START.shifted(index / fps), score), settings).state
    return state


def settled(state: ZoneState, settings: PresenceConfig) -> bool:
    return need_of(state, settings) in (Need.GLANCES, Need.RARE_GLANCES)


@BOTH
def test_nothing_known_asks_for_nothing(settings: PresenceConfig) -> None:
    assert settled(ZoneState(), settings)


@BOTH
@pytest.mark.parametrize(("score", "presence"), [(0.02, "vacant"), (0.99, "occupied")])
def test_settled_once_clear(settings: PresenceConfig, score: float, presence: str) -> None:
    assert not settled(seen([score], settings), settings)
    state = seen([score] * 60, settings)
    assert state.presence is PresenceState(presence)
    rare = state.presence is PresenceState.OCCUPIED
    assert need_of(state, settings) is (Need.RARE_GLANCES if rare else Need.GLANCES)


@BOTH
@pytest.mark.parametrize("score", [0.6, 0.99])
def test_the_first_doubt_about_an_empty_place_asks(settings: PresenceConfig, score: float) -> None:
    assert not settled(seen([0.02] * 60 + [score], settings), settings)


@BOTH
@pytest.mark.parametrize("score", [0.45, 0.02])
def test_the_first_doubt_about_somebody_asks(settings: PresenceConfig, score: float) -> None:
    assert not settled(seen([0.99] * 60 + [score], settings), settings)


@BOTH
def test_a_camera_that_is_not_seen_need_not_be_looked_at(settings: PresenceConfig) -> None:
    state = seen([0.02] * 60 + [0.99], settings)
    assert settled(lost(state, START.shifted(13.0)), settings)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([PLAIN, EVIDENCE]))
def test_no_pending_change_is_ever_settled(scores: list[float], settings: PresenceConfig) -> None:
    state = seen(scores, settings)
    leaving = state.presence is PresenceState.OCCUPIED
    if state.presence is PresenceState.UNKNOWN or (state.pending is not None and not leaving):
        assert not settled(state, settings)


@BOTH
def test_a_long_exit_is_watched_closely_at_its_start_only(settings: PresenceConfig) -> None:
    patient = settings.model_copy(update={"exit_after": 20.0})
    there = [0.99] * 60
    assert not settled(seen([*there, 0.01, 0.01, 0.01], patient), patient)
    away = seen(there + [0.01] * 60, patient)
    assert away.pending is Pending.EXITING
    assert settled(away, patient)
    assert not settled(seen([*there, *[0.01] * 60, 0.6], patient), patient)


@BOTH
def test_the_end_of_an_exit_needs_no_close_look(settings: PresenceConfig) -> None:
    """Glances to the end; it is over whatever the glance after it shows."""
    patient = settings.model_copy(update={"exit_after": 8.0})
    state = seen([0.99] * 60 + [0.01] * 2, patient)
    while not settled(state, patient):
        state = step(state, Observation(state.seen.shifted(0.2), 0.01), patient).state
    over = state.clears.since.shifted(8.0)
    while over.since(state.seen) > 0.7:
        assert need_of(state, patient) is Need.GLANCES
        state = step(state, Observation(state.seen.shifted(0.7), 0.01), patient).state
    after = step(state, Observation(state.seen.shifted(1.4), 0.99), patient)
    assert [change.end_reason for change in after.changes] == [EndReason.VACATED]


def test_a_room_tells_changes_only_and_any_zone_counts() -> None:
    square = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0)]
    camera = CameraConfig.model_validate(
        {
            "source": {"url": "-"},
            "zones": {"a": {"polygon": square}, "b": {"polygon": square}},
        }
    )
    told: list[Attention] = []
    room = PresenceRoom({"cam": camera}, on_message=lambda _m: None, on_attention=told.append)

    def score(second: float, **values: float) -> None:
        at = START.shifted(second)
        frame = Frame("cam", 0, at, second, (), np.zeros((2, 2, 3), np.uint8))
        for zone, value in values.items():
            room.on_score(Score("cam", zone, value, frame, at))

    for index in range(10):
        score(index / 5, a=0.0, b=0.0)
    assert told == [Attention("cam", True), Attention("cam", False)]
    score(3.0, a=0.0, b=0.95)
    score(3.2, a=0.0, b=0.95)
    assert told[2:] == [Attention("cam", True)]
    room.on_outage(Outage("cam", START.shifted(3.3), OutageReason.TIMEOUT))
    assert told[3:] == [Attention("cam", False)]
    score(5.0, a=0.6, b=0.0)
    assert told[4:] == [Attention("cam", True)]
    room.tick(START.shifted(30.0))
    assert told[5:] == [Attention("cam", False)]


def test_a_doubt_that_lasts_is_none_any_more() -> None:
    told: list[bool] = []
    watchfulness = Watchfulness("cam", ["a"], lambda attention: told.append(attention.dense))
    watchfulness.note("a", Need.DOUBTFUL, START)
    watchfulness.note("a", Need.DOUBTFUL, START.shifted(DOUBT_LASTS - 0.1))
    assert told == [True]
    watchfulness.note("a", Need.DOUBTFUL, START.shifted(DOUBT_LASTS))
    assert told == [True, False]
    watchfulness.note("a", Need.PENDING, START.shifted(20.0))
    watchfulness.note("a", Need.DOUBTFUL, START.shifted(21.0))  # a new doubt
    assert told == [True, False, True]


def test_rare_glances_do_only_where_they_do_for_every_zone() -> None:
    told: list[Attention] = []
    watchfulness = Watchfulness("cam", ["a", "b"], told.append)
    watchfulness.note("a", Need.RARE_GLANCES, START)
    assert told == []
    watchfulness.note("b", Need.RARE_GLANCES, START)
    assert told == [Attention("cam", dense=False, sparse=True)]
    watchfulness.note("b", Need.PENDING, START)
    assert told[1:] == [Attention("cam", dense=True)]
    watchfulness.note("b", Need.GLANCES, START)
    assert told[2:] == [Attention("cam", dense=False)]


@pytest.mark.parametrize(("dwell", "sparse"), [(0.0, True), (30.0, False)])
def test_who_must_dwell_to_be_told_is_looked_at_as_often_as_may_be(
    dwell: float, sparse: bool
) -> None:
    camera = CameraConfig.model_validate({"source": {"url": "-"}, "presence": {"min_dwell": dwell}})
    told: list[Attention] = []
    room = PresenceRoom({"cam": camera}, on_message=lambda _m: None, on_attention=told.append)
    for index in range(15):
        at = START.shifted(index / 5)
        frame = Frame("cam", index, at, index / 5, (), np.zeros((2, 2, 3), np.uint8))
        room.on_score(Score("cam", "frame", 0.99, frame, at))
    assert told[-1] == Attention("cam", dense=False, sparse=sparse)
