"""What only the driver of PostgreSQL can get wrong, on the real server."""

from __future__ import annotations

import time
from unittest.mock import Mock

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from monitor.events.database import explain, open_database, parse_url, reading
from monitor.events.queries import EventFilter, find_events
from monitor.storage import database

from .servers import PostgreSQL


@pytest.fixture
def url(postgresql: PostgreSQL) -> str:
    return postgresql.empty_database()


def test_a_silent_server_is_given_up(url: str) -> None:
    engine = open_database(url, patience=0.5)
    begun = time.monotonic()
    with pytest.raises(DBAPIError) as caught, engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    assert time.monotonic() - begun < 10
    assert caught.value.connection_invalidated
    assert "silent for 0.5 s" in str(explain(caught.value, url))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_a_url_written_for_the_driver_before_still_works(url: str) -> None:
    engine = open_database(url.replace("postgresql://", "postgresql+pg8000://"))
    assert engine.url == parse_url(url)
    engine.dispose()


def test_questions_need_no_transaction(url: str) -> None:
    engine = open_database(url)
    with reading(engine).connect() as connection:
        inside = "SELECT pg_current_xact_id_if_assigned(), now() = statement_timestamp()"
        connection.execute(text("SELECT 1"))
        time.sleep(0.01)
        assert connection.execute(text(inside)).one() == (None, True)
    with engine.connect() as connection:  # the next one to use the connection gets its own
        connection.execute(text("SELECT 1"))
        time.sleep(0.01)
        assert connection.execute(text(inside)).one() == (None, False)
    assert not find_events(engine, EventFilter()).events
    engine.dispose()


def test_times_come_in_utc_whatever_the_server_says(url: str) -> None:
    engine = open_database(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW timezone")) == "UTC"
    engine.dispose()


def test_a_connection_the_server_ended_is_replaced(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PING_AFTER", 0.0)
    engine, other = open_database(url), open_database(url)
    with engine.connect() as connection:
        backend = connection.scalar(text("SELECT pg_backend_pid()"))
    with reading(other).connect() as connection:
        assert connection.scalar(text(f"SELECT pg_terminate_backend({backend}, 10000)"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
    other.dispose()


def test_a_connection_in_use_is_not_asked_each_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(url)
    ping = Mock(wraps=engine.dialect.do_ping)
    monkeypatch.setattr(engine.dialect, "do_ping", ping)
    for _ in range(5):
        find_events(engine, EventFilter())
    ping.assert_not_called()
    monkeypatch.setattr(database, "PING_AFTER", 0.0)
    find_events(engine, EventFilter())
    ping.assert_called_once()
    engine.dispose()
