"""The machine on scores of the past: leaving out what cannot count changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.presence import (
    CalibrationConfig,
    EvidenceConfig,
    PresenceConfig,
    PresenceMode,
)
from monitor.events.history import ScoreHistory
from monitor.messages import EndReason, PresenceState
from monitor.presence import machine
from monitor.presence.machine import Observation, ZoneState
from monitor.presence.metrics import Span
from monitor.presence.reading import calibrated
from monitor.presence.report import Told, report
from monitor.review.quick import Levels
from monitor.review.simulate import apply_calibration, simulate
from monitor.review.trace import Trace, from_history

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
    steps = [
        *((float(at), float(score)) for at, score in zip(made.at, made.score, strict=True)),
        None,
    ]
    for each in steps:
        if each is None:
            result = machine.ended(state, made.stamp(float(made.at[-1])), EndReason.END_OF_MEDIA)
        else:
            result = machine.step(state, Observation(made.stamp(each[0]), each[1]), config)
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
        np.array([0.2, 0.3, 0.1]),
        np.array([0.2, 0.6, 0.2]),
        np.array([0.2, 0.9, 0.3]),
    )
    made = from_history("x", history, start)
    assert made.at.tolist() == [0.5, 1.125, 1.375, 1.625, 1.875, 5.25, 5.75]
    assert sorted(made.score[1:5].tolist()) == pytest.approx([0.3, 0.6, 0.6, 0.9])
    assert made.score[5:].tolist() == pytest.approx([0.3, 0.1])  # they were falling
