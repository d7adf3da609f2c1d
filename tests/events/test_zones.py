"""Occupied, vacant or not seen: now and at any moment."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from monitor.errors import UsageError
from monitor.events import coverage
from monitor.events.models import Coverage
from monitor.events.places import Where
from monitor.events.zones import ZoneAt, ZoneState, zone_states

from .conftest import ALL_BACKENDS
from .test_queries import fill, row, seconds

BACKENDS = ALL_BACKENDS
OCCUPIED, VACANT, NOT_SEEN = ZoneState.OCCUPIED, ZoneState.VACANT, ZoneState.NOT_SEEN


def seen(engine: Engine, camera: str, zone: str, *spans: tuple[float, float | None, float]) -> None:
    """Spans of coverage: start, end or None, last noted."""
    values = [
        {
            "id": UUID(int=abs(hash((camera, zone, start))) % 2**128),
            "camera": camera,
            "zone": zone,
            "started_at": seconds(start),
            "ended_at": None if end is None else seconds(end),
            "last_seen_at": seconds(noted),
        }
        for start, end, noted in spans
    ]
    with Session(engine) as session, session.begin():
        for value in values:
            session.execute(insert(Coverage), [value])


@pytest.fixture
def story(engine: Engine) -> Engine:
    """The dock was seen from 0 to 100 and since 200, the hall from 0 to 500, the yard never."""
    seen(engine, "dock", "gate", (0, 100, 100), (200, None, 1000))
    seen(engine, "hall", "desk", (0, 500, 500))
    seen(engine, "hall", "door", (0, None, 1000))
    fill(
        engine,
        [
            row("dock", "gate", 20, 30),
            row("dock", "gate", 90, 100),
            row("dock", "gate", 900, None),
            row("hall", "desk", 10, 10),
            row("hall", "desk", 10, 40),
            row("yard", "frame", 10, 20),
        ],
    )
    return engine


def ask(
    engine: Engine, at: float | None = None, now: float = 1000.0, **where: str
) -> dict[str, tuple[ZoneState, float | None]]:
    found = zone_states(engine, Where(**where), seconds(now), None if at is None else seconds(at))
    return {
        f"{each.camera}/{each.zone}": (
            each.state,
            (each.since - seconds(0)).total_seconds() if each.since else None,
        )
        for each in found
    }


def test_now(story: Engine) -> None:
    assert ask(story) == {
        "dock/gate": (OCCUPIED, 900),
        "hall/desk": (NOT_SEEN, 500),
        "hall/door": (VACANT, 0),
        "yard/frame": (NOT_SEEN, None),
    }


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (-1, (NOT_SEEN, None)),
        (0, (VACANT, 0)),
        (20, (OCCUPIED, 20)),
        (29, (OCCUPIED, 20)),
        (30, (VACANT, 30)),
        (95, (OCCUPIED, 90)),
        (100, (NOT_SEEN, 100)),
        (199, (NOT_SEEN, 100)),
        (200, (VACANT, 200)),
        (950, (OCCUPIED, 900)),
    ],
)
def test_at_a_moment(story: Engine, at: float, expected: tuple[ZoneState, float | None]) -> None:
    assert ask(story, at, camera="dock", zone="gate") == {"dock/gate": expected}


def test_a_stay_that_began_together_with_one_that_lasted_no_time(story: Engine) -> None:
    assert ask(story, 10, zone="desk")["hall/desk"] == (OCCUPIED, 10)
    assert ask(story, 39, camera="hall")["hall/desk"] == (OCCUPIED, 10)


def test_a_monitor_that_died_keeps_nobody_occupied(story: Engine) -> None:
    later = 1000 + coverage.STALE.total_seconds() + 1
    assert ask(story, now=later)["dock/gate"] == (NOT_SEEN, 1000)
    assert ask(story, 950, now=later)["dock/gate"] == (OCCUPIED, 900)


def test_a_place_nobody_knows_is_not_seen(story: Engine) -> None:
    assert ask(story, camera="cellar", zone="x") == {"cellar/x": (NOT_SEEN, None)}
    assert ask(story, camera="cellar") == {}


def test_the_event_is_named(story: Engine) -> None:
    (state,) = zone_states(story, Where("dock", "gate"), seconds(1000))
    assert isinstance(state, ZoneAt)
    assert state.event_id is not None
    assert state.peak_score == pytest.approx(0.9)


def test_the_future_is_not_known(story: Engine) -> None:
    with pytest.raises(UsageError, match="not come yet"):
        zone_states(story, Where(), seconds(0), seconds(0) + timedelta(hours=1))
