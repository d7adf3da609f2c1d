"""Instants go in aware and come out as aware UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, column, literal, select, table, text
from sqlalchemy.exc import StatementError

from monitor.events.columns import SecondsBetween, UTCDateTime

moments = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))]),
)


@given(moment=moments)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_aware_moment_comes_back_equal_and_in_utc(engine: Engine, moment: datetime) -> None:
    with engine.connect() as connection:
        back = connection.execute(select(literal(moment, UTCDateTime()))).scalar_one()
    assert back == moment
    assert back.tzinfo is UTC


def test_a_naive_datetime_is_refused(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(StatementError, match="naive"):
        connection.execute(select(literal(datetime(2026, 1, 1), UTCDateTime())))  # noqa: DTZ001


def test_seconds_between_agrees_with_python(engine: Engine) -> None:
    early = datetime(2026, 2, 28, 23, 59, 59, 250000, tzinfo=UTC)
    late = early + timedelta(days=2, seconds=3.5)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE spans (a TEXT, b TEXT)"))
        spans = table("spans", column("a", UTCDateTime()), column("b", UTCDateTime()))
        connection.execute(spans.insert().values(a=early, b=late))
        seconds = connection.execute(select(SecondsBetween(spans.c.a, spans.c.b))).scalar_one()
    assert seconds == pytest.approx((late - early).total_seconds(), abs=1e-3)
