"""Local hours and days, in zones that put their clocks by hours, by halves, and at midnight."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.events.intervals import measure
from monitor.events.periods import Period, split

ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "Asia/Kathmandu",  # 5:45 ahead
        "Australia/Lord_Howe",  # half an hour of summer time
        "America/Sao_Paulo",  # changed at midnight, until 2019
        "Pacific/Apia",  # left out a whole day in 2011
        "America/St_Johns",  # changed a minute after midnight, until 2011
    ]
).map(ZoneInfo)
MOMENTS = st.datetimes(datetime(2009, 1, 1), datetime(2026, 12, 31)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC)
)
SPANS = st.timedeltas(timedelta(microseconds=1), timedelta(days=6))


@given(MOMENTS, SPANS, ZONES, st.sampled_from(Period))
def test_the_parts_are_the_whole_and_each_lies_within_one_hour_or_day(
    since: datetime, lasts: timedelta, zone: ZoneInfo, by: Period
) -> None:
    parts = list(split(since, since + lasts, by, zone))
    assert parts[0][0] == since
    assert parts[-1][1] == since + lasts
    assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
    assert measure(parts) == lasts
    for start, end in parts:
        assert by.label(start, zone) == by.label(end - timedelta(microseconds=1), zone)
        if by in (Period.HOUR, Period.HOUR_OF_DAY):
            assert end - start <= timedelta(hours=1)
            first, last = (m.astimezone(zone) for m in (start, end - timedelta(microseconds=1)))
            assert (first.date(), first.hour) == (last.date(), last.hour)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29), 23),  # noqa: DTZ001
        ("Europe/Berlin", datetime(2026, 10, 25), 25),  # noqa: DTZ001
        ("Asia/Kathmandu", datetime(2026, 3, 29), 24),  # noqa: DTZ001
    ],
)
def test_a_day_has_as_many_hours_as_it_has(zone: str, day: datetime, hours: int) -> None:
    local = day.replace(tzinfo=ZoneInfo(zone))
    parts = list(split(local, local + timedelta(days=1), Period.HOUR, local.tzinfo))  # type: ignore[arg-type]
    assert len(parts) == hours
    assert all(end - start == timedelta(hours=1) for start, end in parts)
    labels = [Period.HOUR.label(start, local.tzinfo) for start, _ in parts]  # type: ignore[arg-type]
    assert len(set(labels)) == hours
    assert len(list(split(local, local + timedelta(days=1), Period.DAY, local.tzinfo))) == 1  # type: ignore[arg-type]


def test_labels() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    monday = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    assert Period.HOUR.label(monday, berlin) == "2026-03-02T00:00+01:00"
    assert Period.DAY.label(monday, berlin) == "2026-03-02"
    assert Period.WEEKDAY.label(monday, berlin) == "monday"
    assert Period.HOUR_OF_DAY.label(monday, berlin) == "00"
    assert Period.WEEKDAY.order("sunday") == 6
    assert Period.HOUR_OF_DAY.order("07") == 7
