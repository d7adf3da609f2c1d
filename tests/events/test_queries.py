"""Every question, against a plain search through the same events."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, delete, insert
from sqlalchemy.orm import Session

from monitor.alerts.grants import Grant, match
from monitor.alerts.models import GrantRow
from monitor.errors import UsageError
from monitor.events.models import OccupancyEvent
from monitor.events.queries import EventFilter, all_events, find_events, get_event, known_zones
from monitor.messages import EndReason

from .builders import NOON
from .conftest import ALL_BACKENDS, rows

BACKENDS = ALL_BACKENDS

ZONES = [("dock", "frame"), ("hall", "door"), ("hall", "desk"), ("yard", "frame")]


def seconds(value: float) -> datetime:
    return NOON + timedelta(seconds=value)


def row(camera: str, zone: str, start: float, end: float | None) -> dict[str, object]:
    return {
        "id": UUID(int=random.getrandbits(128), version=4),
        "camera": camera,
        "zone": zone,
        "started_at": seconds(start),
        "confirmed_at": seconds(start),
        "last_seen_at": seconds(start),
        "ended_at": None if end is None else seconds(end),
        "end_reason": None if end is None else EndReason.VACATED,
        "peak_score": 0.9,
        "mean_score": 0.8,
        "score_count": 9,
        "model_id": "m",
        "settings": {},
        "snapshot": None,
        "created_at": NOON,
        "updated_at": NOON,
    }


def fill(engine: Engine, values: list[dict[str, object]]) -> None:
    with Session(engine) as session, session.begin():
        session.execute(insert(OccupancyEvent), values)


@pytest.fixture
def history(engine: Engine) -> list[OccupancyEvent]:
    """Random non-overlapping stays, long and short, with equal starts in different zones."""
    random.seed(7)
    values = []
    for camera, zone in ZONES:
        clock = 0.0
        for _ in range(60):
            clock += random.choice([0, 1, 5, 60])
            length = random.choice([0, 1, 10, 10, 10, 900])
            values.append(row(camera, zone, clock, clock + length))
            clock += length
        if camera != "yard":
            values.append(row(camera, zone, clock + 1, None))
    fill(engine, values)
    return rows(engine)


def matches(event: OccupancyEvent, wanted: EventFilter) -> bool:
    if wanted.camera not in (None, event.camera) or wanted.zone not in (None, event.zone):
        return False
    if wanted.open_only and event.ended_at is not None:
        return False
    going_on_after = wanted.moment or (wanted.since if wanted.overlapping else None)
    if going_on_after and event.ended_at is not None and event.ended_at <= going_on_after:
        return False
    if wanted.moment and event.started_at > wanted.moment:
        return False
    if wanted.since and not wanted.overlapping and event.started_at < wanted.since:
        return False
    return not (wanted.until and event.started_at >= wanted.until)


def agree(found: list[OccupancyEvent], expected: list[OccupancyEvent]) -> bool:
    """The same events, newest first; how equal starts are ordered is the database's affair."""
    starts = [event.started_at for event in found]
    ids = [event.id for event in found]
    return starts == sorted(starts, reverse=True) and sorted(ids) == sorted(
        event.id for event in expected
    )


def test_filters_agree_with_a_plain_search(engine: Engine, history: list[OccupancyEvent]) -> None:
    for seed in range(40):
        wanted = _random_filter(history, seed)
        found = list(all_events(engine, wanted))
        assert agree(found, [event for event in history if matches(event, wanted)]), wanted


def _random_filter(history: list[OccupancyEvent], seed: int) -> EventFilter:
    choice = random.Random(seed)
    end = max(event.started_at for event in history)
    span = (end - NOON).total_seconds()
    since, until = sorted(choice.uniform(-10, span + 10) for _ in range(2))
    edge = choice.choice(history)
    wanted = EventFilter(
        camera=choice.choice([None, "dock", "hall"]),
        zone=choice.choice([None, "frame", "door"]),
        since=choice.choice([None, seconds(since), edge.started_at - timedelta(microseconds=1)]),
        until=choice.choice([None, end + timedelta(days=1)]) if seed % 2 else seconds(span + 9),
        open_only=choice.random() < 0.2,
        overlapping=choice.random() < 0.5,
    )
    if wanted.since and wanted.since < seconds(until):
        wanted = replace(wanted, until=seconds(until))
    return wanted


