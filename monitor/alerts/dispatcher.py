"""One thread a channel: takes what is due, tries it, notes what came of it.

A delivery is noted as sent after it was sent, so a crash in between sends it again with the same
key. Deliveries of one zone go in order: while one waits for its next try, later ones wait too.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from monitor.alerts.backlog import Backlog, Due, Result
from monitor.alerts.limits import Breaker, Rate, backoff
from monitor.alerts.notices import Channel, RefusedError, UnavailableError
from monitor.alerts.outbox import DeliveryState
from monitor.alerts.turnstile import Turnstile
from monitor.clock import Clock
from monitor.storage.database import explain
from monitor.telemetry import get_logger, redact

NOTE_EVERY = 0.25
"""Seconds after which results are noted before the batch is over."""

PROBE_EVERY = 30.0
"""Seconds between two looks whether an idle channel's receiver can be reached."""

POLL = 1.0
"""Seconds between two looks when nobody says that there is something new."""

KEPT_LATENCIES = 1024

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """A channel since the start. `trouble`: why it does not work now; empty when it does.

    `latencies`: seconds from the alert (or the end of its gathering) to its delivery.
    """

    name: str
    kind: str
    trouble: str
    sent: int
    retried: int
    dead: int
    latencies: Sequence[float]


class Dispatcher:
    """Delivers what one channel owes."""

    def __init__(
        self,
        name: str,
        kind: str,
        channel: Channel,
        engine: Engine,
        *,
        clock: Clock,
        per_minute: float | None = None,
        picture: Callable[[UUID], bytes | None] = lambda _id: None,
        turnstile: Turnstile,
    ) -> None:
        self.name = name
        self._kind = kind
        self._channel = channel
        self._url = engine.url
        self._backlog = Backlog(engine, name, picture=picture, turnstile=turnstile)
        self._clock = clock
        self._breaker = Breaker(random.random)
        self._rate = Rate(per_minute)
        self._unsettled: list[Result] = []
        self._recovered = False
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alerts-{name}", daemon=True)
        self._trouble = self._unreachable = ""
        self._probed = float("-inf")
        self._sent = self._retried = self._dead = 0
        self._latencies: deque[float] = deque(maxlen=KEPT_LATENCIES)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Something new may be due."""
        self._news.set()

    def stop(self, timeout: float) -> bool:
        """End after the try in progress; whether that was in time."""
        self._stopping.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if not self._thread.is_alive() and timeout:
            self._channel.close()
        return not self._thread.is_alive()

    def stats(self) -> ChannelStats:
        """How it fares."""
        return ChannelStats(
            name=self.name,
            kind=self._kind,
            trouble=self._trouble or self._unreachable,
            sent=self._sent,
            retried=self._retried,
            dead=self._dead,
            latencies=list(self._latencies),
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                pause = self._turn()
            except SQLAlchemyError as error:
                log.error("the outbox cannot be used", channel=self.name,
                          reason=explain(error, self._url).what)  # fmt: skip
                pause = POLL
            except Exception:
                log.exception("a channel stumbled", channel=self.name)
                pause = 10 * POLL
            if pause > 0.0:
                self._news.wait(pause)

    def _now(self) -> float:
        return self._clock.now().monotonic

    def _turn(self) -> float:
        """Deliver one batch; seconds until the next look."""
        self._settle()
        if (wait := self._breaker.wait(self._now())) > 0.0:
            return wait
        self._probe()
        batch = self._due()
        blocked, noted = set[str](), self._now()
        for due in batch:
            if due.place in blocked:
                continue
            if not self._take_token():
                break
            if not self._try(due):
                blocked.add(due.place)
                if self._breaker.open:
                    break
            if self._now() - noted > NOTE_EVERY:
                self._settle()
                noted = self._now()
        self._settle()
        if self._breaker.open:
            return self._breaker.wait(self._now())
        return 0.0 if batch else POLL

    def _probe(self) -> None:
        """At the start and while it is idle: can the receiver be reached?"""
        if self._now() - self._probed < PROBE_EVERY:
            return
        self._probed = self._now()
        try:
            self._channel.probe()
        except Exception as error:  # noqa: BLE001 - as with a try: it is the channel's trouble
            said = redact(str(error))[:200]
            if not self._unreachable:
                log.warning("a channel cannot be reached", channel=self.name, reason=said)
            self._unreachable = said
        else:
            self._unreachable = ""

    def _take_token(self) -> bool:
        """Wait until the rate lets one more go; False when stopping."""
        while (wait := self._rate.wait(self._now())) > 0.0:
            if self._stopping.wait(wait):
                return False
        return not self._stopping.is_set()

    def _try(self, due: Due) -> bool:
        """One try; whether the zone's next one may follow."""
        try:
            self._channel.send(due.notice)
        except RefusedError as error:
            self._breaker.succeeded()
            self._note(due, DeliveryState.DEAD, self._clock.now().utc, f"refused: {error}")
            self._dead += 1
            log.error("an alert was refused", channel=self.name, alert=str(due.notice.id),
                      reason=redact(str(error)))  # fmt: skip
            return True
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the alert stays
            self._failed(due, error)
            return False
        now = self._clock.now().utc
        self._note(due, DeliveryState.SENT, now, "")
        self._sent += 1
        self._latencies.append((now - due.owed_since).total_seconds())
        if self._breaker.succeeded():
            self._recovered = True
            log.info("a channel works again", channel=self.name)
        self._trouble = self._unreachable = ""
        self._probed = self._now()
        return True

    def _failed(self, due: Due, error: Exception) -> None:
        known = isinstance(error, UnavailableError)
        said = redact(str(error) if known else f"{type(error).__name__}: {error}")[:200]
        self._breaker.failed(self._now())
        pause = backoff(due.attempts + 1, random.random)
        again = self._clock.now().utc + timedelta(seconds=pause)
        self._note(due, DeliveryState.PENDING, again, said)
        self._retried += 1
        if not self._trouble:
            log.warning("a channel does not work", channel=self.name, reason=said)
        self._trouble = said

    def _note(self, due: Due, state: DeliveryState, at: datetime, error: str) -> None:
        self._unsettled.append(Result(due.id, state, at, redact(error)[:255]))

    def _due(self) -> list[Due]:
        """What may be tried now; what is too old is noted as dead."""
        now = self._clock.now().utc
        found = self._backlog.due(now, trial=self._breaker.open)
        for due in found:
            if due.expires_at <= now:
                self._expire(due, now)
        return [due for due in found if due.expires_at > now]

    def _expire(self, due: Due, now: datetime) -> None:
        why = f"expired; {due.last_error}" if due.last_error else "expired"
        self._note(due, DeliveryState.DEAD, now, why)
        self._dead += 1
        log.error("an alert expired undelivered", channel=self.name, alert=str(due.notice.id))

    def _settle(self) -> None:
        """Note results; they stay in hand until the database has taken them."""
        if not self._unsettled and not self._recovered:
            return
        hurry_at = self._clock.now().utc if self._recovered else None
        self._backlog.settle(self._unsettled, hurry_at=hurry_at)
        self._unsettled.clear()
        self._recovered = False
