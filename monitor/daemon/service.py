"""The daemon's life: everything that can be refused is refused before anything is written.

The order of the start is the order of `Daemon._start`; the stop runs the other way round.
"""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from sqlalchemy import Engine

from monitor.clock import Clock, SystemClock
from monitor.config import MonitorConfig
from monitor.config.web import exposure
from monitor.daemon.handle import Handle, handle_path
from monitor.daemon.house import House
from monitor.daemon.record import note_configuration
from monitor.daemon.reload import Reloader
from monitor.daemon.status import Rooms
from monitor.errors import DatabaseError
from monitor.events.database import describe, open_database
from monitor.events.restart import open_occupancies
from monitor.events.schema import migrate
from monitor.presence import zone_settings
from monitor.storage.ownership import Ownership
from monitor.storage.upkeep import require_sound
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

    `file`: where the configuration came from, to be read again on SIGHUP; without it SIGHUP is
    ignored. Raises MonitorError from `run` when something it needs cannot be had.
    """

    def __init__(
        self, config: MonitorConfig, *, file: Path | None = None, clock: Clock | None = None
    ) -> None:
        self._config = config
        self._file = file
        self._clock = clock or SystemClock()
        self._stop = threading.Event()
        self._asked_to_reload = threading.Event()
        self._taken_over_by = ""

    def run(self) -> None:
        """Start everything, watch until SIGINT or SIGTERM, stop everything."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, lambda _number, _frame: self._asked_to_reload.set())
        with ExitStack() as stack:
            rooms = self._start(stack)
            while not self._stop.wait(TICK_EVERY):
                now = self._clock.now()
                rooms.presence.tick(now)
                rooms.recollection.tick(now)
        log.info("stopped")
        if self._taken_over_by:
            raise DatabaseError(
                f"another monitor took the database over: {self._taken_over_by}",
                where=describe(self._config.database.url.get_secret_value()),
                remedy="let one monitor work on a database",
            )

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        self._stop.set()

    def _on_lost(self, owner: str) -> None:
        self._taken_over_by = owner
        self._stop.set()

    def _start(self, stack: ExitStack) -> Rooms:
        """Start the rooms; `stack` stops them. Cameras come last: all behind them is ready."""
        server = self._listen(stack)
        engine = self._open_database(stack)
        house = House(self._config, engine, self._clock)
        rooms = house.rooms
        stack.callback(rooms.alerts.stop, ALERT_TIMEOUT)
        stack.callback(rooms.writer.stop, STOP_TIMEOUT)
        if rooms.history is not None:
            stack.callback(rooms.history.stop, STOP_TIMEOUT)
            rooms.history.start()
        stack.callback(rooms.learning.stop, STOP_TIMEOUT)
        rooms.learning.start()
        stack.callback(rooms.pool.stop)
        rooms.pool.start()
        self._take_over(engine, rooms)
        rooms.writer.start()
        rooms.writer.flush(STOP_TIMEOUT)  # rules are held against what is known to go on
        rooms.alerts.start()
        stack.callback(rooms.jobs.stop)
        rooms.jobs.start()
        if server is not None:
            server.start(
                create_app(
                    house.status,
                    house.book,
                    house.keeper,
                    intake=rooms.alerts.intake,
                    memory=engine,
                    alerts=lambda: rooms.alerts.config,
                    on_mark=house.on_mark,
                )
            )
        rooms.recollection.load()
        stack.callback(rooms.recollection.save)
        stack.callback(rooms.presence.checkpoint)
        stack.callback(rooms.capture.stop)
        stack.callback(rooms.photographer.stop)
        rooms.capture.start()
        if self._file is not None:
            self._listen_for_reloads(self._file, house, engine, stack)
        log.info(
            "watching",
            cameras=len(self._config.cameras),
            model=rooms.pool.model_id,
            database=describe(engine.url),
            dashboard=server.url if server else "off",
        )
        return rooms

    def _listen_for_reloads(
        self, file: Path, house: House, engine: Engine, stack: ExitStack
    ) -> None:
        """Be found by `reload`, and take other configurations while everything else runs."""
        handle = Handle(handle_path(engine.url), file)
        stack.callback(handle.release)
        handle.take()
        reloader = Reloader(file, house, engine, handle, asked=self._asked_to_reload)
        stack.callback(reloader.stop)
        reloader.start()

    def _listen(self, stack: ExitStack) -> WebServer | None:
        web = self._config.web
        if not web.enabled:
            return None
        if danger := exposure(web):
            log.warning("THE WEB PORT IS NOT SAFE", what=danger[0], remedy=danger[1])
        server = WebServer(web.host, web.port, tls=web.tls, trusted_proxies=web.trusted_proxies)
        stack.callback(server.stop)
        return server

    def _open_database(self, stack: ExitStack) -> Engine:
        url = self._config.database.url.get_secret_value()
        ownership = Ownership(url, on_lost=self._on_lost)
        stack.callback(ownership.release)
        ownership.take()
        require_sound(url)
        migrate(url)
        engine = open_database(url)
        stack.callback(engine.dispose)
        note_configuration(engine, self._config, how="start")
        return engine

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
