"""Counts and seconds, cut to the span and to local days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from monitor.events.queries import EventFilter
from monitor.events.statistics import Grouping, Occupancy, occupancy

from .builders import NOON
from .conftest import ALL_BACKENDS
from .test_queries import fill, row, seconds

BACKENDS = ALL_BACKENDS

HOUR = 3600.0


@pytest.fixture
def days(engine: Engine) -> Engine:
    """12:00-13:00 at the dock; overnight 22:00-02:00 in the hall; the yard open since 12:30."""
    fill(
        engine,
        [
            row("dock", "a", 0, HOUR),
            row("dock", "b", 10, 20),
            row("hall", "a", 10 * HOUR, 14 * HOUR),
            row("yard", "a", HOUR / 2, None),
        ],
    )
    return engine


def ask(engine: Engine, by: Grouping, zone: str = "UTC", **wanted: object) -> list[Occupancy]:
    return occupancy(
        engine,
        EventFilter(**wanted),  # type: ignore[arg-type]
        by=by,
        now=NOON + timedelta(hours=1),
        zone=ZoneInfo(zone),
    )


def test_by_camera(days: Engine) -> None:
    assert ask(days, Grouping.CAMERA) == [
        Occupancy("dock", None, None, 2, 0, HOUR + 10, HOUR),
        Occupancy("hall", None, None, 1, 0, 4 * HOUR, 4 * HOUR),
        Occupancy("yard", None, None, 1, 1, HOUR / 2, HOUR / 2),
    ]


def test_by_zone_of_one_camera(days: Engine) -> None:
    lines = ask(days, Grouping.ZONE, camera="dock")
    assert [(line.zone, line.occupied_s) for line in lines] == [("a", HOUR), ("b", 10.0)]


def test_a_stay_past_midnight_counts_in_both_days(days: Engine) -> None:
    lines = ask(days, Grouping.DAY, camera="hall")
    assert [(line.day, line.events, line.occupied_s) for line in lines] == [
        (date(2026, 3, 1), 1, 2 * HOUR),
        (date(2026, 3, 2), 1, 2 * HOUR),
    ]
    in_berlin = ask(days, Grouping.DAY, "Europe/Berlin", camera="hall")
    assert [line.occupied_s for line in in_berlin] == [HOUR, 3 * HOUR]


def test_the_span_cuts(days: Engine) -> None:
    (line,) = ask(days, Grouping.CAMERA, camera="dock", since=seconds(15), until=seconds(1815))
    assert (line.events, line.occupied_s, line.longest_s) == (2, 1800.0 + 5.0, 1800.0)


def test_the_day_of_a_clock_change_has_its_own_length(engine: Engine) -> None:
    start = (datetime(2026, 3, 28, 23, tzinfo=UTC) - NOON).total_seconds()
    fill(engine, [row("dock", "a", start, start + 48 * HOUR)])
    lines = ask(engine, Grouping.DAY, "Europe/Berlin")
    assert [line.occupied_s / HOUR for line in lines] == [23.0, 24.0, 1.0]
