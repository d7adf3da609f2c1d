"""The machine on scores of the past: leaving out what cannot count changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.cli.footage import replay_traces
from monitor.clock import Stamp
from monitor.config.guards import GuardConfig
from monitor.config.presence import (
    CalibrationConfig,
    EvidenceConfig,
    PresenceConfig,
    PresenceMode,
)
from monitor.events.health import HealthSpan
from monitor.events.history import ScoreHistory
from monitor.events.minutes import Spread
from monitor.messages import CameraHealth, EndReason, Frame, HealthKind, PresenceState, Scene
from monitor.presence import machine
from monitor.presence.machine import Hold, Observation, ZoneState
from monitor.presence.metrics import Span
from monitor.presence.reading import calibrated
from monitor.presence.report import Told, report
from monitor.presence.sense import Sensed
from monitor.presence.sentinel import Sentinel
from monitor.replay import ReplayResult, ScorePoint
from monitor.review.guarded import guarded
from monitor.review.quick import Levels
from monitor.review.simulate import apply_calibration, simulate, step
from monitor.review.trace import BLIND, HELD_ENTRIES, HELD_EXITS, Trace, from_history

from .traces import noise, trace

EVIDENCE = PresenceConfig(
    mode=PresenceMode.EVIDENCE,
    evidence=EvidenceConfig(calibration=CalibrationConfig(slope=1.3, offset=0.4)),
    enter_after=0.0,
    enter_hits=2,
)
WAYS = [
    PresenceConfig(),
    PresenceConfig(smoothing=0.0, enter_after=0.0, enter_hits=1, exit_after=0.0),
    PresenceConfig(enter_threshold=0.9, exit_threshold=0.2, smoothing=2.0, enter_after=2.0),
    PresenceConfig(min_dwell=3.0, merge_within=20.0),
    EVIDENCE,
]


def every_score(made: Trace, config: PresenceConfig) -> list[Span]:
    """The same without leaving anything out."""
    state, told, opened, events = ZoneState(), Told(), None, []
    sight = np.zeros(made.at.size, np.uint8) if made.sight is None else made.sight
    steps = [*zip(made.at.tolist(), made.score.tolist(), sight.tolist(), strict=True), None]
    for each in steps:
        if each is None:
            result = machine.ended(state, made.stamp(float(made.at[-1])), EndReason.END_OF_MEDIA)
        else:
            seen = Observation(made.stamp(each[0]), each[1])
            result = step(state, seen, config, each[2])
        state = result.state
        told, changes = report(told, result, config)
        for change in changes:
            if change.current is PresenceState.OCCUPIED:
                opened = change
            elif opened is not None:
                start, end = opened.at.monotonic, change.at.monotonic
                events.append(Span(start, max(start, end), opened.confirmed.monotonic))
                opened = None
    return events


@pytest.mark.parametrize("config", WAYS)
@pytest.mark.parametrize("seed", [1, 2])
def test_leaving_out_changes_nothing(config: PresenceConfig, seed: int) -> None:
    rng = np.random.default_rng(seed)
    visits = tuple(
        Span(at, at + float(rng.uniform(0.4, 20.0))) for at in (30.0, 100.0, 103.0, 260.0)
    )
    made = trace(noise(400.0, seed, mean=-3.0, spread=1.5), visits)
    expected = every_score(made, config)
    assert expected
    assert simulate(made, config) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=80), st.sampled_from(WAYS))
def test_leaving_out_changes_nothing_of_any_scores(
    scores: list[float], config: PresenceConfig
) -> None:
    quiet = [0.01] * 400  # longer than the machine remembers
    values = np.array([*quiet, *scores, *quiet, *scores])
    made = Trace("any", datetime(2026, 1, 1, tzinfo=UTC), np.arange(values.size) / 5.0, values)
    assert simulate(made, config) == every_score(made, config)


SIGHTS = [HELD_ENTRIES | HELD_EXITS, HELD_EXITS, BLIND, BLIND | HELD_EXITS]


def under_guards(made: Trace, seed: int) -> Trace:
    """Some spells of some seconds under this and that guard."""
    rng = np.random.default_rng(seed)
    sight = np.zeros(made.at.size, np.uint8)
    for _ in range(8):
        first = int(rng.integers(made.at.size))
        sight[first : first + int(rng.integers(1, 100))] = rng.choice(SIGHTS)
    return replace(made, sight=sight)


@pytest.mark.parametrize("config", WAYS)
@pytest.mark.parametrize("seed", range(10, 16))
def test_under_guards_nothing_is_left_out_either(config: PresenceConfig, seed: int) -> None:
    visits = tuple(Span(at, at + 8.0) for at in (30.0, 70.0, 110.0, 150.0))
    made = under_guards(trace(noise(200.0, seed, mean=-3.0, spread=1.5), visits), seed)
    assert simulate(made, config) == every_score(made, config)
    if config.min_dwell == 0.0:
        quiet = under_guards(trace(noise(60.0, seed, mean=-1.0, spread=1.5)), seed)
        assert (Levels([quiet]).runs(config) > 0) == bool(simulate(quiet, config))


def test_a_burst_as_the_light_changes_is_no_event_and_a_visit_is_told_after_it() -> None:
    made = trace(noise(60.0, 8), (Span(20.0, 23.0), Span(40.0, 52.0)), lift=9.0)
    sight = np.where((made.at >= 19.0) & (made.at < 25.0), HELD_ENTRIES, 0)
    sight |= np.where((made.at >= 40.0) & (made.at < 44.0), HELD_ENTRIES, 0)
    bare, held = (simulate(each, PresenceConfig()) for each in (
        made, replace(made, sight=sight.astype(np.uint8))))  # fmt: skip
    assert len(bare) == 2
    [visit] = held
    assert visit.start == bare[1].start
    assert visit.confirmed == pytest.approx(44.0)


def test_a_blind_camera_is_not_watched_and_an_event_ends_unseen() -> None:
    made = trace(noise(60.0, 9), (Span(10.0, 20.0),))
    sight = np.where(made.at >= 20.4, BLIND, 0).astype(np.uint8)
    blind = replace(made, sight=sight)
    assert blind.watched_s == pytest.approx(20.4)
    assert blind.guarded_s == pytest.approx(39.4, abs=0.2)
    assert blind.occupied()[-1] == -1
    [event] = simulate(blind, PresenceConfig())
    assert event.end == pytest.approx(20.0, abs=0.3)


def test_of_a_recording_it_is_known_what_guards_held_back() -> None:
    def sensed(at: float, hold: Hold, *, blind: bool = False) -> Sensed:
        return Sensed(Observation(Stamp(at, HEALTH_AT), 0.3), hold, blind=blind)

    held = [
        (0.0, 0.3, sensed(0.0, Hold(entries=True, exits=True))),
        (0.2, 0.3, sensed(0.2, Hold(exits=True))),
        (0.4, 0.3, sensed(0.4, Hold(exits=True), blind=True)),
        (0.6, 0.3, None),
    ]
    result = ReplayResult(
        "dock.mp4", 1.0, 4, 4, (), tuple(ScorePoint("frame", *each) for each in held)
    )
    [made] = replay_traces([result], "frame")
    assert made.sight is not None
    assert made.sight.tolist() == [3, HELD_EXITS, HELD_EXITS | BLIND, 0]
    assert made.part(0.1, 0.5).sight is not None
    assert made.score.tolist() == [0.3] * 4


HEALTH_AT = datetime(2026, 1, 1, tzinfo=UTC)


def spell(kind: HealthKind, start: float, certain: float, end: float | None) -> HealthSpan:
    moments = (None if at is None else HEALTH_AT + timedelta(seconds=at)
               for at in (start, certain, end))  # fmt: skip
    started, confirmed, ended = moments
    assert started is not None
    assert confirmed is not None
    return HealthSpan(UUID(int=1), "dock", kind, started, confirmed, ended, "")


def test_what_guards_held_is_known_from_camera_health() -> None:
    made = Trace("h", HEALTH_AT, np.arange(0.0, 200.0), np.zeros(200))
    health = [
        spell(HealthKind.LIGHT_SWITCHED, 10.0, 10.0, 14.0),
        spell(HealthKind.COVERED, 100.0, 105.0, None),
        spell(HealthKind.CLUTTER, 50.0, 50.0, 60.0),
    ]
    sight = guarded(made, health, GuardConfig(bound=30.0)).sight
    assert sight is not None
    assert np.flatnonzero(sight & HELD_ENTRIES).tolist() == [10, 11, 12, 13]
    exits = np.flatnonzero(sight & HELD_EXITS).tolist()
    assert exits == [*range(10, 14), *range(100, 129)]
    assert np.flatnonzero(sight & BLIND).tolist() == list(range(105, 200))
    assert guarded(made, health, GuardConfig(enabled=False)).sight is None
    assert guarded(made, health[2:], GuardConfig()).sight is None


def test_stored_guards_use_up_the_same_budget_as_live_ones() -> None:
    """A light that flickers: camera health as the guards tell it, held as they held it."""
    told: list[CameraHealth] = []
    settings = GuardConfig(bound=8.0)
    sentinel = Sentinel("dock", settings, tell=told.append, new_id=uuid4, forget=lambda: None)
    rng, live, at = np.random.default_rng(4), [], np.arange(0.0, 90.0, 0.5)
    picture = rng.integers(40, 120, (56, 56)).astype(np.uint8)
    for second in at.tolist():
        bright = 60 if second > 30.0 and second % 3.0 < 1.5 else 0
        luma = picture + np.uint8(bright)
        scene = Scene(float(luma.mean()), 20.0, 30.0, 50.0, luma)
        stamp = Stamp(second, HEALTH_AT + timedelta(seconds=second))
        frame = Frame("dock", 0, stamp, None, (), np.zeros((2, 2, 3), np.uint8), scene)
        live.append(sentinel.look(frame).hold_entries)
    spans: dict[UUID, HealthSpan] = {}
    for each in told:
        spans[each.id] = HealthSpan(each.id, "dock", each.kind, each.at.utc, each.confirmed.utc,
                                    each.ended.utc if each.ended else None, "")  # fmt: skip
    made = Trace("h", HEALTH_AT, at, np.zeros(at.size))
    kept = guarded(made, list(spans.values()), settings)
    assert 10 < sum(live) < 100
    assert np.mean(kept.held == np.array(live)) > 0.97


@pytest.mark.parametrize("config", WAYS[:3] + WAYS[4:])
def test_the_quick_look_knows_whether_there_are_events(config: PresenceConfig) -> None:
    for seed, visits in ((3, ()), (4, (Span(60.0, 61.5),)), (5, (Span(60.0, 90.0),))):
        made = trace(noise(200.0, seed, mean=-4.0, spread=1.0), visits)
        assert (Levels([made]).runs(config) > 0) == bool(simulate(made, config))


def test_a_gap_ends_what_was_there() -> None:
    at = np.array([*np.arange(0.0, 10.0, 0.2), *np.arange(60.0, 70.0, 0.2)])
    made = Trace("gap", datetime(2026, 1, 1, tzinfo=UTC), at, np.full(at.size, 0.9))
    first, second = simulate(made, PresenceConfig())
    assert first.end == pytest.approx(9.8)
    assert second.start == pytest.approx(60.0)
    assert made.watched_s == pytest.approx(9.8 + 10.0 + 9.8)


@given(st.floats(1e-5, 1.0 - 1e-5), st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_many_scores_mean_what_single_ones_mean(score: float, slope: float, offset: float) -> None:
    for way in (
        CalibrationConfig(slope=slope, offset=offset),
        CalibrationConfig(table=[(0.1, 0.0), (0.5, 0.2), (0.8, 0.95)]),
    ):
        [many] = apply_calibration(np.array([score]), way)
        assert many == pytest.approx(calibrated(score, way), abs=1e-4)


def test_stored_seconds_become_scores_again() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    second = int(start.timestamp()) + np.array([0, 1, 5])
    history = ScoreHistory(
        second,
        np.array([1, 4, 2], np.uint8),
        Spread(np.array([0.2, 0.3, 0.1]), np.array([0.2, 0.6, 0.2]), np.array([0.2, 0.9, 0.3])),
        Spread(*(np.array([0.01, 0.95, np.nan]) for _ in range(3))),
    )
    made = from_history("x", history, start)
    assert made.at.tolist() == [0.5, 1.125, 1.375, 1.625, 1.875, 5.25, 5.75]
    assert sorted(made.score[1:5].tolist()) == pytest.approx([0.3, 0.6, 0.6, 0.9])
    assert made.score[5:].tolist() == pytest.approx([0.3, 0.1])  # they were falling
    assert made.counts.tolist() == pytest.approx([0.01, *[0.95] * 4, 0.3, 0.1])
    assert made.unweighed_s == pytest.approx(0.5)
