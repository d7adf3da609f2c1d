"""An MQTT 5 broker: alerts with QoS 1, and the retained state of every zone and camera.

    presence/status                      online | offline     birth, last will, clean stop
    presence/CAMERA/connectivity         ON | OFF             retained
    presence/CAMERA/ZONE/occupancy       ON | OFF | None      retained; None is unknown
    presence/CAMERA/ZONE/availability    online | offline     retained; offline while unknown
    presence/CAMERA/ZONE/score           0.97                 retained; diagnostics
    presence/schedules/NAME/armed        ON | OFF             retained
    presence/alerts                      JSON                 with the key as a user property

Every state is published again at each connect, so that a broker that forgot learns it anew. What
is retained of a zone or schedule that is configured no longer is taken back.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from monitor.alerts.channels.home_assistant import announcements
from monitor.alerts.network import tls_context
from monitor.alerts.notices import Notice, RefusedError, UnavailableError
from monitor.config.channels import MqttConfig
from monitor.messages import PresenceState
from monitor.telemetry import get_logger, redact

KEEP_ALIVE = 20
"""Seconds after which a silent connection is tried; the will comes after one and a half of it."""

ONLINE, OFFLINE = "online", "offline"
OCCUPANCY = {
    PresenceState.OCCUPIED: "ON",
    PresenceState.VACANT: "OFF",
    PresenceState.UNKNOWN: "None",
}

Deliver = Callable[[str, bytes], None]
"""Takes what came in: `doors` or `grants`, and its JSON."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ZoneReading:
    """A zone now; `score`: the network's last P(someone), None without a signal."""

    camera: str
    zone: str
    state: PresenceState
    score: float | None


@dataclass(slots=True)
class _Link:
    """One connection's life; a new one is made after a failure."""

    client: Client
    settled: threading.Event = field(default_factory=threading.Event)
    trouble: str = ""


