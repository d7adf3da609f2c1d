"""The alerts room: told of every committed change, of outages and of time, it tells people.

writer's transaction ──in_transaction──▶ rules ──▶ outbox ──▶ one dispatcher a channel
ticker ──tick──▶ watches that came due, escalations ──▶ outbox
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Lock, Thread
from uuid import UUID

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.alerts import outbox
from monitor.alerts.channels.making import make_channel
from monitor.alerts.channels.mqtt import MqttChannel, ZoneReading
from monitor.alerts.dispatcher import ChannelStats, Dispatcher
from monitor.alerts.intake import Intake
from monitor.alerts.models import AlertRow, DeliveryRow, DoorRow, GrantRow
from monitor.alerts.outbox import DeliveryState
from monitor.alerts.rules import Cause
from monitor.alerts.turnstile import Turnstile
from monitor.alerts.watching import Watching
from monitor.clock import Clock, Stamp
from monitor.config import MonitorConfig
from monitor.config.alert_checks import zone_names
from monitor.config.alerts import Trigger
from monitor.errors import MonitorError
from monitor.messages import Outage, OutageReason, Progress, Transition
from monitor.storage.database import explain, is_refused, writing
from monitor.telemetry import get_logger

LOOK_EVERY = 0.25
COUNT_EVERY = 2.0
CLEAN_EVERY = 3600.0
"""Seconds between judging what is due, counting the queue, and deleting what is old."""

TAMPERING = frozenset({OutageReason.FROZEN, OutageReason.RESOLUTION_CHANGED})
"""Outages that may be somebody's doing."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Queue:
    """What a channel owes: deliveries pending and dead, and the age in seconds of the oldest."""

    pending: int = 0
    dead: int = 0
    oldest: float = 0.0


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
        zones = [(camera, zone) for camera, _, zone in (
            name.partition("/") for name in zone_names(config))]  # fmt: skip
        self.watching = Watching(config.alerts, zones)
        self.intake = Intake(
            engine,
            config.alerts,
            zones=zone_names(config),
            watching=self.watching,
            clock=clock,
            wake=self._wake,
        )
        channels = {
            name: make_channel(settings, deliver=self.intake.message)
            for name, settings in config.alerts.channels.items()
        }
        self._shows = [each for each in channels.values() if isinstance(each, MqttChannel)]
        self._readings = readings
        self._dispatchers = [
            Dispatcher(
                name,
                settings.kind,
                channels[name],
                engine,
                clock=clock,
                per_minute=settings.per_minute,
                picture=picture,
                turnstile=self._turnstile,
            )
            for name, settings in config.alerts.channels.items()
        ]
        self._lock = Lock()
        self._outages: dict[str, Outage] = {}
        self._signs: list[Outage] = []
        self._queues: dict[str, Queue] = {}
        self._looked = self._counted = self._cleaned = float("-inf")
        self._failures = 0
        self._stopping = Event()
        self._pulse = Thread(target=self._beat, name="alerts-watch", daemon=True)

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
        for dispatcher in self._dispatchers:
            dispatcher.start()
        if pulse:
            self._pulse.start()

    def stop(self, timeout: float) -> bool:
        """End the channels after the tries in progress; what is owed stays owed."""
        self._stopping.set()
        if self._pulse.ident is not None:
            self._pulse.join(timeout)
        for dispatcher in self._dispatchers:
            dispatcher.stop(0.0)
        ended = [dispatcher.stop(timeout) for dispatcher in self._dispatchers]
        return all(ended)

    def in_transaction(self, session: Session, message: Transition | Progress) -> None:
        """Write what the message alerts into the transaction that commits it.

        An error of the rules costs the alert and is counted, never the event; an error of the
        database is the writer's to deal with.
        """
        if not isinstance(message, Transition) or not self._config.rules:
            return
        now = self._clock.now().utc
        for last_try in (False, True):
            try:
                with session.begin_nested():
                    self.watching.on_transition(session, message, now)
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
        for dispatcher in self._dispatchers:
            dispatcher.wake()

    def on_outage(self, outage: Outage) -> None:
        """A camera is not seen; signs of tampering are judged at the next tick."""
        with self._lock:
            self._outages[outage.camera] = outage
            if outage.reason in TAMPERING:
                self._signs.append(outage)

    def tick(self, now: Stamp) -> None:
        """Judge what has come due, escalate, and now and then count and clean up."""
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
            if now.monotonic - self._cleaned >= CLEAN_EVERY:
                self._cleaned = now.monotonic
                self._clean(now.utc)
        except SQLAlchemyError as error:
            log.error("alerts wait for the database", reason=explain(error, self._engine.url).what)

    def stats(self) -> AlertStats:
        """How the channels fare and what they owe."""
        return AlertStats(
            channels=tuple(
                (dispatcher.stats(), self._queues.get(dispatcher.name, Queue()))
                for dispatcher in self._dispatchers
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
        if self._shows and self._readings is not None:
            readings = list(self._readings())
            for channel in self._shows:
                channel.show(readings)

    def _judge(self, now: datetime) -> int:
        with self._lock:
            signs, self._signs = self._signs, []
        try:
            with self._turnstile.writing(), Session(self._engine) as session, session.begin():
                self.watching.begin(session, map(_tampering, signs), now)
                done = self.watching.due(session, now)
                return done + outbox.escalate(session, self._config, now) + len(signs)
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
        query = (
            select(
                DeliveryRow.channel,
                DeliveryRow.state,
                func.count(),
                func.min(DeliveryRow.created_at),
            )
            .where(DeliveryRow.state != DeliveryState.SENT.value)
            .group_by(DeliveryRow.channel, DeliveryRow.state)
        )
        with Session(self._engine.execution_options(writes=False)) as session:
            rows = session.execute(query).all()
        counts = {(channel, state): (count, oldest) for channel, state, count, oldest in rows}
        for dispatcher in self._dispatchers:
            pending, since = counts.get((dispatcher.name, DeliveryState.PENDING.value), (0, now))
            dead, _ = counts.get((dispatcher.name, DeliveryState.DEAD.value), (0, now))
            age = max(0.0, (now - since).total_seconds()) if pending else 0.0
            self._queues[dispatcher.name] = Queue(pending, dead, age)

    def _clean(self, now: datetime) -> None:
        """Delete what is older than `alerts.keep`; the audit log stays."""
        oldest = now - timedelta(seconds=self._config.keep)
        owed = select(DeliveryRow.alert_id).where(DeliveryRow.state == DeliveryState.PENDING.value)
        with Session(self._engine) as session, session.begin():
            session.execute(
                delete(AlertRow).where(AlertRow.at < oldest, AlertRow.id.not_in(owed)),
                execution_options={"synchronize_session": False},
            )
            session.execute(delete(DoorRow).where(DoorRow.at < oldest))
            session.execute(delete(GrantRow).where(GrantRow.until < oldest))

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        log.error("an alert was lost to an error", exc_info=error)


def _tampering(outage: Outage) -> Cause:
    at = outage.stamp.utc
    subject = f"{outage.camera}@{at.isoformat()}"
    detail = f"{outage.reason}: {outage.detail}" if outage.detail else outage.reason.value
    return Cause(Trigger.TAMPER, outage.camera, "", at, subject, detail=detail)
