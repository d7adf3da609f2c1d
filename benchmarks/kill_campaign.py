"""Kill -9 the event writer again and again, and see whether the database keeps its word.

A child process writes events as fast as the database takes them, and notes every one that the
writer reports as committed. Every other child suffers an outage of the database, so that some of
its messages are in the spool when it dies. After each kill the next start is played through
(spool replayed, open events read) and everything that was acknowledged must be there.

    python -m benchmarks.kill_campaign --kills 100
    python -m benchmarks.kill_campaign --kills 100 --db postgresql://user:password@host/name
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.orm import Session

from monitor.clock import Stamp, SystemClock
from monitor.events.apply import Message
from monitor.events.database import open_database
from monitor.events.integrity import Defect, check_database
from monitor.events.models import OccupancyEvent
from monitor.events.restart import open_occupancies
from monitor.events.schema import migrate
from monitor.events.snapshots import SnapshotStore
from monitor.events.writer import Commit, EventWriter
from monitor.messages import EndReason, PresenceState, Progress, Summary, Transition

ZONES = [(f"camera{number}", "frame") for number in range(16)]
JPEG = b"\xff\xd8" + bytes(20_000) + b"\xff\xd9"
QUEUE = 64
"""Messages the child lets wait: enough to fill batches, and to lose if the writer cheated."""

PATIENCE = 30.0
"""Seconds a child may take to get its events acknowledged before it is killed anyway."""

RECORD = 17
"""Bytes of one acknowledgement: O or C, and the event's id."""

TABLE, AWAY = "occupancy_events", "occupancy_events_away"


@dataclass(slots=True)
class Report:
    """What happened. `failures` must be empty."""

    kills: int = 0
    acknowledged: int = 0
    replayed_from_spool: int = 0
    events: int = 0
    pictures: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