def test_what_was_going_on_at_a_moment(engine: Engine, history: list[OccupancyEvent]) -> None:
    for event in history[::20]:
        for moment in (event.started_at, event.ended_at, event.started_at + timedelta(seconds=0.5)):
            if moment is None:
                continue
            wanted = EventFilter(moment=moment)
            found = list(all_events(engine, wanted))
            assert agree(found, [other for other in history if matches(other, wanted)]), wanted


def test_pages_follow_each_other_without_gap_or_repeat(
    engine: Engine, history: list[OccupancyEvent]
) -> None:
    wanted = EventFilter(limit=17)
    seen: list[OccupancyEvent] = []
    while True:
        page = find_events(engine, wanted)
        assert len(page.events) <= 17
        seen += page.events
        if page.next is None:
            break
        wanted = replace(wanted, after=page.next)
    assert agree(seen, history)


def test_new_events_do_not_disturb_later_pages(
    engine: Engine, history: list[OccupancyEvent]
) -> None:
    before = list(find_events(engine, EventFilter(limit=20)).events)
    first = find_events(engine, EventFilter(limit=10))
    fill(engine, [row("dock", "frame", 1e6, 1e6 + 1)])
    second = find_events(engine, EventFilter(limit=10, after=first.next))
    assert agree([*first.events, *second.events], before)


def test_one_event_and_the_known_zones(engine: Engine, history: list[OccupancyEvent]) -> None:
    event = get_event(engine, history[3].id)
    assert event is not None
    assert event.started_at == history[3].started_at
    assert get_event(engine, uuid4()) is None
    assert known_zones(engine) == sorted(ZONES)
    assert known_zones(engine, "hall") == [("hall", "desk"), ("hall", "door")]
    assert known_zones(engine, "cellar") == []


@pytest.mark.parametrize("after", ["x", "AAAA", "bm9uc2Vuc2U", "é", "MjAyNi0wMS0wMSBhYQ"])
def test_a_broken_page_mark_is_named(engine: Engine, after: str) -> None:
    with pytest.raises(UsageError, match="page mark"):
        find_events(engine, EventFilter(after=after))


def test_filters_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="the span is empty"):
        EventFilter(since=NOON, until=NOON)
    with pytest.raises(UsageError, match="exclude each other"):
        EventFilter(since=NOON, moment=NOON)
    with pytest.raises(UsageError, match="limit 0"):
        EventFilter(limit=0)
    with pytest.raises(ValueError, match="aware"):
        EventFilter(since=datetime(2026, 1, 1))  # noqa: DTZ001


def test_ties_with_events_that_lasted_no_time(engine: Engine) -> None:
    fill(engine, [row("dock", "a", 5, 5), row("dock", "a", 5, 15), row("dock", "a", 5, 5)])
    (event,) = find_events(engine, EventFilter(moment=seconds(10))).events
    assert event.ended_at == seconds(15)


def test_oldest_first_is_the_same_backwards(engine: Engine, history: list[OccupancyEvent]) -> None:
    found = list(all_events(engine, EventFilter(oldest_first=True, limit=17)))
    assert agree(found[::-1], history)


def test_stays_without_a_grant_are_those_that_match_none(
    engine: Engine, history: list[OccupancyEvent]
) -> None:
    choice = random.Random(11)
    grants = [_random_grant(choice) for _ in range(14)]
    with Session(engine) as session, session.begin():
        session.execute(delete(GrantRow))
        session.add_all(GrantRow(**grant) for grant in grants)

    def covered(event: OccupancyEvent) -> bool:
        here = [
            Grant(**{key: grant[key] for key in Grant.__slots__})
            for grant in grants
            if (grant["camera"], grant["zone"]) == (event.camera, event.zone)
        ]
        return match(here, event.started_at, event.ended_at or event.last_seen_at) is not None

    expected = [event for event in history if not covered(event)]
    assert 0 < len(expected) < len(history)
    assert agree(list(all_events(engine, EventFilter(ungranted=True))), expected)


def _random_grant(choice: random.Random) -> dict[str, Any]:
    camera, zone = choice.choice(ZONES)
    since = choice.uniform(-50, 4000)
    until = since + choice.choice([1, 60, 900])
    moments = [None, None, seconds(since + choice.uniform(-5, 70))]
    return {
        "id": uuid4(),
        "camera": camera,
        "zone": zone,
        "subject": "badge",
        "since": seconds(since),
        "until": seconds(until),
        "single_use": False,
        "used_at": choice.choice(moments),
        "revoked_at": choice.choice(moments),
        "source": "test",
        "created_at": NOON,
    }
