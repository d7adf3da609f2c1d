"""The channels of a configuration: one dispatcher each, and the brokers that show states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from uuid import UUID

from sqlalchemy import Engine

from monitor.alerts.channels.making import make_channel
from monitor.alerts.channels.mqtt import Deliver, MqttChannel, ZoneReading
from monitor.alerts.dispatcher import ChannelStats, Dispatcher
from monitor.alerts.notices import Channel
from monitor.alerts.turnstile import Turnstile
from monitor.clock import Clock
from monitor.config.channels import ChannelConfig

HANDOVER = 10.0
"""Seconds a channel that is configured anew gets to end the try it is at."""


@dataclass(frozen=True, slots=True)
class _Line:
    settings: ChannelConfig
    channel: Channel
    dispatcher: Dispatcher


class Switchboard:
    """Keeps the channels; `configure` may be called again at any time.

    `picture` reads the snapshot of an event; `deliver` takes the door messages of a broker.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        turnstile: Turnstile,
        picture: Callable[[UUID], bytes | None],
        deliver: Deliver,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._turnstile = turnstile
        self._picture = picture
        self._deliver = deliver
        self._lines: dict[str, _Line] = {}
        self._running = False
        self._changing = Lock()

    def configure(self, channels: Mapping[str, ChannelConfig]) -> None:
        """Have these channels from now on; those that are configured as before are left alone.

        What a channel owes stays owed. One that does not end in time is left to itself; what it
        sends then may come twice, with the same key.
        """
        with self._changing:
            before = self._lines
            kept = {
                name: line
                for name, line in before.items()
                if name in channels and line.settings == channels[name]
            }
            gone = [line.dispatcher for name, line in before.items() if name not in kept]
            self._lines = kept
            _end(gone, HANDOVER)
            self._lines = {
                name: kept.get(name) or self._line(name, settings)
                for name, settings in channels.items()
            }
            if self._running:
                for name in self._lines.keys() - kept.keys():
                    self._lines[name].dispatcher.start()

    def start(self) -> None:
        """Start delivering."""
        with self._changing:
            self._running = True
            for dispatcher in self._dispatchers:
                dispatcher.start()

    def stop(self, timeout: float) -> bool:
        """End after the tries in progress; whether that was in time."""
        with self._changing:
            self._running = False
            return _end(self._dispatchers, timeout)

    def wake(self) -> None:
        """Something new may be owed."""
        for dispatcher in self._dispatchers:
            dispatcher.wake()

    def show(self, readings: Iterable[ZoneReading], armed: Mapping[str, bool]) -> None:
        """Have brokers show the states of zones, and which schedules are armed."""
        readings = list(readings)
        for line in self._lines.values():
            if isinstance(line.channel, MqttChannel):
                line.channel.show(readings, armed)

    def stats(self) -> list[ChannelStats]:
        """How each channel fares."""
        return [dispatcher.stats() for dispatcher in self._dispatchers]

    @property
    def _dispatchers(self) -> list[Dispatcher]:
        return [line.dispatcher for line in self._lines.values()]

    def _line(self, name: str, settings: ChannelConfig) -> _Line:
        channel = make_channel(settings, deliver=self._deliver)
        dispatcher = Dispatcher(
            name,
            settings.kind,
            channel,
            self._engine,
            clock=self._clock,
            per_minute=settings.per_minute,
            picture=self._picture,
            turnstile=self._turnstile,
        )
        return _Line(settings, channel, dispatcher)


def _end(dispatchers: Iterable[Dispatcher], timeout: float) -> bool:
    """Tell all of them first, then wait for each."""
    dispatchers = list(dispatchers)
    for dispatcher in dispatchers:
        dispatcher.stop(0.0)
    ended = [dispatcher.stop(timeout) for dispatcher in dispatchers]
    return all(ended)