class MqttChannel:
    """Implements `Channel`; `show` may be called from another thread and never blocks."""

    def __init__(
        self, settings: MqttConfig, *, trial: bool = False, deliver: Deliver | None = None
    ) -> None:
        self._settings = settings
        self._trial = trial
        self._deliver = deliver if settings.doors else None
        self._link: _Link | None = None
        self._lock = threading.Lock()
        self._shown: dict[str, str] = {}
        self._readings: tuple[ZoneReading, ...] = ()
        self._armed: Mapping[str, bool] = {}
        self._announced: tuple[object, ...] = ()
        self._announcements: list[tuple[str, str]] = []

    def probe(self) -> None:
        """Connect if that has not been done. Raises UnavailableError."""
        self._connected()

    def send(self, notice: Notice) -> None:
        """Publish the notice and wait for the broker's word that it has it."""
        client = self._connected().client
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = "application/json"
        properties.UserProperty = [("idempotency-key", str(notice.key))]
        body = json.dumps(notice.values(), ensure_ascii=False)
        topic = f"{self._settings.topic}/alerts"
        try:
            sent = client.publish(topic, body, qos=1, properties=properties)
            sent.wait_for_publish(self._settings.timeout)
            published = sent.is_published()
        except ValueError as error:
            raise RefusedError(f"MQTT cannot carry it: {error}") from error
        except RuntimeError as error:
            self._drop()
            raise UnavailableError(f"the broker was lost: {error}") from error
        if not published:
            self._drop()  # or the library would send it once more by itself
            raise UnavailableError("the broker did not confirm in time")

    def show(self, readings: Iterable[ZoneReading], armed: Mapping[str, bool]) -> None:
        """Publish what has changed of zones and schedules, if the broker is there."""
        with self._lock:
            self._readings, self._armed = tuple(readings), armed
        self._publish_states()

    def close(self) -> None:
        """Say goodbye: everything of this monitor becomes unavailable."""
        link = self._link
        if link is not None and link.client.is_connected() and not self._trial:
            goodbye = link.client.publish(self._status, OFFLINE, qos=1, retain=True)
            try:
                goodbye.wait_for_publish(2.0)
            except (RuntimeError, ValueError):
                log.debug("the broker left before the goodbye")
        self._drop()

    @property
    def _status(self) -> str:
        return f"{self._settings.topic}/status"

    def _connected(self) -> _Link:
        """The link, made and waited for. Raises UnavailableError."""
        link = self._link
        if link is None:
            link = self._link = self._open()
        if not link.client.is_connected():
            link.settled.wait(self._settings.timeout)
        if not link.client.is_connected():
            said = link.trouble or "it does not answer"
            self._drop()
            raise UnavailableError(f"the broker {self._settings.host} is not there: {said}")
        return link

    def _open(self) -> _Link:
        settings = self._settings
        suffix = f"-trial-{threading.get_native_id()}" if self._trial else ""
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id + suffix,
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        client.connect_timeout = settings.timeout
        client.reconnect_delay_set(1, 30)
        if settings.tls:
            client.tls_set_context(tls_context(settings.ca_file))
        if settings.username is not None:
            secret = settings.password.get_secret_value() if settings.password else None
            client.username_pw_set(settings.username, secret)
        if not self._trial:
            client.will_set(self._status, OFFLINE, qos=1, retain=True)
        link = _Link(client)
        client.on_connect = self._on_connect(link)
        client.on_disconnect = _on_disconnect(link)
        client.on_message = self._on_message
        try:
            client.connect(settings.host, settings.port, keepalive=KEEP_ALIVE)
        except (OSError, ValueError) as error:
            said = redact(str(error))
            raise UnavailableError(f"the broker {settings.host} is not there: {said}") from error
        client.loop_start()
        return link

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.client.disconnect()
            link.client.loop_stop()

    def _on_connect(self, link: _Link) -> Callable[..., None]:
        def on_connect(
            client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
        ) -> None:
            link.trouble = str(reason) if reason.is_failure else ""
            if not reason.is_failure and not self._trial:
                self._greet(client)
            link.settled.set()

        return on_connect

    def _greet(self, client: Client) -> None:
        """On the network's thread, at each connect: say everything anew, be online."""
        settings = self._settings
        with self._lock:
            self._shown.clear()
        if self._deliver is not None:
            client.subscribe([(f"{settings.topic}/doors", 1), (f"{settings.topic}/grants", 1)])
        self._publish_states(client)
        client.publish(self._status, ONLINE, qos=1, retain=True)

    def _publish_states(self, client: Client | None = None) -> None:
        link = self._link
        client = client or (link.client if link and link.client.is_connected() else None)
        if client is None or not self._settings.states:
            return
        with self._lock:
            told = dict(chain(self._entities(), self._states()))
            news = [(topic, value) for topic, value in told.items()
                    if self._shown.get(topic) != value]  # fmt: skip
            news += [(topic, "") for topic in self._outdated(told)]
            self._shown.update(news)
        for topic, value in news:
            client.publish(topic, value, qos=1, retain=True)

    def _states(self) -> Iterator[tuple[str, str]]:
        base = self._settings.topic
        yield from states(base, self._readings)
        for schedule, armed in self._armed.items():
            yield f"{base}/schedules/{schedule}/armed", "ON" if armed else "OFF"

    def _outdated(self, told: Collection[str]) -> Iterator[str]:
        """Topics that were published and mean nothing now; a score may be absent for a while."""
        base = self._settings.topic
        absent = {f"{base}/{each.camera}/{each.zone}/score" for each in self._readings}
        return (
            topic
            for topic, value in self._shown.items()
            if value and topic not in told and topic not in absent
        )

    def _entities(self) -> list[tuple[str, str]]:
        """The discovery messages of the zones and schedules known by now, made once for them."""
        zones = [(reading.camera, reading.zone) for reading in self._readings]
        prefix, known = self._settings.discovery, (*zones, *self._armed)
        if prefix and known != self._announced:
            self._announced = known
            self._announcements = [
                (topic, json.dumps(config, ensure_ascii=False))
                for topic, config in announcements(prefix, self._settings.topic, zones, self._armed)
            ]
        return self._announcements

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self._deliver is None or message.retain:
            return  # what a broker kept is no news
        try:
            self._deliver(message.topic.rpartition("/")[2], bytes(message.payload))
        except Exception:
            log.exception("a door message could not be taken", topic=message.topic)


def states(topic: str, readings: Iterable[ZoneReading]) -> Iterator[tuple[str, str]]:
    """Topics and payloads of the retained states."""
    seen: dict[str, bool] = {}
    for reading in readings:
        base, known = f"{topic}/{reading.camera}/{reading.zone}", reading.state
        visible = known is not PresenceState.UNKNOWN
        seen[reading.camera] = seen.get(reading.camera, False) or visible
        yield f"{base}/occupancy", OCCUPANCY[known]
        yield f"{base}/availability", ONLINE if visible else OFFLINE
        if reading.score is not None:
            yield f"{base}/score", f"{reading.score:.2f}"
    for camera, visible in seen.items():
        yield f"{topic}/{camera}/connectivity", "ON" if visible else "OFF"


def _on_disconnect(link: _Link) -> Callable[..., None]:
    def on_disconnect(
        _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        link.trouble = str(reason)
        link.settled.clear()

    return on_disconnect
