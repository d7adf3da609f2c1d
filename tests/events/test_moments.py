"""Moments people write."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import UsageError
from monitor.events.moments import parse_moment

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 7, 15, 10, 30, tzinfo=UTC)  # a Wednesday, 12:30 in Berlin


def parse(text: str) -> datetime:
    return parse_moment(text, now=NOW, zone=BERLIN)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("now", "2026-07-15T10:30:00"),
        ("2h", "2026-07-15T08:30:00"),
        ("90m ago", "2026-07-15T09:00:00"),
        ("1h 30m", "2026-07-15T09:00:00"),
        ("7d", "2026-07-08T10:30:00"),
        ("today", "2026-07-14T22:00:00"),
        ("Today 08:30", "2026-07-15T06:30:00"),
        ("yesterday", "2026-07-13T22:00:00"),
        ("yesterday 22:00", "2026-07-14T20:00:00"),
        ("wednesday", "2026-07-14T22:00:00"),
        ("monday 8:30", "2026-07-13T06:30:00"),
        ("thursday 23:59:58", "2026-07-09T21:59:58"),
        ("14:05", "2026-07-15T12:05:00"),
        ("2026-03-01", "2026-02-28T23:00:00"),
        ("2026-03-01 14:05", "2026-03-01T13:05:00"),
        ("2026-03-01T14:05:00Z", "2026-03-01T14:05:00"),
        ("2026-03-01T14:05:00.25-05:00", "2026-03-01T19:05:00.250000"),
        ("2026-10-25 02:30", "2026-10-25T00:30:00"),  # occurs twice: the first, summer time
    ],
)
def test_what_it_means_in_berlin(text: str, utc: str) -> None:
    moment = parse(text)
    assert moment == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "soon", "25:00", "yesterday noon", "2026-13-01", "8:3", "2 hours", "monday 24:00", "-5m"],
)
def test_what_cannot_be_read_is_said_so(text: str) -> None:
    with pytest.raises(UsageError, match="is no moment") as caught:
        parse(text)
    assert "yesterday 22:00" in caught.value.remedy


@pytest.mark.parametrize(
    "text", ["0026-03-01", "9999-12-31", "1999-12-31", "400000d", "9" * 30 + "d"]
)
def test_absurd_dates_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="lies outside"):
        parse(text)


def test_a_time_that_the_clock_change_skips_is_refused() -> None:
    with pytest.raises(UsageError, match="does not exist in Europe/Berlin"):
        parse("2026-03-29 02:30")


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse(text).tzinfo is UTC


@settings(deadline=None)
@given(st.integers(0, 5000))
def test_durations_count_back_from_now(minutes: int) -> None:
    assert parse(f"{minutes}m") == NOW - timedelta(minutes=minutes)
