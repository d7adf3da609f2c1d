"""The score history: what every zone scored, second by second, for calibration and explaining.

Beside each score what presence took it for, which cannot be found out later: pictures are not kept.

    Score ──▶ ScoreRecorder ──▶ tallies of the running minutes ──▶ one transaction a minute

It is a diary of diagnostics, kept aside from the events: a thread of its own writes it, the rooms
that score never wait, and what the database does not take in time is dropped and counted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, delete, func, select, tuple_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.clock import Clock, SystemClock
from monitor.errors import DatabaseError
from monitor.events.database import describe, explain, reading, writing
from monitor.events.minutes import SECONDS, Minute, Spread, Tallies, pack, unpack
from monitor.events.models import ScoreMinute
from monitor.messages import Score
from monitor.telemetry import get_logger

WRITE_EVERY = 60.0
"""Seconds between two transactions: what a crash may cost."""

MOST_WAITING = 20_000
"""Minutes of zones kept in memory while the database is away; some 5 MB."""

BATCH = 500
"""Rows in one transaction."""

_Key = tuple[str, str, datetime]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ScoreHistory:
    """The seconds of a zone that have scores, in order; all arrays of shape (n,).

    `second`: whole seconds since 1970 UTC, int64. `count`: scores in it (255: or more), uint8.
    `scores`: P(someone) in [0, 1], kept in steps of 0.063 of log-odds. `counted`: what they were
    taken for, NaN where that was not kept.
    """

    second: NDArray[np.int64]
    count: NDArray[np.uint8]
    scores: Spread
    counted: Spread

    def __len__(self) -> int:
        return int(self.second.size)


@dataclass(frozen=True, slots=True)
class RecorderStats:
    """`waiting`: minutes of zones not in the database yet; `dropped`, `written`: since start.

    `trouble`: why none can be written, empty if they can.
    """

    waiting: int
    dropped: int
    written: int
    trouble: str = ""


class ScoreRecorder:
    """Gathers scores and writes them, a row a minute and zone, from a thread of its own."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._running: dict[_Key, Tallies] = {}
        self._waiting: dict[_Key, Minute] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="score-history", daemon=True)
        self._dropped = 0
        self._written = 0
        self._trouble = ""

    def on_score(self, score: Score, counted: float | None = None) -> None:
        """Take a score in, and what it counted for (None: not known); its time is that of its
        frame. Never waits for the database."""
        if not 0.0 <= score.value <= 1.0:
            return
        utc = score.frame.stamp.utc
        key = (score.camera, score.zone, utc.replace(second=0, microsecond=0))
        with self._lock:
            tallies = self._running.get(key)
            if tallies is None:
                tallies = self._running[key] = Tallies()
            tallies.add(utc.second, score.value, counted)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write what there is, the running minute included, and end the thread."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def stats(self) -> RecorderStats:
        """A picture of the moment."""
        with self._lock:
            return RecorderStats(len(self._waiting), self._dropped, self._written, self._trouble)

    def write(self, *, all_of_it: bool = False) -> None:
        """Write the minutes that are over, or with `all_of_it` the running one, too.

        What the database does not take waits for the next time.
        """
        self._collect(all_of_it=all_of_it)
        try:
            while batch := dict(islice(self._waiting.items(), BATCH)):
                _store(self._engine, batch)
                with self._lock:
                    for key in batch:
                        del self._waiting[key]
                    self._written += len(batch)
        except (SQLAlchemyError, OSError) as error:
            reason = explain(error, self._engine.url).what
            if not self._trouble:
                log.warning("the score history cannot be written", reason=reason)
            self._trouble = reason
            return
        if self._trouble:
            log.info("the score history is written again", dropped=self._dropped)
        self._trouble = ""

    def _collect(self, *, all_of_it: bool) -> None:
        now = self._clock.now().utc.replace(second=0, microsecond=0)
        with self._lock:
            over = [key for key in self._running if all_of_it or key[2] != now]
            for key in over:
                minute = Minute.of(self._running.pop(key))
                before = self._waiting.get(key)
                self._waiting[key] = minute if before is None else before.joined(minute)
            for key in list(islice(self._waiting, max(0, len(self._waiting) - MOST_WAITING))):
                del self._waiting[key]
                self._dropped += 1

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_EVERY):
            self._safely(all_of_it=False)
        self._safely(all_of_it=True)

    def _safely(self, *, all_of_it: bool) -> None:
        try:
            self.write(all_of_it=all_of_it)
        except Exception:
            log.exception("the score history stumbled")


