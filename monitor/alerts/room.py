"""The alerts room: told of every committed change, of outages and of time, it tells people.

writer's transaction ──in_transaction──▶ rules ──▶ outbox ──▶ one dispatcher a channel
ticker ──tick──▶ watches that came due, escalations ──▶ outbox
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Lock, Thread
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.alerts import outbox
from monitor.alerts.armament import Armament
from monitor.alerts.channels.mqtt import ZoneReading
from monitor.alerts.dispatcher import ChannelStats
from monitor.alerts.intake import Intake
from monitor.alerts.rules import Cause
from monitor.alerts.switchboard import Switchboard
from monitor.alerts.turnstile import Turnstile
from monitor.alerts.upkeep import Queue, count_queues
from monitor.alerts.watching import Watching
from monitor.clock import Clock, Stamp
from monitor.config import MonitorConfig
from monitor.config.alert_checks import zone_names
from monitor.config.alerts import AlertConfig, Trigger
from monitor.errors import MonitorError
from monitor.messages import (
    CameraHealth,
    HealthCategory,
    HealthKind,
    Outage,
    OutageReason,
    Progress,
    Transition,
)
from monitor.storage.database import explain, is_refused, writing
from monitor.telemetry import get_logger

LOOK_EVERY = 0.25
COUNT_EVERY = 2.0
"""Seconds between judging what is due and counting the queue."""

TAMPERING = frozenset({OutageReason.FROZEN, OutageReason.RESOLUTION_CHANGED})
"""Outages that may be somebody's doing."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AlertStats:
    """The room at a moment. `failures`: errors of alerting that cost an alert, not an event."""

    channels: tuple[tuple[ChannelStats, Queue], ...]
    failures: int