class Campaign:
    """One database, killed many times."""

    def __init__(self, url: str, folder: Path, choice: random.Random) -> None:
        self._url = url
        self._folder = folder
        self._choice = choice
        self._acks = folder / "acknowledged"
        self._acks.touch()
        migrate(url)

    def run(self, kills: int) -> Report:
        """Kill as often as asked; stop at the first failure."""
        report, begun = Report(), time.monotonic()
        while report.kills < kills and not report.failures:
            self._kill_one(outage=report.kills % 2 == 1)
            report.kills += 1
            self._examine(report)
        report.seconds = round(time.monotonic() - begun, 1)
        return report

    def _kill_one(self, *, outage: bool) -> None:
        child = os.fork()
        if child == 0:
            try:
                self._live(outage)
            finally:
                os._exit(1)
        self._wait_for_acknowledgements(self._choice.randrange(1, 60))
        time.sleep(self._choice.uniform(0.0, 0.3))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            raise RuntimeError("the child ended by itself")

    def _wait_for_acknowledgements(self, wanted: int) -> None:
        enough = self._acks.stat().st_size + wanted * RECORD
        deadline = time.monotonic() + PATIENCE
        while self._acks.stat().st_size < enough and time.monotonic() < deadline:
            time.sleep(0.01)

    def _live(self, outage: bool) -> None:
        """The child: never returns."""
        engine = open_database(self._url)
        writer = self._writer(engine)
        writer.replay_spool()
        now = SystemClock().now()
        running = {(o.camera, o.zone): o.event_id for o in open_occupancies(engine, ZONES, now)}
        writer.start()
        if outage:
            threading.Thread(target=_interrupt, args=(engine,), daemon=True).start()
        while True:
            for place in ZONES:
                while (stats := writer.stats()).queued + stats.spooled > QUEUE:
                    time.sleep(0.001)
                event_id = running.pop(place, None)
                if event_id is None:
                    running[place] = event_id = uuid4()
                    writer.put(_change(place, event_id, opens=True))
                    writer.put(_progress(place, event_id))
                else:
                    writer.put(_change(place, event_id, opens=False))

    def _writer(self, engine: Engine) -> EventWriter:
        handle = os.open(self._acks, os.O_WRONLY | os.O_APPEND)

        def note(commit: Commit) -> None:
            message = commit.message
            if isinstance(message, Transition) and message.event_id is not None:
                kind = b"O" if message.current is PresenceState.OCCUPIED else b"C"
                os.write(handle, kind + message.event_id.bytes)

        return EventWriter(
            engine,
            spool=self._folder / "spool",
            snapshots=SnapshotStore(self._folder / "snapshots"),
            clock=SystemClock(),
            on_committed=note,
        )

    def _examine(self, report: Report) -> None:
        """Play the next start through and compare."""
        engine = open_database(self._url)
        if inspect(engine).has_table(AWAY):
            with engine.begin() as connection:
                connection.execute(text(f"ALTER TABLE {AWAY} RENAME TO {TABLE}"))
        writer = self._writer(engine)
        report.replayed_from_spool += writer.replay_spool()
        opened, closed = self._acknowledged()
        report.acknowledged = len(opened) + len(closed)
        with Session(engine) as session:
            table = OccupancyEvent
            rows = session.execute(select(table.id, table.end_reason, table.snapshot)).all()
        ends = {row.id: row.end_reason for row in rows}
        report.events = len(ends)
        pictures = {
            row.id: self._folder / "snapshots" / row.snapshot for row in rows if row.snapshot
        }
        report.pictures = len(pictures)
        problems = check_database(
            engine, snapshots=SnapshotStore(self._folder / "snapshots"), spool=None
        )
        engine.dispose()
        report.failures += [f"lost: opening of {e}" for e in opened if e not in ends]
        report.failures += [
            f"lost: end of {e}" for e in closed if ends.get(e) is not EndReason.VACATED
        ]
        report.failures += [
            f"no whole picture: {event_id}"
            for event_id, file in pictures.items()
            if not file.exists() or file.read_bytes() != JPEG
        ]
        # A picture is written before its row names it: a kill in between leaves it, unnamed.
        report.failures += [
            f"{p.defect}: {p.subject}: {p.detail}"
            for p in problems
            if p.defect is not Defect.STRAY_SNAPSHOT
        ]

    def _acknowledged(self) -> tuple[set[UUID], set[UUID]]:
        data = self._acks.read_bytes()
        found: dict[bytes, set[UUID]] = {b"O": set(), b"C": set()}
        for start in range(0, len(data) - len(data) % RECORD, RECORD):
            found[data[start : start + 1]].add(UUID(bytes=data[start + 1 : start + RECORD]))
        return found[b"O"], found[b"C"]


def _interrupt(engine: Engine) -> None:
    """Take the table away now and then."""
    while True:
        time.sleep(random.uniform(0.05, 0.3))
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {TABLE} RENAME TO {AWAY}"))
        time.sleep(random.uniform(0.05, 0.3))
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {AWAY} RENAME TO {TABLE}"))


def _change(place: tuple[str, str], event_id: UUID, *, opens: bool) -> Message:
    now: Stamp = SystemClock().now()
    vacant, occupied = PresenceState.VACANT, PresenceState.OCCUPIED
    return Transition(
        camera=place[0],
        zone=place[1],
        previous=vacant if opens else occupied,
        current=occupied if opens else vacant,
        at=now,
        confirmed=now,
        event_id=event_id,
        summary=Summary(0.99, 0.9, 3 if opens else 9),
        end_reason=None if opens else EndReason.VACATED,
        snapshot=JPEG if opens and place == ZONES[0] else None,
    )


def _progress(place: tuple[str, str], event_id: UUID) -> Message:
    return Progress(event_id, *place, SystemClock().now(), Summary(0.99, 0.9, 6))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--db", help="an empty database; without it a new SQLite file")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="presence-kill-") as folder:
        url = options.db or f"sqlite:///{folder}/monitor.db"
        report = Campaign(url, Path(folder), random.Random(options.seed)).run(options.kills)
    print(json.dumps(asdict(report)))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
