"""The database itself refuses what the state machine must never produce."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from monitor.events.database import is_refused
from monitor.events.models import OccupancyEvent
from monitor.messages import EndReason

from .builders import NOON
from .conftest import ALL_BACKENDS

BACKENDS = ALL_BACKENDS


def event(**changes: Any) -> OccupancyEvent:
    values: dict[str, Any] = {
        "id": uuid4(),
        "camera": "dock",
        "zone": "gate",
        "started_at": NOON,
        "confirmed_at": NOON,
        "last_seen_at": NOON,
        "peak_score": 0.9,
        "mean_score": 0.8,
        "score_count": 3,
        "model_id": "m",
        "settings": {},
        "created_at": NOON,
        "updated_at": NOON,
    }
    return OccupancyEvent(**(values | changes))


def store(engine: Engine, *events: OccupancyEvent) -> None:
    with Session(engine) as session, session.begin():
        session.add_all(events)


def refused(engine: Engine, row: OccupancyEvent) -> None:
    with pytest.raises(DBAPIError) as caught:
        store(engine, row)
    assert is_refused(caught.value)


SECOND = timedelta(seconds=1)
ENDED = {"ended_at": NOON + SECOND, "end_reason": EndReason.VACATED}


@pytest.mark.parametrize(
    "changes",
    [
        {"ended_at": NOON - SECOND, "end_reason": EndReason.VACATED},
        {"ended_at": NOON + SECOND},
        {"end_reason": EndReason.VACATED},
        {"last_seen_at": NOON - SECOND},
        {"peak_score": 1.01},
        {"mean_score": -0.01},
        {"score_count": -1},
        {"camera": None},
    ],
)
def test_impossible_rows_are_refused(engine: Engine, changes: dict[str, Any]) -> None:
    refused(engine, event(**changes))


def test_one_open_event_a_zone_and_any_number_of_closed_ones(engine: Engine) -> None:
    store(engine, event(), event(**ENDED), event(**ENDED), event(zone="yard"))
    store(engine, event(camera="Dock"))  # names differ by case
    refused(engine, event())


def test_end_reasons_come_back_as_they_went_in(engine: Engine) -> None:
    for reason in EndReason:
        store(engine, event(ended_at=NOON, end_reason=reason))
    with Session(engine) as session:
        assert {row.end_reason for row in session.query(OccupancyEvent)} == set(EndReason)
