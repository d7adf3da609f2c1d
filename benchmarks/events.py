"""The memory under load: how fast the writer writes, and how fast questions are answered.

    python -m benchmarks.events writer                       transitions a second, put → commit
    python -m benchmarks.events queries --workspace DIR --events 100000 1000000 10000000
    python -m benchmarks.events queries --db postgresql://user:password@host/name
    python -m benchmarks.events queries --ask-only --db URL1 URL2 --events 100000 10000000
    python -m benchmarks.events upkeep --workspace DIR --events 10000000 --remove 100000

`queries` fills the database with a made-up history (`benchmarks.history`), up to each number of
events in turn, and asks. The database stays in the workspace, and what is there already is not
made again. 10 million events take 6.5 GB and about a quarter of an hour. Several databases are
asked one after the other, each with its number of events. With several sizes the last lines tell
how the times grew, and `--plot FILE` draws it. `upkeep` deletes the oldest events by retention and
maintains the database while a writer commits 20 transitions a second.

Each line of output is one JSON object. Processor time is given beside elapsed time: it says the
same on a busy machine (of a database server it is left out, but for the client's part).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine

from benchmarks.history import CAMERAS, START, ZONE, camera_name, fill, known_until
from benchmarks.load import change, quantiles
from benchmarks.upkeep import bench_upkeep
from monitor.clock import SystemClock
from monitor.config import LoggingConfig
from monitor.events.database import open_database
from monitor.events.periods import Period
from monitor.events.places import Where
from monitor.events.queries import EventFilter, find_events
from monitor.events.ratios import occupancy_ratios
from monitor.events.schema import migrate
from monitor.events.snapshots import SnapshotStore
from monitor.events.writer import Commit, EventWriter
from monitor.events.zones import zone_states
from monitor.telemetry import configure_logging

ASKED = 300
"""Questions of each kind; those about all cameras are fewer."""

WARM = 10
"""Questions before the clock runs: statements are compiled at the first, prepared by the fifth."""

GOALS, GOAL_MS = ("camera and span of a day", "zone at a moment", "camera at a moment"), 5.0
"""Questions that are to be answered within so many milliseconds at the 99th percentile."""

JPEG = os.urandom(120_000)


def bench_writer(engine: Engine, folder: Path, *, snapshots: bool) -> dict[str, Any]:
    """A burst as fast as it goes, then 20 transitions a second for 20 s."""
    put: dict[UUID | None, float] = {}
    took: list[float] = []
    last = 0.0

    def committed(commit: Commit) -> None:
        nonlocal last
        last = time.perf_counter()
        took.append(last - put[commit.message.event_id])

    writer = EventWriter(
        engine,
        spool=folder / "spool",
        snapshots=SnapshotStore(folder / "snapshots"),
        clock=SystemClock(),
        on_committed=committed,
    )
    writer.start()

    def send(camera: int, event_id: UUID, *, opens: bool) -> None:
        put[event_id] = time.perf_counter()
        picture = JPEG if opens and snapshots else None
        writer.put(change(f"camera{camera}", event_id, picture, opens=opens))

    count = 1000 if snapshots else 4000
    begun, worked = time.perf_counter(), time.process_time()
    for number in range(count // 2):
        event_id = uuid4()
        send(number % CAMERAS, event_id, opens=True)
        send(number % CAMERAS, event_id, opens=False)
    writer.flush(600.0)
    elapsed, worked = last - begun, time.process_time() - worked
    pictures = count / 2 / (time.perf_counter() - begun) if snapshots else 0
    took.clear()
    for number in range(400):
        send(number % CAMERAS, uuid4(), opens=True)
        time.sleep(0.05)
    writer.flush(60.0)
    stats = writer.stats()
    writer.stop(60.0)
    return {
        "database": engine.dialect.name,
        "snapshots_kb": len(JPEG) // 1000 if snapshots else 0,
        "burst_transitions_per_s": round(count / elapsed),
        "transitions_per_cpu_s": round(count / worked),
        "burst_snapshots_per_s": round(pictures),
        "put_to_commit_ms": quantiles(took),
        "snapshots_lost": stats.snapshots_lost,
    }


def bench_queries(engine: Engine, count: int) -> Iterator[dict[str, Any]]:
    """The questions people ask, at random moments of the history."""
    choice, now = random.Random(count), known_until(count)

    def moment(before: timedelta = timedelta(0)) -> datetime:
        return START + (now - START - before) * choice.random()

    def camera() -> str:
        return camera_name(choice.randrange(CAMERAS))

    def span(days: int) -> dict[str, Any]:
        length = timedelta(days=days)
        since = moment(length)
        return {"camera": camera(), "since": since, "until": since + length}

    def hourly(days: int) -> list[object]:
        wanted = EventFilter(**span(days))
        return list(occupancy_ratios(engine, wanted, by=Period.HOUR, now=now, zone=UTC))

    questions: dict[str, Callable[[], object]] = {
        "camera and span of a day": lambda: find_events(
            engine, EventFilter(**span(1), overlapping=True)
        ),
        "zone at a moment": lambda: zone_states(engine, Where(camera(), ZONE), now, moment()),
        "camera at a moment": lambda: zone_states(engine, Where(camera()), now, moment()),
        "events of a camera at a moment": lambda: find_events(
            engine, EventFilter(camera=camera(), moment=moment())
        ),
        "hourly ratio, one camera, a day": lambda: hourly(1),
        "hourly ratio, one camera, a week": lambda: hourly(7),
        "newest 50 of a camera": lambda: find_events(
            engine, EventFilter(camera=camera(), limit=50)
        ),
        "all that is open": lambda: find_events(engine, EventFilter(open_only=True)),
        "all zones at a moment": lambda: zone_states(engine, Where(), now, moment()),
        "events of all cameras at a moment": lambda: find_events(
            engine, EventFilter(moment=moment())
        ),
    }
    size = _bytes(engine)
    for name, ask in questions.items():
        elapsed, worked = [], []
        for _ in range(WARM):
            ask()
        for _ in range(ASKED // 10 if "all " in name else ASKED):
            begun, busy = time.perf_counter(), time.thread_time()
            ask()
            elapsed.append(time.perf_counter() - begun)
            worked.append(time.thread_time() - busy)
        yield {
            "database": engine.dialect.name,
            "events": count,
            "bytes_per_event": round(size / count),
            "question": name,
            "ms": quantiles(elapsed),
            "cpu_ms": quantiles(worked),
        }


def _bytes(engine: Engine) -> int:
    """Everything: rows, indexes, coverage and the tables of the other rooms, which are empty."""
    size = {
        "sqlite": "SELECT (page_count - freelist_count) * page_size "
        "FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        "postgresql": "SELECT pg_database_size(current_database())",
        "mariadb": "SELECT SUM(data_length + index_length) FROM information_schema.tables "
        "WHERE table_schema = DATABASE()",
    }
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(size[engine.dialect.name]).scalar() or 0)


def growth(lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """From the smallest table to the largest: each question's times, as a factor."""
    least, most = (pick(line["events"] for line in lines) for pick in (min, max))
    for first in lines:
        for last in lines:
            if (first["events"], last["events"]) == (least, most) and (
                first["question"] == last["question"]
            ):
                yield {
                    "question": first["question"],
                    "events": f"{least} to {most}, {most / least:g} times",
                    **{
                        f"{of} {name}": f"{first[of][name]} to {last[of][name]}, "
                        f"{last[of][name] / max(first[of][name], 0.01):.2f} times"
                        for of in ("ms", "cpu_ms")
                        for name in ("p50", "p99")
                    },
                }


