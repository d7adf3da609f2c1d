"""Instants go in aware and come out as aware UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, literal, select
from sqlalchemy.exc import StatementError

from monitor.events.columns import UTCDateTime

from .conftest import ALL_BACKENDS

BACKENDS = ALL_BACKENDS

moments = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))]),
)


@given(moment=moments)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_aware_moment_comes_back_equal_and_in_utc(engine: Engine, moment: datetime) -> None:
    with engine.connect() as connection:
        back = connection.execute(select(literal(moment, UTCDateTime()))).scalar_one()
    assert back == moment
    assert back.tzinfo is UTC


def test_a_naive_datetime_is_refused(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(StatementError, match="naive"):
        connection.execute(select(literal(datetime(2026, 1, 1), UTCDateTime())))  # noqa: DTZ001
