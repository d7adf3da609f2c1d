"""When zones were seen, and when not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from monitor.events import coverage, writer
from monitor.events.apply import Message, apply
from monitor.events.coverage import coverage_gaps, refresh
from monitor.events.models import Coverage
from monitor.events.queries import EventFilter
from monitor.events.restart import open_occupancies
from monitor.events.writer import EventWriter
from monitor.messages import EndReason, PresenceState, Transition

from .builders import NOON, at, closing, opening, progress
from .conftest import ALL_BACKENDS
from .test_queries import seconds

BACKENDS = ALL_BACKENDS
UNKNOWN, VACANT = PresenceState.UNKNOWN, PresenceState.VACANT


def change(previous: PresenceState, current: PresenceState, when: float) -> Transition:
    return Transition("dock", "gate", previous, current, at(when), at(when + 1), None)


def tell(engine: Engine, *messages: Message) -> None:
    with Session(engine) as session, session.begin():
        apply(session, messages, NOON)


def spans(engine: Engine) -> list[tuple[float, float | None]]:
    with Session(engine) as session:
        rows = session.scalars(select(Coverage).order_by(Coverage.started_at)).all()
    return [
        (
            (row.started_at - NOON).total_seconds(),
            (row.ended_at - NOON).total_seconds() if row.ended_at else None,
        )
        for row in rows
    ]


def gaps(engine: Engine, now: float, **wanted: datetime) -> list[tuple[float, float]]:
    found = coverage_gaps(engine, EventFilter(**wanted), seconds(now))  # type: ignore[arg-type]
    return [((gap.start - NOON).total_seconds(), (gap.end - NOON).total_seconds()) for gap in found]


STORY = (
    change(UNKNOWN, VACANT, 0),
    change(VACANT, UNKNOWN, 100),
    change(UNKNOWN, VACANT, 150),
    change(VACANT, UNKNOWN, 300),
)


def test_a_camera_that_goes_and_comes_back_leaves_a_gap(engine: Engine) -> None:
    tell(engine, *STORY)
    assert spans(engine) == [(0, 100), (150, 300)]
    assert gaps(engine, 400) == [(100, 150), (300, 400)]
    assert gaps(engine, 400, since=seconds(120), until=seconds(200)) == [(120, 150)]
    assert gaps(engine, 400, since=seconds(160), until=seconds(290)) == []
    assert gaps(engine, 400, until=seconds(99)) == []


def test_repeating_messages_changes_nothing(engine: Engine) -> None:
    tell(engine, *STORY)
    for first in range(len(STORY)):
        tell(engine, *STORY[first:])
        tell(engine, STORY[first])
        assert spans(engine) == [(0, 100), (150, 300)]


def test_one_transaction_or_many_make_the_same_spans(engine: Engine) -> None:
    for message in STORY:
        tell(engine, message)
    assert spans(engine) == [(0, 100), (150, 300)]


def test_an_event_that_loses_its_signal_ends_coverage_and_a_resumed_one_begins_it(
    engine: Engine,
) -> None:
    event_id = uuid4()
    tell(engine, change(UNKNOWN, VACANT, 0), opening(event_id, 10))
    assert spans(engine) == [(0, None)]
    open_occupancies(engine, {("dock", "gate")}, at(60))  # a new process
    assert spans(engine) == [(0, 10)]
    tell(engine, progress(event_id, 70))
    assert spans(engine) == [(0, 10), (70, None)]
    tell(engine, closing(event_id, 80, reason=EndReason.SIGNAL_LOST))
    assert spans(engine) == [(0, 10), (70, 80)]


def test_an_open_span_counts_until_now_while_it_is_refreshed(engine: Engine) -> None:
    tell(engine, change(UNKNOWN, VACANT, 0))
    with Session(engine) as session, session.begin():
        refresh(session, seconds(1000))
    assert gaps(engine, 1030) == []
    dead = 1000 + coverage.STALE.total_seconds() + 50
    assert gaps(engine, dead) == [(1000, dead)]
    open_occupancies(engine, (), at(5000))
    assert spans(engine) == [(0, 1000)]


def test_the_writer_refreshes_while_it_runs_and_when_it_stops(
    engine: Engine, make_writer: Callable[[], EventWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BEAT_EVERY", 0.1)
    started = make_writer()
    started.start()
    started.put(change(UNKNOWN, VACANT, 0))
    assert started.flush(60.0)
    assert started.stop(60.0)
    with Session(engine) as session:
        (row,) = session.scalars(select(Coverage)).all()
    assert row.last_seen_at > NOON + timedelta(days=1)  # the writer's clock is the machine's
    assert row.is_open == 1
