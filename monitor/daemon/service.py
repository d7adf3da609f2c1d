"""The daemon's life: everything that can be refused is refused before anything is written.

The order of the start is the order of `Daemon._start`; the stop runs the other way round.
"""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from functools import partial
from types import FrameType

from sqlalchemy import Engine

from monitor.alerts.room import AlertRoom
from monitor.capture import CaptureRoom
from monitor.clock import Clock, SystemClock
from monitor.config import MonitorConfig
from monitor.daemon.book import DatabaseBook
from monitor.daemon.journal import Journal
from monitor.daemon.status import DaemonStatus, Rooms, Watch
from monitor.daemon.voice import zone_readings
from monitor.events.database import describe, open_database
from monitor.events.restart import open_occupancies
from monitor.events.schema import migrate
from monitor.events.snapshots import SnapshotStore
from monitor.events.spool import default_spool
from monitor.events.writer import Commit, EventWriter
from monitor.imaging import jpeg
from monitor.inference.pool import InferencePool
from monitor.jobs import JobRoom
from monitor.messages import Attention, Frame, Outage, Score
from monitor.presence import PresenceRoom, zone_settings
from monitor.telemetry import get_logger
from monitor.web.app import create_app
from monitor.web.server import WebServer

log = get_logger(__name__)

TICK_EVERY = 0.25
"""Seconds between two looks at the deadlines of presence."""

STOP_TIMEOUT = 10.0
"""Seconds the writer gets to bring the last messages into the database or the spool."""


ALERT_TIMEOUT = 10.0
"""Seconds the channels get to end the deliveries they are at."""


class Daemon:
    """One monitor process. `run` returns when it was told to stop.

    Raises MonitorError from `run` when something it needs cannot be had.
    """

    def __init__(self, config: MonitorConfig, *, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._stop = threading.Event()
        self._watch = Watch()
        self._journal = Journal()

    def run(self) -> None:
        """Start everything, watch until SIGINT or SIGTERM, stop everything."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        with ExitStack() as stack:
            rooms = self._start(stack)
            while not self._stop.wait(TICK_EVERY):
                rooms.presence.tick(self._clock.now())
        log.info("stopped")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        self._stop.set()

    def _start(self, stack: ExitStack) -> Rooms:
        """Start the rooms; `stack` stops them. Cameras come last: all behind them is ready."""
        server = self._listen(stack)
        engine = self._open_database(stack)
        rooms, status = self._wire(engine)
        stack.callback(rooms.alerts.stop, ALERT_TIMEOUT)
        stack.callback(rooms.writer.stop, STOP_TIMEOUT)
        stack.callback(rooms.pool.stop)
        rooms.pool.start()
        self._take_over(engine, rooms)
        rooms.writer.start()
        rooms.writer.flush(STOP_TIMEOUT)  # rules are held against what is known to go on
        rooms.alerts.start()
        stack.callback(rooms.jobs.stop)
        rooms.jobs.start()
        if server is not None:
            book = DatabaseBook(engine, self._config.snapshots.folder)
            server.start(create_app(status, book, intake=rooms.alerts.intake))
        stack.callback(rooms.presence.checkpoint)
        stack.callback(rooms.capture.stop)
        rooms.capture.start()
        log.info(
            "watching",
            cameras=len(self._config.cameras),
            model=rooms.pool.model_id,
            database=describe(engine.url),
            dashboard=server.url if server else "off",
        )
        return rooms

    def _listen(self, stack: ExitStack) -> WebServer | None:
        web = self._config.web
        if not web.enabled:
            return None
        server = WebServer(web.host, web.port)
        stack.callback(server.stop)
        return server

    def _open_database(self, stack: ExitStack) -> Engine:
        url = self._config.database.url.get_secret_value()
        migrate(url)
        engine = open_database(url)
        stack.callback(engine.dispose)
        return engine

    def _wire(self, engine: Engine) -> tuple[Rooms, DaemonStatus]:
        """Make the rooms and join each one's output to the next one's input."""
        config, clock, snapshots = self._config, self._clock, self._config.snapshots

        def to_pool(frame: Frame) -> None:
            self._watch.on_frame(frame)
            pool.submit(frame)

        def to_presence(score: Score) -> None:
            self._watch.on_score(score)
            presence.on_score(score)

        def on_outage(outage: Outage) -> None:
            presence.on_outage(outage)
            alerts.on_outage(outage)

        def on_committed(commit: Commit) -> None:
            journal.on_committed(commit)
            alerts.on_committed()

        def to_capture(attention: Attention) -> None:
            capture.attend(attention)

        def health() -> dict[str, float | int | str]:
            return status.summary()

        journal = self._journal
        book = DatabaseBook(engine, snapshots.folder)
        alerts = AlertRoom(
            engine,
            config,
            clock=clock,
            picture=book.snapshot,
            readings=lambda: zone_readings(presence),
        )
        writer = EventWriter(
            engine,
            spool=default_spool(engine.url),
            snapshots=SnapshotStore(snapshots.folder) if snapshots.enabled else None,
            clock=clock,
            on_committed=on_committed,
            in_transaction=alerts.in_transaction,
        )
        pool = InferencePool(config.inference, on_score=to_presence, clock=clock)
        encode = partial(jpeg.encode, quality=snapshots.quality, max_side=snapshots.max_side)
        presence = PresenceRoom(
            config.cameras,
            on_message=writer.put,
            on_attention=to_capture,
            encode=encode if snapshots.enabled else None,
            model_id=pool.model_id,
        )
        capture = CaptureRoom(
            config.cameras,
            on_frame=to_pool,
            on_outage=on_outage,
            clock=clock,
            max_side=snapshots.max_side,
        )
        jobs = JobRoom(
            engine,
            config.retention,
            snapshots.folder,
            clock=clock,
            health=health,
        )
        rooms = Rooms(capture, pool, presence, writer, jobs, journal, alerts)
        status = DaemonStatus(config, rooms, self._watch, clock)
        return rooms, status

    def _take_over(self, engine: Engine, rooms: Rooms) -> None:
        """Resume or end what an earlier process left open, after writing what it spooled."""
        rooms.writer.replay_spool()
        watched = {
            (name, zone)
            for name, camera in self._config.cameras.items()
            if camera.enabled
            for zone in zone_settings(camera)
        }
        now = self._clock.now()
        rooms.presence.restore(open_occupancies(engine, watched, now), now)
