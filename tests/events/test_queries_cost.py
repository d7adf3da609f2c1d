"""What questions cost, in SQLite's own count of instructions."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from monitor.events.queries import EventFilter, find_events

from .test_queries import fill, row, seconds


def test_the_work_does_not_grow_with_the_history(engine: Engine) -> None:
    """SQLite's own count of instructions: the older history is not walked through."""
    fill(engine, [row("dock", "frame", 10.0 * i, 10.0 * i + 5) for i in range(4000)])
    moment = seconds(10.0 * 3000 + 2)
    for wanted in (
        EventFilter(camera="dock", moment=moment),
        EventFilter(moment=moment),
        EventFilter(camera="dock", since=moment, until=moment + timedelta(1), overlapping=True),
        EventFilter(camera="dock", zone="frame", until=moment, limit=5),
        EventFilter(open_only=True),
    ):
        assert _instructions(engine, wanted) < 20_000, wanted


def _instructions(engine: Engine, wanted: EventFilter) -> int:
    """Virtual machine instructions a query takes, to the nearest hundred."""
    hundreds = 0

    def count() -> int:
        nonlocal hundreds
        hundreds += 1
        return 0

    with engine.connect() as connection:
        connection.connection.dbapi_connection.set_progress_handler(count, 100)  # type: ignore[union-attr]
    try:
        find_events(engine, wanted)
    finally:
        with engine.connect() as connection:
            connection.connection.dbapi_connection.set_progress_handler(None, 100)  # type: ignore[union-attr]
    return 100 * hundreds
