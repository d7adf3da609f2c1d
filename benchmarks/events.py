"""The memory under load: how fast the writer writes, and how fast questions are answered.

    python -m benchmarks.events writer                       transitions a second, put → commit
    python -m benchmarks.events queries --events 100000 1000000 10000000
    python -m benchmarks.events queries --db postgresql://user:password@host/name

Events of 200 cameras over two years, made up but in order. Each line of output is one JSON object.
Processor time is given beside elapsed time: it says the same on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, insert

from monitor.clock import SystemClock
from monitor.events.database import open_database, sqlite_path, writing
from monitor.events.models import OccupancyEvent
from monitor.events.queries import EventFilter, find_events
from monitor.events.schema import migrate
from monitor.events.snapshots import SnapshotStore
from monitor.events.statistics import Grouping, occupancy
from monitor.events.writer import Commit, EventWriter
from monitor.messages import EndReason, PresenceState, Summary, Transition

CAMERAS = 200
START = datetime(2024, 1, 1, tzinfo=UTC)
YEARS = timedelta(days=730)
ASKED = 300
"""Questions of each kind."""

JPEG = os.urandom(120_000)


def bench_writer(engine: Engine, folder: Path, *, snapshots: bool) -> dict[str, Any]:
    """A burst as fast as it goes, then 20 transitions a second for 20 s."""
    put: dict[UUID | None, float] = {}
    took: list[float] = []

    def committed(commit: Commit) -> None:
        took.append(time.perf_counter() - put[commit.message.event_id])

    writer = EventWriter(
        engine,
        spool=folder / "spool",
        snapshots=SnapshotStore(folder / "snapshots"),
        clock=SystemClock(),
        on_committed=committed,
    )
    writer.start()

    def change(camera: int, event_id: UUID, *, opens: bool) -> None:
        put[event_id] = time.perf_counter()
        writer.put(
            _change(f"camera{camera}", event_id, JPEG if opens and snapshots else None, opens)
        )

    count = 1000 if snapshots else 4000
    begun, worked = time.perf_counter(), time.process_time()
    for number in range(count // 2):
        event_id = uuid4()
        change(number % CAMERAS, event_id, opens=True)
        change(number % CAMERAS, event_id, opens=False)
    writer.flush(600.0)
    elapsed, worked = time.perf_counter() - begun, time.process_time() - worked
    took.clear()
    for number in range(400):
        change(number, uuid4(), opens=True)
        time.sleep(0.05)
    writer.flush(60.0)
    writer.stop(60.0)
    return {
        "snapshots_kb": len(JPEG) // 1000 if snapshots else 0,
        "burst_transitions_per_s": round(count / elapsed),
        "transitions_per_cpu_s": round(count / worked),
        "put_to_commit_ms": _quantiles(took),
    }


def _change(camera: str, event_id: UUID, snapshot: bytes | None, opens: bool) -> Transition:
    now = SystemClock().now()
    states = PresenceState.VACANT, PresenceState.OCCUPIED
    previous, current = states if opens else states[::-1]
    return Transition(
        camera, "frame", previous, current, now, now, event_id,
        summary=Summary(0.99, 0.9, 3 if opens else 9),
        end_reason=None if opens else EndReason.VACATED,
        snapshot=snapshot,
        settings={"enter_threshold": 0.8, "exit_threshold": 0.4, "enter_after": 0.6},
        model_id="PPLCNet_x1_0-b1946ac9",
    )  # fmt: skip


def fill(engine: Engine, have: int, count: int) -> None:
    """Bring the table from `have` to `count` events, spread evenly over cameras and years."""
    choice = random.Random(have)
    chunk: list[dict[str, Any]] = []
    for number in range(have, count):
        chunk.append(_event(number, choice))
        if len(chunk) == 10_000 or number == count - 1:
            with writing(engine).begin() as connection:
                connection.execute(insert(OccupancyEvent), chunk)
            chunk.clear()


def _event(number: int, choice: random.Random) -> dict[str, Any]:
    """A stay; golden-ratio steps spread the starts evenly however many there will be."""
    start = START + YEARS * ((number * 0.6180339887498949) % 1.0)
    end = start + timedelta(seconds=choice.uniform(5, 20))
    return {
        "id": UUID(int=choice.getrandbits(128), version=4),
        "camera": f"camera{number % CAMERAS}",
        "zone": "frame",
        "started_at": start,
        "confirmed_at": start,
        "last_seen_at": end,
        "ended_at": end,
        "end_reason": EndReason.VACATED,
        "peak_score": choice.random(),
        "mean_score": 0.5,
        "score_count": 40,
        "model_id": "PPLCNet_x1_0-b1946ac9",
        "settings": {"enter_threshold": 0.8, "exit_threshold": 0.4, "enter_after": 0.6},
        "created_at": start,
        "updated_at": end,
    }


def bench_queries(engine: Engine, count: int) -> Iterator[dict[str, Any]]:
    """The questions people ask, at random moments."""
    choice = random.Random(count)

    def moment() -> datetime:
        return START + YEARS * choice.random()

    def camera() -> str:
        return f"camera{choice.randrange(CAMERAS)}"

    def span(hours: float) -> dict[str, Any]:
        since = moment()
        return {"since": since, "until": since + timedelta(hours=hours), "overlapping": True}

    questions: dict[str, Callable[[], object]] = {
        "camera and span of a day": lambda: find_events(
            engine, EventFilter(camera=camera(), **span(24))
        ),
        "camera at a moment": lambda: find_events(
            engine, EventFilter(camera=camera(), moment=moment())
        ),
        "any camera at a moment": lambda: find_events(engine, EventFilter(moment=moment())),
        "newest of a camera": lambda: find_events(engine, EventFilter(camera=camera(), limit=50)),
        "all that is open": lambda: find_events(engine, EventFilter(open_only=True)),
        "occupied by day, one camera, a week": lambda: occupancy(
            engine, EventFilter(camera=camera(), **span(168)),
            by=Grouping.DAY, now=START + YEARS, zone=UTC,
        ),
    }  # fmt: skip
    size = _bytes(engine)
    for name, ask in questions.items():
        elapsed, worked = [], []
        for _ in range(ASKED if "any" not in name else ASKED // 10):
            begun, busy = time.perf_counter(), time.thread_time()
            ask()
            elapsed.append(time.perf_counter() - begun)
            worked.append(time.thread_time() - busy)
        yield {
            "events": count,
            "bytes_per_event": round(size / count) if size else None,
            "question": name,
            "ms": _quantiles(elapsed),
            "cpu_ms": _quantiles(worked),
        }


def _bytes(engine: Engine) -> int | None:
    path = sqlite_path(engine.url)
    return path.stat().st_size if path else None


def _quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        name: round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("writer", "queries"))
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--db", help="an empty database; without it a new SQLite file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="presence-events-", dir=".") as name:
        url = options.db or f"sqlite:///{name}/monitor.db"
        migrate(url)
        engine = open_database(url)
        if options.what == "writer":
            for snapshots in (False, True):
                print(json.dumps(bench_writer(engine, Path(name), snapshots=snapshots)))
        else:
            have = 0
            for count in sorted(options.events):
                fill(engine, have, count)
                have = count
                for line in bench_queries(engine, count):
                    print(json.dumps(line), flush=True)
        engine.dispose()


if __name__ == "__main__":
    main()
