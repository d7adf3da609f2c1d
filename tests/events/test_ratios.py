"""Ratios, days, longest stays and overlaps, against sums over single minutes."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from monitor.events.overlaps import Stayed, find_overlaps, overlapping
from monitor.events.periods import Period
from monitor.events.places import Where
from monitor.events.queries import EventFilter
from monitor.events.ratios import occupancy_ratios, presence_days
from monitor.events.stays import longest_stays

from .builders import NOON
from .conftest import ALL_BACKENDS, rows
from .test_queries import fill, row, seconds
from .test_zones import seen

BACKENDS = ALL_BACKENDS
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
AUTUMN = (datetime(2026, 10, 24, 20, tzinfo=UTC) - NOON).total_seconds()
"""Five hours before the clocks of Berlin are put back."""


@pytest.fixture
def autumn(engine: Engine) -> Engine:
    """Three days around a clock change: random stays of whole minutes, seen most of the time."""
    choice = random.Random(3)
    for camera, zone in (("dock", "gate"), ("hall", "desk")):
        clock, stays = AUTUMN, []
        while clock < AUTUMN + 2.5 * DAY:
            length = MINUTE * choice.choice([1, 7, 30, 240])
            stays.append(row(camera, zone, clock, clock + length))
            clock += length + MINUTE * choice.choice([0, 1, 20, 90])
        stays.append(row(camera, zone, clock, None))
        fill(engine, stays)
        seen(
            engine, camera, zone,
            (AUTUMN - HOUR, AUTUMN + 3 * HOUR, AUTUMN + 3 * HOUR),
            (AUTUMN + 5 * HOUR, AUTUMN + 40 * HOUR, AUTUMN + 40 * HOUR),
            (AUTUMN + 41 * HOUR, None, AUTUMN + 3 * DAY),
        )  # fmt: skip
    return engine


def minutes(engine: Engine, camera: str, label: Period) -> dict[str, list[int]]:
    """Occupied, vacant and unseen minutes a label, counted one by one."""
    stays = [(r.started_at, r.ended_at) for r in rows(engine) if r.camera == camera]
    gap = [(AUTUMN + 3 * HOUR, AUTUMN + 5 * HOUR), (AUTUMN + 40 * HOUR, AUTUMN + 41 * HOUR)]
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    moment, end = seconds(AUTUMN), seconds(AUTUMN + 3 * DAY)
    while moment < end:
        unseen = any(seconds(a) <= moment < seconds(b) for a, b in gap)
        occupied = any(a <= moment and (b is None or moment < b) for a, b in stays)
        counts[label.label(moment, BERLIN)][2 if unseen else 0 if occupied else 1] += 1
        moment += timedelta(minutes=1)
    return counts


@pytest.mark.parametrize("by", Period)
def test_ratios_are_what_counting_minutes_gives(autumn: Engine, by: Period) -> None:
    wanted = EventFilter(camera="dock", since=seconds(AUTUMN))
    now = seconds(AUTUMN + 3 * DAY)
    expected = minutes(autumn, "dock", by)
    lines = list(occupancy_ratios(autumn, wanted, by=by, now=now, zone=BERLIN))
    assert [line.period for line in lines] == (
        sorted(expected, key=by.order) if by.recurring else list(expected)
    )
    for line in lines:
        occupied, vacant, unseen = (60.0 * count for count in expected[line.period])
        assert (line.occupied_s, line.vacant_s, line.not_seen_s) == (occupied, vacant, unseen)
        watched = occupied + vacant
        assert line.ratio == (pytest.approx(occupied / watched) if watched else None)
        assert (line.start is None) == by.recurring


def test_the_night_of_the_clock_change_has_two_hours_of_one_name(autumn: Engine) -> None:
    wanted = EventFilter(camera="dock", since=seconds(AUTUMN), until=seconds(AUTUMN + 8 * HOUR))
    now = seconds(AUTUMN + 3 * DAY)
    lines = list(occupancy_ratios(autumn, wanted, by=Period.HOUR, now=now, zone=BERLIN))
    assert [line.period[11:] for line in lines[3:7]] == [
        "01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00",
    ]  # fmt: skip
    assert [line.not_seen_s for line in lines[2:6]] == [0, HOUR, HOUR, 0]


def test_nothing_is_said_of_the_future_or_before_a_zone_was_first_seen(autumn: Engine) -> None:
    now = seconds(AUTUMN + 90 * MINUTE)
    wanted = EventFilter(camera="dock", since=seconds(0), until=seconds(AUTUMN + 9 * DAY))
    lines = list(occupancy_ratios(autumn, wanted, by=Period.HOUR, now=now, zone=UTC))
    assert lines[0].start == seconds(AUTUMN - HOUR)
    whole = sum(line.occupied_s + line.vacant_s + line.not_seen_s for line in lines)
    assert whole == 2.5 * HOUR
    assert list(occupancy_ratios(autumn, EventFilter(camera="x"), by=Period.DAY, now=now,
                                 zone=UTC)) == []  # fmt: skip


def test_days_tell_the_first_and_last_presence(engine: Engine) -> None:
    night = 11 * HOUR  # 23:00 UTC, midnight in Berlin
    fill(
        engine,
        [
            row("dock", "gate", 1 * HOUR, 2 * HOUR),
            row("dock", "gate", 8 * HOUR, night + HOUR),
            row("dock", "gate", night + 50 * HOUR, None),
        ],
    )
    seen(engine, "dock", "gate", (0, night + 20 * HOUR, 0), (night + 30 * HOUR, None, 1e6))
    now = seconds(night + 52 * HOUR)
    found = list(presence_days(engine, EventFilter(), now=now, zone=BERLIN))
    assert [
        (line.day, line.first, line.last, line.stays, line.occupied_s, line.not_seen_s)
        for line in found
    ] == [
        (date(2026, 3, 1), seconds(HOUR), seconds(night), 2, 4 * HOUR, 0),
        (date(2026, 3, 2), seconds(night), seconds(night + HOUR), 1, HOUR, 4 * HOUR),
        (date(2026, 3, 3), None, None, 0, 0, 6 * HOUR),
        (date(2026, 3, 4), seconds(night + 50 * HOUR), now, 1, 2 * HOUR, 0),
    ]


def test_the_longest_stays_come_first_and_one_that_goes_on_ends_when_last_seen(
    engine: Engine,
) -> None:
    fill(
        engine,
        [
            *(row("dock", "gate", 1000.0 * i, 1000.0 * i + i + 0.25) for i in range(30)),
            row("hall", "desk", 0, None),
            row("yard", "frame", 0, None),
        ],
    )
    seen(engine, "hall", "desk", (0, 20, 20))
    stays = longest_stays(engine, EventFilter(limit=3), seconds(25))
    assert [(s.event.camera, s.seconds) for s in stays] == [
        ("dock", 29.25), ("dock", 28.25), ("dock", 27.25),
    ]  # fmt: skip
    stays = longest_stays(engine, EventFilter(until=seconds(7500), limit=9), seconds(25))
    assert [(s.event.camera, s.seconds) for s in stays[:3]] == [
        ("yard", 25), ("hall", 20), ("dock", 7.25),
    ]  # fmt: skip
    (only,) = longest_stays(engine, EventFilter(camera="hall", open_only=True), seconds(25))
    assert only.seconds == 20


def test_overlaps_in_the_database(engine: Engine) -> None:
    fill(
        engine,
        [
            row("dock", "gate", 0, 100),
            row("hall", "desk", 50, 70),
            row("hall", "door", 60, 200),
            row("hall", "desk", 150, None),
            row("yard", "frame", 300, 400),
        ],
    )

    def ask(other: Where | None = None, **wanted: object) -> list[tuple[str, str, float, float]]:
        found = find_overlaps(engine, EventFilter(**wanted), seconds(180), other=other)  # type: ignore[arg-type]
        return [
            (
                each.zone, each.other_zone,
                (each.start - NOON).total_seconds(), (each.end - NOON).total_seconds(),
            )
            for each in found
        ]  # fmt: skip

    assert ask() == [
        ("gate", "desk", 50, 70),
        ("gate", "door", 60, 100),
        ("desk", "door", 60, 70),
        ("door", "desk", 150, 180),
    ]
    assert ask(camera="dock") == [("gate", "desk", 50, 70), ("gate", "door", 60, 100)]
    assert ask(camera="dock", other=Where("hall", "door")) == [("gate", "door", 60, 100)]
    assert ask(since=seconds(65), until=seconds(155)) == [
        ("gate", "desk", 65, 70),
        ("gate", "door", 65, 100),
        ("desk", "door", 65, 70),
        ("door", "desk", 150, 155),
    ]


STAYS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(0, 12)), max_size=9
)


@given(STAYS)
def test_overlapping_finds_each_pair_once(stays: list[tuple[str, int, int]]) -> None:
    made = [
        Stayed((camera, "z"), seconds(start), seconds(start + length), NOON)  # type: ignore[arg-type]
        for camera, start, length in sorted(stays, key=lambda stay: stay[1])
    ]
    found = [(made.index(a), made.index(b)) for a, b in overlapping(made)]
    expected = [
        (made.index(a), made.index(b))
        for j, b in enumerate(made)
        for a in made[:j]
        if a.place != b.place and max(a.start, b.start) < min(a.end, b.end)
    ]
    assert sorted(found) == sorted(expected)
