"""Instants go in aware and come out as aware UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import StatementError

from .conftest import ALL_BACKENDS, rows
from .test_queries import fill, row

BACKENDS = ALL_BACKENDS


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 7, 1, 23, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2000, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")),
    ],
)
def test_any_aware_moment_comes_back_equal_and_in_utc(engine: Engine, moment: datetime) -> None:
    fill(engine, [row("dock", "gate", 0, 1) | {"created_at": moment}])
    (back,) = rows(engine)
    assert back.created_at == moment.astimezone(UTC)
    assert back.created_at.tzinfo is UTC


def test_a_naive_datetime_is_refused(engine: Engine) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(StatementError, match="naive"):
        fill(engine, [row("dock", "gate", 0, 1) | {"created_at": naive}])
    assert rows(engine) == []
