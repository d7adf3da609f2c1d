"""A made-up history for the benchmarks of the memory: 200 cameras, 10 million events, two years.

Time passes as the table grows: the first 100,000 events are the first week, 10 million are two
years, always with the same number of events a day. So a question about one day finds as much in a
small table as in a large one, and what grows is the search alone.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, func, insert, select

from monitor.events.database import writing
from monitor.events.models import Coverage, OccupancyEvent
from monitor.messages import EndReason

CAMERAS = 200
ZONE = "frame"
START = datetime(2024, 1, 1, tzinfo=UTC)
FULL, YEARS = 10_000_000, timedelta(days=730)
"""So many events in so much time."""

SLOT = YEARS / (FULL // CAMERAS)
"""Each camera has one event in each slot of about 21 minutes."""

SEEN, UNSEEN = timedelta(hours=23, minutes=50), timedelta(minutes=10)
"""Each camera is seen so long, then not for so long, again and again."""

TRANSACTION = 10_000
"""Events written in one transaction."""

Row = tuple[Any, ...]

_COLUMNS = (
    "id", "camera", "zone", "started_at", "confirmed_at", "last_seen_at", "ended_at", "end_reason",
    "peak_score", "mean_score", "score_count", "model_id", "settings", "snapshot", "created_at",
    "updated_at",
)  # fmt: skip
_SETTINGS = {"enter_threshold": 0.8, "exit_threshold": 0.4, "enter_after": 0.6, "exit_after": 8.0}


def camera_name(number: int) -> str:
    """Cameras have names such as `camera017`."""
    return f"camera{number:03}"


def known_until(events: int) -> datetime:
    """Up to when a table of so many events tells the history."""
    return START + SLOT * (events // CAMERAS)


def oldest_event(engine: Engine) -> int:
    """How many events at the history's beginning are gone, about."""
    with engine.connect() as connection:
        first = connection.scalar(select(func.min(OccupancyEvent.started_at))) or START
    return (first - START) // SLOT * CAMERAS


def fill(engine: Engine, count: int) -> None:
    """Bring an empty table, or one that `fill` has begun, to `count` events and their coverage."""
    with engine.connect() as connection:
        have = connection.scalar(select(func.count()).select_from(OccupancyEvent)) or 0
        seen = connection.scalar(select(func.max(Coverage.started_at))) or START - SEEN
    with writing(engine).connect() as connection:
        _hurry(connection)
        for first in range(have, count, TRANSACTION):
            _write(connection, _events(first, min(first + TRANSACTION, count)))
    spans = list(_coverage(seen, known_until(count)))
    if spans:
        with writing(engine).begin() as connection:
            connection.execute(insert(Coverage), spans)
    engine.dispose()  # connections that were in a hurry
    _settle(engine)


def _events(first: int, end: int) -> list[Row]:
    """Events `first` to `end` of the history: columns as SQLite keeps them."""
    choice = np.random.default_rng(first)
    count = end - first
    camera, slot = np.arange(first, end) % CAMERAS, np.arange(first, end) // CAMERAS
    start = SLOT.total_seconds() * (slot + camera / CAMERAS + 0.4 * choice.random(count))
    lasted = np.minimum(choice.lognormal(3.5, 1.2, count), 600.0)
    began, confirmed, ended = (_texts(start + later) for later in (0.0, 0.6, lasted))
    names = choice.bytes(16 * count).hex()
    settings, model = json.dumps(_SETTINGS), "PPLCNet_x1_0-b1946ac9"
    rows = []
    for i, peak in enumerate((0.8 + 0.2 * choice.random(count)).tolist()):
        name = names[32 * i : 32 * i + 32]
        rows.append((
            name, camera_name(camera[i]), ZONE, began[i], confirmed[i], max(confirmed[i], ended[i]),
            ended[i], EndReason.VACATED.value, peak, peak * 0.9, 40, model, settings,
            f"{began[i][:10]}/{UUID(name)}.jpg", confirmed[i], ended[i],
        ))  # fmt: skip
    return rows


def _texts(seconds: NDArray[np.float64]) -> list[str]:
    """Moments, in seconds after START, as SQLite keeps them."""
    moments = np.datetime64(START.replace(tzinfo=None), "us") + np.int64(seconds * 1e6)
    return [str(text).replace("T", " ") for text in np.datetime_as_string(moments)]


def _coverage(since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """The spans that begin after the one that began at `since`."""
    start = since + SEEN + UNSEEN if since >= START else START
    while start + SEEN <= until:
        for camera in range(CAMERAS):
            yield {
                "id": UUID(int=random.getrandbits(128), version=4),
                "camera": camera_name(camera),
                "zone": ZONE,
                "started_at": start,
                "last_seen_at": start + SEEN,
                "ended_at": start + SEEN,
            }
        start += SEEN + UNSEEN


def _hurry(connection: Connection) -> None:
    """A power failure may cost the benchmark's history, and nothing else."""
    if connection.dialect.name == "sqlite":
        _pragmas(connection, "synchronous = OFF", "cache_size = -1000000")
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET synchronous_commit = off")
        connection.commit()


def _pragmas(connection: Connection, *texts: str) -> None:
    """Outside of SQLAlchemy's transactions."""
    raw = connection.connection.driver_connection
    assert raw is not None
    for text in texts:
        raw.execute(f"PRAGMA {text}")


def _write(connection: Connection, batch: Sequence[Row]) -> None:
    columns = ", ".join(_COLUMNS)
    with connection.begin():
        if connection.dialect.name == "postgresql":
            text = io.StringIO()
            csv.writer(text).writerows([*row[:3], *map(_utc, row[3:])] for row in batch)
            raw = connection.connection.driver_connection
            assert raw is not None
            with raw.cursor().copy(
                f"COPY occupancy_events ({columns}) FROM STDIN WITH (FORMAT csv)"
            ) as copy:
                copy.write(text.getvalue())
            return
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        marks = ", ".join([mark] * len(_COLUMNS))
        statement = f"INSERT INTO occupancy_events ({columns}) VALUES ({marks})"
        connection.exec_driver_sql(statement, list(batch))


def _utc(value: object) -> object:
    """PostgreSQL is told the zone, whatever its session's is."""
    return f"{value}+00" if isinstance(value, str) and value[10:11] == " " else value


def _settle(engine: Engine) -> None:
    """What the maintenance of a running monitor does now and then."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            _pragmas(connection, "wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("ANALYZE")
            connection.commit()
            return
        connection.execution_options(isolation_level="AUTOCOMMIT")
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM (ANALYZE) occupancy_events")
            connection.exec_driver_sql("VACUUM (ANALYZE) coverage")
        else:
            connection.exec_driver_sql("ANALYZE TABLE occupancy_events, coverage")