def plot(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Times against the number of events, which grows by factors."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    for axis, name in zip(axes, ("p50", "p99"), strict=True):
        for question in dict.fromkeys(line["question"] for line in lines):
            of = [line for line in lines if line["question"] == question]
            style = {"marker": "o"} if question in GOALS else {"marker": ".", "linewidth": 0.7}
            axis.plot([line["events"] for line in of], [line["ms"][name] for line in of],
                      label=question, **style)  # fmt: skip
        axis.axhline(GOAL_MS, color="black", linestyle=":", linewidth=0.8)
        axis.set(xscale="log", yscale="log", xlabel="events", title=f"{name}, ms")
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(lines[0]["database"])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("writer", "queries", "upkeep"))
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--db", nargs="+", help="empty databases; without them a SQLite file")
    parser.add_argument("--workspace", type=Path, help="a folder; without it a new one, taken away")
    parser.add_argument("--ask-only", action="store_true", help="the history is there already")
    parser.add_argument("--remove", type=int, default=100_000, help="events that `upkeep` deletes")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw how `queries` grow (PNG)")
    options = parser.parse_args()
    if options.db and len(options.db) not in (1, len(options.events)):
        parser.error("name one database, or one for each number of events")
    configure_logging(LoggingConfig(level="error"))
    with ExitStack() as stack:
        folder = options.workspace or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="presence-events-", dir="."))
        )
        urls = options.db or [f"sqlite:///{folder}/monitor.db"]
        engines = [_open(url, stack) for url in urls]
        if options.what == "writer":
            for snapshots in (False, True):
                print(json.dumps(bench_writer(engines[0], folder, snapshots=snapshots)), flush=True)
            return
        lines = []
        for number, count in enumerate(sorted(options.events)):
            engine = engines[number if len(engines) > 1 else 0]
            if not options.ask_only:
                fill(engine, count)
            if options.what == "upkeep":
                found = bench_upkeep(engine, folder, count, options.remove)
            else:
                found = bench_queries(engine, count)
            for line in found:
                print(json.dumps(line), flush=True)
                lines.append(line)
        if options.what == "queries" and len(options.events) > 1:
            for line in growth(lines):
                print(json.dumps(line), flush=True)
            if options.plot:
                plot(lines, options.plot)


def _open(url: str, stack: ExitStack) -> Engine:
    migrate(url)
    engine = open_database(url)
    stack.callback(engine.dispose)
    return engine


if __name__ == "__main__":
    main()
