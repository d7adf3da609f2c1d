"""The score history: written aside, read back, thinned by age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from monitor.clock import Stamp
from monitor.errors import DatabaseError
from monitor.events import history
from monitor.events.history import (
    ScoreRecorder,
    delete_score_history_before,
    known_history,
    score_history,
)
from monitor.events.models import ScoreMinute
from monitor.messages import Frame, Score

from .conftest import ALL_BACKENDS

BACKENDS = ALL_BACKENDS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PICTURE = np.zeros((2, 2, 3), np.uint8)


class Hands:
    """A clock whose hands are moved by the test."""

    def __init__(self) -> None:
        self.utc = NOON

    def now(self) -> Stamp:
        return Stamp((self.utc - NOON).total_seconds(), self.utc)


def score(seconds: float, value: float, camera: str = "dock", zone: str = "gate") -> Score:
    stamp = Stamp(seconds, NOON + timedelta(seconds=seconds))
    return Score(camera, zone, value, Frame(camera, 0, stamp, None, (), PICTURE), stamp)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def recorder(engine: Engine, clock: Hands) -> ScoreRecorder:
    return ScoreRecorder(engine, clock=clock)


def minutes(engine: Engine) -> int:
    with Session(engine) as session:
        return len(session.scalars(select(ScoreMinute)).all())


def test_scores_come_back_second_by_second(
    engine: Engine, recorder: ScoreRecorder, clock: Hands
) -> None:
    for seconds, value in ((1.0, 0.2), (1.2, 0.4), (1.9, 0.6), (59.9, 0.9), (60.0, 0.1)):
        recorder.on_score(score(seconds, value))
    recorder.on_score(score(1.0, 0.77, zone="yard"))
    recorder.on_score(score(1.0, float("nan")))
    clock.utc = NOON + timedelta(seconds=70)
    recorder.write()
    found = score_history(engine, "dock", "gate", NOON, NOON + timedelta(minutes=5))
    start = int(NOON.timestamp())
    assert found.second.tolist() == [start + 1, start + 59]  # the running minute is not over
    assert found.count.tolist() == [3, 1]
    assert found.scores.low.tolist() == pytest.approx([0.2, 0.9], abs=0.01)
    assert found.scores.mean.tolist() == pytest.approx([0.4, 0.9], abs=0.01)
    assert found.scores.high.tolist() == pytest.approx([0.6, 0.9], abs=0.01)
    recorder.write(all_of_it=True)
    assert len(score_history(engine, "dock", "gate", NOON, NOON + timedelta(minutes=5))) == 3
    assert known_history(engine) == [
        ("dock", "gate", NOON, NOON + timedelta(minutes=1)),
        ("dock", "yard", NOON, NOON),
    ]


def test_what_a_score_counted_for_comes_back_where_it_was_known(
    engine: Engine, recorder: ScoreRecorder
) -> None:
    recorder.on_score(score(1.0, 0.4), 0.98)
    recorder.on_score(score(1.2, 0.2), 0.2)
    recorder.on_score(score(61.0, 0.4))
    recorder.write(all_of_it=True)
    found = score_history(engine, "dock", "gate", NOON, NOON + timedelta(minutes=5))
    assert found.scores.high.tolist() == pytest.approx([0.4, 0.4], abs=0.01)
    assert found.counted.high[0] == pytest.approx(0.98, abs=0.001)
    assert found.counted.low[0] == pytest.approx(0.2, abs=0.01)
    assert np.isnan(found.counted.mean[1])


def test_the_span_is_cut_to_seconds(engine: Engine, recorder: ScoreRecorder) -> None:
    for second in range(180):
        recorder.on_score(score(second + 0.5, 0.5))
    recorder.write(all_of_it=True)
    since, until = NOON + timedelta(seconds=50.5), NOON + timedelta(seconds=130)
    found = score_history(engine, "dock", "gate", since, until)
    assert found.second[0] == int(NOON.timestamp()) + 50
    assert found.second[-1] == int(NOON.timestamp()) + 129
    assert len(found) == 80
    assert len(score_history(engine, "dock", "nowhere", since, until)) == 0


def test_a_restart_within_a_minute_and_a_repeated_write_lose_and_double_nothing(
    engine: Engine, clock: Hands
) -> None:
    for part in (range(20), range(30, 60)):
        recorder = ScoreRecorder(engine, clock=clock)
        for second in part:
            recorder.on_score(score(second, 0.3))
        recorder.write(all_of_it=True)
        for second in part:
            recorder.on_score(score(second, 0.3))
        recorder.write(all_of_it=True)
    found = score_history(engine, "dock", "gate", NOON, NOON + timedelta(minutes=1))
    assert len(found) == 50
    assert set(found.count.tolist()) == {1}
    assert minutes(engine) == 1


def test_the_thread_writes_what_is_left_at_the_end(engine: Engine) -> None:
    recorder = ScoreRecorder(engine)
    recorder.start()
    recorder.on_score(score(3.0, 0.5))
    recorder.stop(30.0)
    assert minutes(engine) == 1
    assert recorder.stats().written == 1


def test_minutes_wait_for_the_database_and_the_oldest_are_dropped(
    engine: Engine, recorder: ScoreRecorder, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_WAITING", 3)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE score_history RENAME TO elsewhere"))
    for minute in range(5):
        recorder.on_score(score(60.0 * minute, 0.5))
    clock.utc = NOON + timedelta(minutes=5)
    recorder.write()
    assert recorder.stats().waiting == 3
    assert recorder.stats().dropped == 2
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO score_history"))
    recorder.write()
    assert recorder.stats().waiting == 0
    assert minutes(engine) == 3


def test_old_minutes_go_zone_by_zone(engine: Engine, recorder: ScoreRecorder) -> None:
    for minute in range(0, 1500, 50):
        recorder.on_score(score(60.0 * minute, 0.5))
        recorder.on_score(score(60.0 * minute, 0.5, camera="yard", zone="frame"))
    recorder.on_score(score(60.0 * 1400, 0.5, camera="young"))
    recorder.write(all_of_it=True)
    limit = NOON + timedelta(minutes=1000, seconds=30)
    assert delete_score_history_before(engine, limit) == 2 * 20
    oldest = {camera: first for camera, _, first, _ in known_history(engine)}
    assert oldest["dock"] == oldest["yard"] == NOON + timedelta(minutes=1000)
    assert oldest["young"] == NOON + timedelta(minutes=1400)
    assert delete_score_history_before(engine, limit) == 0


def test_a_damaged_minute_is_named(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.add(ScoreMinute(camera="dock", zone="gate", minute=NOON, scores=b"nonsense"))
    with pytest.raises(DatabaseError, match=r"damaged|form"):
        score_history(engine, "dock", "gate", NOON, NOON + timedelta(minutes=1))