class AlertRoom:
    """Rules, outbox and channels of one configuration.

    `picture` reads the snapshot of an event, `readings` tells the state of every zone, for
    brokers. Give `in_transaction` to the event writer and call
    `on_committed` after its commits. Time passes by `tick`.
    """

    def __init__(
        self,
        engine: Engine,
        config: MonitorConfig,
        *,
        clock: Clock,
        picture: Callable[[UUID], bytes | None] = lambda _id: None,
        readings: Callable[[], Iterable[ZoneReading]] | None = None,
    ) -> None:
        self._engine = writing(engine)
        self._config = config.alerts
        self._clock = clock
        self._turnstile = Turnstile(needed=engine.dialect.name == "sqlite")
        self._readings = readings
        self.watching = _watching(config)
        self.intake = Intake(
            engine,
            config.alerts,
            zones=zone_names(config),
            watching=self.watching,
            clock=clock,
            wake=self._wake,
        )
        self._switchboard = Switchboard(
            engine,
            clock=clock,
            turnstile=self._turnstile,
            picture=picture,
            deliver=self.intake.message,
        )
        self._switchboard.configure(config.alerts.channels)
        self._armament = Armament(engine)
        self._armed: Mapping[str, bool] = {}
        self._lock = Lock()
        self._signs: list[Outage] = []
        self._queues: dict[str, Queue] = {}
        self._looked = self._counted = float("-inf")
        self._failures = 0
        self._unfamiliar = False
        self._stopping = Event()
        self._pulse = Thread(target=self._beat, name="alerts-watch", daemon=True)

    @property
    def config(self) -> AlertConfig:
        """The configuration in force."""
        return self._config

    def reconfigure(self, config: MonitorConfig) -> None:
        """Go by another configuration from now on; channels that stay as they were go on.

        What the old rules wait for is judged by the rules of the same name. May wait for a
        channel to end the try it is at.
        """
        self.watching = _watching(config)
        self._config = config.alerts
        self._unfamiliar = True
        self.intake.reconfigure(config.alerts, zone_names(config), self.watching)
        self._switchboard.configure(config.alerts.channels)

    def start(self, *, pulse: bool = True) -> None:
        """Take over what an earlier process left, once presence has resumed or ended it.

        With `pulse` a thread of the room calls `tick`, so that a slow database slows nothing
        else. Raises DatabaseError.
        """
        try:
            with Session(self._engine) as session, session.begin():
                self.watching.start(session, self._clock.now().utc)
        except SQLAlchemyError as error:
            raise explain(error, self._engine.url) from error
        self._switchboard.start()
        if pulse:
            self._pulse.start()

    def stop(self, timeout: float) -> bool:
        """End the channels after the tries in progress; what is owed stays owed."""
        self._stopping.set()
        if self._pulse.ident is not None:
            self._pulse.join(timeout)
        return self._switchboard.stop(timeout)

    def in_transaction(
        self, session: Session, message: Transition | Progress | CameraHealth
    ) -> None:
        """Write what the message alerts into the transaction that commits it.

        An error of the rules costs the alert and is counted, never the event; an error of the
        database is the writer's to deal with.
        """
        watching = self.watching
        if isinstance(message, Progress) or not watching.has_rules:
            return
        now = self._clock.now().utc
        for last_try in (False, True):
            try:
                with session.begin_nested():
                    if isinstance(message, CameraHealth):
                        watching.begin(session, _tampered(message), now)
                    else:
                        watching.on_transition(session, message, now)
            except IntegrityError as error:
                # The ticker has just written the same alert; the second look finds it.
                if last_try:
                    self._fail(error)
            except SQLAlchemyError as error:
                if not is_refused(error):
                    raise
                self._fail(error)
                return
            except Exception as error:  # noqa: BLE001 - see above: never the event
                self._fail(error)
                return
            else:
                return

    def on_committed(self) -> None:
        """A transaction of the writer is over: the channels look at once.

        Called on the writer's thread, where it may pause for a moment (see `turnstile`).
        """
        self._wake()
        self._turnstile.let_through()

    def _wake(self) -> None:
        self._switchboard.wake()

    def on_outage(self, outage: Outage) -> None:
        """A camera is not seen; signs of tampering are judged at the next tick."""
        if outage.reason in TAMPERING:
            with self._lock:
                self._signs.append(outage)

    def look_at_arming(self) -> None:
        """Tell which schedules are armed if that has changed: log, audit log, brokers.

        Call it every few seconds. Raises DatabaseError.
        """
        self._armed = self._armament.look(self._config, self._clock.now().utc)

    def tick(self, now: Stamp) -> None:
        """Judge what has come due, escalate, and now and then count."""
        if now.monotonic - self._looked < LOOK_EVERY:
            return
        self._looked = now.monotonic
        self._show()
        try:
            if self._judge(now.utc):
                self._wake()
            if now.monotonic - self._counted >= COUNT_EVERY:
                self._counted = now.monotonic
                self._count(now.utc)
                self._read_folder()
        except SQLAlchemyError as error:
            log.error("alerts wait for the database", reason=explain(error, self._engine.url).what)

    def stats(self) -> AlertStats:
        """How the channels fare and what they owe."""
        return AlertStats(
            channels=tuple(
                (stats, self._queues.get(stats.name, Queue()))
                for stats in self._switchboard.stats()
            ),
            failures=self._failures,
        )

    def _read_folder(self) -> None:
        try:
            self.intake.read_folder()
        except (MonitorError, OSError) as error:
            log.error("door events cannot be read", reason=str(error))

    def _beat(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            self.tick(self._clock.now())

    def _show(self) -> None:
        if self._readings is not None:
            self._switchboard.show(self._readings(), self._armed)

    def _judge(self, now: datetime) -> int:
        with self._lock:
            signs, self._signs = self._signs, []
        watching, unfamiliar = self.watching, self._unfamiliar
        try:
            with self._turnstile.writing(), Session(self._engine) as session, session.begin():
                if unfamiliar:
                    watching.adopt(session, now)
                watching.begin(session, map(_tampering, signs), now)
                done = watching.due(session, now)
                done += outbox.escalate(session, self._config, now) + len(signs)
            self._unfamiliar = watching is not self.watching
            return done
        except IntegrityError:
            log.info("an alert was written twice at once; looking again")
        except SQLAlchemyError:
            with self._lock:
                self._signs = signs + self._signs
            raise
        except Exception as error:  # noqa: BLE001 - one bad watch must not end the ticker
            self._fail(error)
        return 0

    def _count(self, now: datetime) -> None:
        with Session(self._engine.execution_options(writes=False)) as session:
            self._queues = count_queues(session, now)

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        log.error("an alert was lost to an error", exc_info=error)


def _watching(config: MonitorConfig) -> Watching:
    places = (name.partition("/") for name in zone_names(config))
    return Watching(config.alerts, [(camera, zone) for camera, _, zone in places])


def _tampered(health: CameraHealth) -> list[Cause]:
    """What happens to a picture, if it may be somebody's doing. A frozen one is an outage, too,
    and alerts as such."""
    tamper = health.kind.category is HealthCategory.TAMPER
    if not tamper or health.ended is not None or health.kind is HealthKind.FROZEN:
        return []
    detail = f"{health.kind}: {health.detail}" if health.detail else health.kind.value
    at = health.at.utc
    return [Cause(Trigger.TAMPER, health.camera, "", at, str(health.id), detail=detail)]


def _tampering(outage: Outage) -> Cause:
    at = outage.stamp.utc
    subject = f"{outage.camera}@{at.isoformat()}"
    detail = f"{outage.reason}: {outage.detail}" if outage.detail else outage.reason.value
    return Cause(Trigger.TAMPER, outage.camera, "", at, subject, detail=detail)