def _store(engine: Engine, minutes: dict[_Key, Minute]) -> None:
    """Write rows; one that is there already (a restart within its minute) is joined with ours.

    So writing twice, after a commit whose answer was lost, changes nothing.
    """
    table = ScoreMinute
    packed = {key: pack(minute) for key, minute in minutes.items()}  # while nobody waits
    with Session(writing(engine)) as session, session.begin():
        query = select(table).where(tuple_(table.camera, table.zone, table.minute).in_(minutes))
        found = {(row.camera, row.zone, row.minute): row for row in session.scalars(query)}
        for key, minute in minutes.items():
            row = found.get(key)
            if row is None:
                session.add(table(camera=key[0], zone=key[1], minute=key[2], scores=packed[key]))
            else:
                row.scores = pack(unpack(row.scores).joined(minute))


def score_history(
    engine: Engine, camera: str, zone: str, since: datetime, until: datetime
) -> ScoreHistory:
    """What the zone scored in [since, until), whole seconds; empty if nothing is kept.

    Moments are aware. Raises DatabaseError when the database is away or a row is damaged.
    """
    table = ScoreMinute
    query = (
        select(table.minute, table.scores)
        .where(
            table.camera == camera,
            table.zone == zone,
            table.minute >= since,
            table.minute < until + timedelta(minutes=1),
        )
        .order_by(table.minute)
    )
    try:
        with Session(reading(engine)) as session:
            rows = session.execute(query).all()
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
    try:
        minutes = [(int(row.minute.timestamp()), unpack(row.scores)) for row in rows]
    except ValueError as error:
        raise DatabaseError(
            str(error),
            where=f"{describe(engine.url)}, score_history of {camera}/{zone}",
            remedy="restore a backup, or leave this span out",
        ) from error
    return _cut(_together(minutes), since, until)


def known_history(engine: Engine) -> list[tuple[str, str, datetime, datetime]]:
    """(camera, zone, first minute, last minute) of all that is kept. Raises DatabaseError."""
    table = ScoreMinute
    query = (
        select(table.camera, table.zone, func.min(table.minute), func.max(table.minute))
        .group_by(table.camera, table.zone)
        .order_by(table.camera, table.zone)
    )
    try:
        with Session(reading(engine)) as session:
            return [(row[0], row[1], row[2], row[3]) for row in session.execute(query)]
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def oldest_score(engine: Engine) -> datetime | None:
    """The first minute that is kept of any zone. Raises SQLAlchemyError."""
    return min((first for _, _, first in _oldest(engine)), default=None)


def delete_score_history_before(engine: Engine, limit: datetime) -> int:
    """Delete all minutes that were over before `limit`; how many rows went.

    In small transactions, so that the writer never waits long. Raises SQLAlchemyError.
    """
    table = ScoreMinute
    gone = 0
    for camera, zone, first in list(_oldest(engine)):
        upto = first
        while upto < limit:
            upto = min(upto + timedelta(minutes=BATCH), limit)
            old = (table.camera == camera, table.zone == zone, table.minute < upto)
            with Session(writing(engine)) as session, session.begin():
                gone += session.execute(delete(table).where(*old)).rowcount  # type: ignore[attr-defined]
    return gone


def _oldest(engine: Engine) -> Iterator[tuple[str, str, datetime]]:
    """The oldest minute of every zone, each found by a step down the key."""
    table = ScoreMinute
    last: tuple[str, str] = ("", "")
    with Session(reading(engine)) as session:
        while True:
            row = session.execute(
                select(table.camera, table.zone, table.minute)
                .where(tuple_(table.camera, table.zone) > last)
                .order_by(table.camera, table.zone, table.minute)
                .limit(1)
            ).first()
            if row is None:
                return
            last = (row.camera, row.zone)
            yield row.camera, row.zone, row.minute


def _together(minutes: Iterable[tuple[int, Minute]]) -> ScoreHistory:
    within = np.arange(SECONDS)
    parts = list(minutes)
    if not parts:
        nothing = np.zeros(0)
        none = Spread(nothing, nothing, nothing)
        return ScoreHistory(nothing.astype(np.int64), nothing.astype(np.uint8), none, none)
    count = np.concatenate([minute.count for _, minute in parts])
    seen = count > 0
    return ScoreHistory(
        np.concatenate([start + within for start, _ in parts])[seen],
        count[seen],
        _joined([minute.scores for _, minute in parts], seen),
        _joined([minute.counted or _NOT_KNOWN for _, minute in parts], seen),
    )


_NOT_KNOWN = Spread(*(np.full(SECONDS, np.nan) for _ in range(3)))


def _joined(parts: list[Spread], seen: NDArray[np.bool_]) -> Spread:
    return Spread(
        np.concatenate([part.low for part in parts])[seen],
        np.concatenate([part.mean for part in parts])[seen],
        np.concatenate([part.high for part in parts])[seen],
    )


def _cut(history: ScoreHistory, since: datetime, until: datetime) -> ScoreHistory:
    start, end = since.astimezone(UTC).timestamp(), until.astimezone(UTC).timestamp()
    chosen = (history.second >= np.floor(start)) & (history.second < end)
    return ScoreHistory(
        history.second[chosen],
        history.count[chosen],
        _joined([history.scores], chosen),
        _joined([history.counted], chosen),
    )
