"""Runs in a mount namespace of its own: a small disk that fills up, and one that turns read-only.

    full_disk.py FOLDER full|read-only|pictures|start

Prints a JSON object of what the writer said meanwhile, and what the database holds afterwards.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from monitor.clock import SystemClock
from monitor.errors import DatabaseError
from monitor.events import snapshots as snapshots_module
from monitor.events import writer as writer_module
from monitor.events.database import open_database
from monitor.events.integrity import check_database
from monitor.events.models import OccupancyEvent
from monitor.events.schema import downgrade, migrate
from monitor.events.snapshots import SnapshotStore
from monitor.events.writer import EventWriter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from events.builders import JPEG, closing, opening

MS_RDONLY, MS_REMOUNT = 1, 32
SIZE = "6m"


def mount(folder: Path, flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = b"" if flags else f"size={SIZE}".encode()
    if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", flags, options):
        raise OSError(ctypes.get_errno(), "mount")


def protect(folder: Path, engine: Engine) -> None:
    """Turn the disk read-only, as a kernel does that does not trust it any more."""
    for _ in range(200):
        engine.dispose()  # a kernel asks nobody; remounting wants no file open for writing
        try:
            return mount(folder, MS_RDONLY | MS_REMOUNT)
        except OSError:
            time.sleep(0.02)
    raise TimeoutError


def fill(folder: Path) -> Path:
    """Leave not a single byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def main(folder: Path, what: str) -> dict[str, object]:
    writer_module.FIRST_RETRY, writer_module.LAST_RETRY = 0.05, 0.1
    snapshots_module.RETRY_AFTER = 0.1
    mount(folder)
    pictures = folder / "snapshots"
    home = folder
    if what == "pictures":
        home = folder.with_name("home")
        home.mkdir()
    url = f"sqlite:///{home}/monitor.db"
    migrate(url)
    engine = open_database(url)
    if what == "start":
        return start(folder, engine)
    writer = EventWriter(
        engine,
        spool=home / "monitor.db.spool",
        snapshots=SnapshotStore(pictures),
        clock=SystemClock(),
    )
    writer.start()
    stays = [opening(camera=f"camera{number}", snapshot=JPEG * 300) for number in range(40)]
    writer.put(stays[0])
    writer.flush(30.0)
    if what == "read-only":
        protect(folder, engine)
    else:
        ballast = fill(folder)
    for stay in stays[1:]:
        writer.put(stay)
    for stay in stays[:10]:
        assert stay.event_id is not None
        writer.put(closing(stay.event_id, 30, camera=stay.camera))
    wait_until(lambda: writer.stats().failed)
    if what == "pictures":
        assert writer.flush(30.0)
    else:
        time.sleep(0.5)  # several tries, each of which must leave everything where it is
    said, alive = writer.stats(), writer.alive
    if what == "read-only":
        mount(folder, MS_REMOUNT)
    else:
        ballast.unlink()
    flushed = writer.flush(30.0)
    wait_until(lambda: not writer.stats().failed)
    stopped = writer.stop(30.0)
    with Session(engine) as session:
        count = session.scalar(select(func.count()).select_from(OccupancyEvent))
        ended = session.scalar(select(func.count()).where(OccupancyEvent.ended_at.is_not(None)))
        named = session.scalar(select(func.count()).where(OccupancyEvent.snapshot.is_not(None)))
    problems = check_database(
        engine, snapshots=SnapshotStore(pictures), spool=home / "monitor.db.spool"
    )
    return {
        "reason": said.reason, "lag": said.lag, "alive": alive, "flushed": flushed,
        "stopped": stopped, "events": count, "ended": ended, "named": named,
        "lost_pictures": writer.stats().snapshots_lost,
        "problems": [str(problem) for problem in problems],
    }  # fmt: skip


def start(folder: Path, engine: Engine) -> dict[str, object]:
    """What migrating says on a disk that is full, then on one that is read-only."""
    downgrade(engine.url, "0003_coverage")
    ballast = fill(folder)
    full = refusal(engine)
    ballast.unlink()
    protect(folder, engine)
    return {"said": [full, refusal(engine)]}


def refusal(engine: Engine) -> str:
    try:
        return migrate(engine.url)
    except DatabaseError as error:
        return str(error)


if __name__ == "__main__":
    answer = main(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)
