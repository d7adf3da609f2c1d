"""Any message, any number of times, in any order: the same row."""

from __future__ import annotations

import itertools
from datetime import timedelta
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from monitor.events.apply import Message, apply, coalesce
from monitor.events.models import OccupancyEvent
from monitor.messages import EndReason, PresenceState, Progress, Transition

from .builders import NOON, at, closing, opening, progress
from .conftest import ALL_BACKENDS, rows

BACKENDS = ALL_BACKENDS

EVENT = UUID("8f14e45f-ceea-467f-a0e6-1d2c3b4a5968")
STORY: list[Message] = [
    opening(EVENT, 0.0),
    progress(EVENT, 10.0, count=50),
    progress(EVENT, 20.0, count=90),
    closing(EVENT, 22.0),
]


def tell(engine: Engine, *messages: Message) -> None:
    with Session(engine) as session, session.begin():
        apply(session, messages, NOON)


def facts(row: OccupancyEvent) -> dict[str, object]:
    return {c.key: getattr(row, c.key) for c in OccupancyEvent.__table__.columns}


def seconds(value: float) -> object:
    return NOON + timedelta(seconds=value)


def test_a_whole_story(engine: Engine) -> None:
    tell(engine, STORY[0])
    (row,) = rows(engine)
    assert row.is_open == 1
    assert row.ended_at is None
    tell(engine, *STORY[1:])
    (row,) = rows(engine)
    assert (row.started_at, row.confirmed_at) == (NOON, seconds(0.6))
    assert (row.last_seen_at, row.ended_at) == (seconds(22), seconds(22))
    assert (row.peak_score, row.mean_score, row.score_count) == (0.998, 0.91, 100)
    assert row.end_reason is EndReason.VACATED
    assert row.settings == {"enter_threshold": 0.8, "exit_threshold": 0.4}
    assert row.model_id == "pplcnet-1"
    assert row.is_open is None


def test_messages_one_by_one_make_the_same_row_as_all_at_once(engine: Engine) -> None:
    for message in STORY:
        tell(engine, message)
    one_by_one = facts(rows(engine)[0])
    with engine.begin() as connection:
        connection.execute(delete(OccupancyEvent))
    tell(engine, *STORY)
    assert facts(rows(engine)[0]) == one_by_one


def test_one_transaction_may_end_an_event_and_begin_the_next(engine: Engine) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    tell(engine, opening(first, 0))
    tell(engine, closing(first, 5), opening(second, 10), closing(second, 15), opening(third, 20))
    assert [row.ended_at for row in rows(engine)] == [seconds(5), seconds(15), None]


def test_every_order_of_arrival_makes_the_same_row(engine: Engine) -> None:
    seen = []
    for order in itertools.permutations(STORY):
        with Session(engine) as session:  # rolled back: the next order starts afresh
            apply(session, order, NOON)
            session.flush()
            (row,) = session.scalars(select(OccupancyEvent)).all()
            seen.append(facts(row))
    assert len(seen) == 24
    assert all(one == seen[0] for one in seen)


@given(extra=st.lists(st.sampled_from(STORY), max_size=6))
@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_repeating_messages_changes_nothing(engine: Engine, extra: list[Message]) -> None:
    tell(engine, *STORY)
    before = facts(rows(engine)[0])
    with Session(engine) as session, session.begin():
        apply(session, extra, NOON + timedelta(days=1))
    assert facts(rows(engine)[0]) == before


def test_a_change_between_unknown_and_vacant_makes_no_event(engine: Engine) -> None:
    tell(
        engine,
        Transition("dock", "gate", PresenceState.UNKNOWN, PresenceState.VACANT, at(0), at(1), None),
    )
    assert rows(engine) == []


def test_a_new_event_ends_the_one_still_open_at_its_last_sight(engine: Engine) -> None:
    first, second = uuid4(), uuid4()
    tell(engine, opening(first, 0), progress(first, 7), opening(second, 60))
    old, new = rows(engine)
    assert (old.ended_at, old.end_reason) == (seconds(7), EndReason.RESTART)
    assert new.is_open == 1


def test_the_first_end_stands(engine: Engine) -> None:
    tell(engine, opening(EVENT), closing(EVENT, 5), closing(EVENT, 9, reason=EndReason.RESTART))
    (row,) = rows(engine)
    assert (row.ended_at, row.end_reason) == (seconds(5), EndReason.VACATED)


def test_a_clock_that_steps_back_neither_inverts_nor_overlaps(engine: Engine) -> None:
    first, second = uuid4(), uuid4()
    tell(engine, opening(first, 600), closing(first, 1200))
    tell(engine, opening(second, 900), closing(second, 800))
    one, two = rows(engine)
    assert one.ended_at == two.started_at == two.ended_at == seconds(1200)


def test_an_event_from_the_far_future_does_not_hold_up_those_of_today(engine: Engine) -> None:
    strayed, today = uuid4(), uuid4()
    tell(engine, opening(strayed, 1e9), closing(strayed, 1e9 + 5))
    tell(engine, opening(today, 0), closing(today, 9))
    assert rows(engine)[0].started_at == NOON


def test_coalescing_keeps_every_change_and_the_last_progress_with_its_picture() -> None:
    other = uuid4()
    kept = coalesce(
        [
            opening(EVENT),
            progress(EVENT, 1, snapshot=b"peak"),
            progress(other, 1, zone="yard"),
            progress(EVENT, 2),
            closing(EVENT, 3),
            progress(EVENT, 4),
        ]
    )
    assert [type(m) for m in kept] == [Transition, Progress, Progress, Transition, Progress]
    merged = kept[1]
    assert isinstance(merged, Progress)
    assert (merged.seen, merged.snapshot) == (at(2), b"peak")
