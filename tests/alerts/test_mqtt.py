"""MQTT against Debian's mosquitto: alerts, states, last will and Home Assistant's discovery."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import Engine

from monitor.alerts.channels.home_assistant import announcements, object_id
from monitor.alerts.channels.mqtt import MqttChannel, ZoneReading
from monitor.clock import SystemClock
from monitor.config.channels import MqttConfig
from monitor.messages import PresenceState

from .broker import Broker, Listener
from .conftest import Line, came, configured, deliveries_in, until

OCCUPIED, VACANT, UNKNOWN = PresenceState.OCCUPIED, PresenceState.VACANT, PresenceState.UNKNOWN
Make = Callable[..., Line]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as broker:
        yield broker


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    with Listener(broker.port) as listener:
        yield listener


Connect = Callable[[MqttConfig], MqttChannel]


@pytest.fixture
def connect(ending: ExitStack) -> Connect:
    """Makes channels that are closed in the end; they may have been before."""
    return lambda config: ending.enter_context(closing(MqttChannel(config)))


def settings(broker: Broker, **more: Any) -> MqttConfig:
    return MqttConfig(host="127.0.0.1", port=broker.port, timeout=3.0, **more)


def rules(broker: Broker) -> dict[str, Any]:
    channel = {"mqtt": {"host": "127.0.0.1", "port": broker.port, "timeout": "2s"}}
    rule = {"on": "occupied", "channels": ["house"], "cooldown": 0}
    return {"rules": {"someone": rule}, "channels": {"house": channel}}


def test_an_alert_is_published_with_its_key(
    line: Make, broker: Broker, listener: Listener, engine: Engine
) -> None:
    line(configured(**rules(broker)), SystemClock()).tell(came("a"))
    until(lambda: "presence/alerts" in listener.latest)
    ((_, text, retained, pairs),) = [m for m in listener.messages if m[0] == "presence/alerts"]
    assert json.loads(text)["title"] == "dock/gate: somebody is here"
    assert not retained
    (row,) = deliveries_in(engine)
    assert pairs == {"idempotency-key": str(row.key)}


def test_alerts_outlast_a_broker_that_goes_and_comes_back(
    line: Make, broker: Broker, engine: Engine
) -> None:
    broker.stop()
    running = line(configured(**rules(broker)), SystemClock())
    running.tell(came("a"))
    until(lambda: "is not there" in running.room.stats().channels[0][0].trouble)
    broker.start()  # sent means: the broker said that it has it
    until(lambda: deliveries_in(engine)[0].state == "sent", 15)
    assert running.room.stats().channels[0][0].trouble == ""


def test_states_are_retained_and_unknown_is_unavailable(
    broker: Broker, listener: Listener, connect: Connect, ending: ExitStack
) -> None:
    channel = connect(settings(broker))
    channel.show([ZoneReading("dock", "gate", OCCUPIED, 0.974)], {})
    channel.probe()
    until(lambda: listener.latest.get("presence/status") == "online")
    assert listener.latest["presence/dock/gate/occupancy"] == "ON"
    assert listener.latest["presence/dock/gate/availability"] == "online"
    assert listener.latest["presence/dock/gate/score"] == "0.97"
    assert listener.latest["presence/dock/connectivity"] == "ON"
    channel.show([ZoneReading("dock", "gate", UNKNOWN, None)], {})
    until(lambda: listener.latest["presence/dock/connectivity"] == "OFF")
    assert listener.latest["presence/dock/gate/occupancy"] == "None"
    assert listener.latest["presence/dock/gate/availability"] == "offline"
    late = ending.enter_context(Listener(broker.port))
    until(lambda: late.latest.get("presence/dock/gate/occupancy") == "None")
    count = len(listener.messages)
    channel.show([ZoneReading("dock", "gate", UNKNOWN, None)], {})
    time.sleep(0.2)
    assert len(listener.messages) == count
    channel.close()
    until(lambda: listener.latest["presence/status"] == "offline")


def test_a_broker_that_forgot_learns_every_state_anew(
    broker: Broker, connect: Connect, ending: ExitStack
) -> None:
    channel = connect(settings(broker))
    channel.show([ZoneReading("dock", "gate", VACANT, 0.02)], {})
    channel.probe()
    broker.stop()  # nothing is persisted
    broker.start()
    listener = ending.enter_context(Listener(broker.port))
    until(lambda: listener.latest.get("presence/dock/gate/occupancy") == "OFF", 15)
    until(lambda: listener.latest.get("presence/status") == "online")


def test_the_last_will_says_offline_when_the_monitor_is_killed(
    broker: Broker, listener: Listener, ending: ExitStack
) -> None:
    script = (
        "import time\n"
        "from monitor.alerts.channels.mqtt import MqttChannel\n"
        "from monitor.config.channels import MqttConfig\n"
        f"MqttChannel(MqttConfig(host='127.0.0.1', port={broker.port})).probe()\n"
        "time.sleep(60)\n"
    )
    monitor = subprocess.Popen([sys.executable, "-c", script])
    ending.callback(monitor.wait)
    ending.callback(monitor.kill)
    until(lambda: listener.latest.get("presence/status") == "online", 20)
    monitor.kill()
    until(lambda: listener.latest["presence/status"] == "offline")


@pytest.mark.parametrize("connected_first", [True, False])
def test_home_assistant_finds_occupancy_score_and_connectivity(
    broker: Broker, listener: Listener, connect: Connect, connected_first: bool
) -> None:
    channel = connect(settings(broker))
    if connected_first:
        channel.probe()
        until(lambda: listener.latest.get("presence/status") == "online")
    channel.show([ZoneReading("dock", "gate", VACANT, 0.1)], {})
    channel.probe()
    until(lambda: listener.latest.get("presence/dock/connectivity") == "ON")
    until(lambda: listener.latest.get("presence/status") == "online")
    channel.close()
    found = {t: json.loads(v) for t, v in listener.latest.items() if t.endswith("/config")}
    assert set(found) == {
        "homeassistant/binary_sensor/presence/dock_connectivity/config",
        "homeassistant/binary_sensor/presence/dock_gate_occupancy/config",
        "homeassistant/sensor/presence/dock_gate_score/config",
    }
    occupancy = found["homeassistant/binary_sensor/presence/dock_gate_occupancy/config"]
    assert occupancy["device_class"] == "occupancy"
    assert occupancy["state_topic"] == "presence/dock/gate/occupancy"
    assert occupancy["availability"] == [
        {"topic": "presence/status"},
        {"topic": "presence/dock/gate/availability"},
    ]
    assert all(entity["state_topic"] in listener.latest for entity in found.values())


def test_schedules_are_shown_and_what_is_configured_no_longer_is_taken_back(
    broker: Broker, listener: Listener, connect: Connect, ending: ExitStack
) -> None:
    channel = connect(settings(broker))
    gate, yard = (ZoneReading("dock", zone, VACANT, 0.1) for zone in ("gate", "yard"))
    channel.show([gate, yard], {"nights": True})
    channel.probe()
    until(lambda: listener.latest.get("presence/schedules/nights/armed") == "ON")
    until(lambda: listener.latest.get("presence/dock/yard/occupancy") == "OFF")
    armed = "homeassistant/binary_sensor/presence/nights_armed/config"
    entity = json.loads(listener.latest[armed])
    assert entity["state_topic"] == "presence/schedules/nights/armed"
    channel.show([ZoneReading("dock", "gate", UNKNOWN, None)], {"nights": False})
    until(lambda: listener.latest["presence/schedules/nights/armed"] == "OFF")
    until(lambda: listener.latest["presence/dock/yard/occupancy"] == "")
    channel.show([ZoneReading("dock", "gate", UNKNOWN, None)], {})
    until(lambda: listener.latest[armed] == "")
    late = ending.enter_context(Listener(broker.port))
    until(lambda: late.latest.get("presence/dock/gate/occupancy") == "None")
    assert not [topic for topic in late.latest if "yard" in topic or "nights" in topic]
    assert late.latest["presence/dock/gate/score"] == "0.10"


def test_odd_names_stay_apart_and_fit_topics() -> None:
    assert object_id("dock-1_a") == "dock-1_a"
    assert object_id("a.b") != object_id("a_b")
    topics = [t for t, _ in announcements("ha", "x/y", [("ü.1", "a"), ("ü_1", "a")])]
    assert len(set(topics)) == 6
    assert all(part.isascii() for topic in topics for part in topic.split("/"))


# The library leaves a socket to the garbage collector when the certificate is refused.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_is_believed_by_its_certificate_only(
    tmp_path: Path, connect: Connect, ending: ExitStack
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    ca, key, chain = (tmp_path / name for name in ("ca.pem", "key.pem", "chain.pem"))
    authority.cert_pem.write_to_path(ca)
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    for path in (tmp_path, ca, key, chain):  # the broker gives its root rights up
        path.chmod(0o755)
    broker = ending.enter_context(
        Broker(tmp_path, f"certfile {chain}", f"keyfile {key}", "user root")
    )
    connect(settings(broker, tls=True, ca_file=ca)).probe()
    doubting = connect(settings(broker, tls=True))
    with pytest.raises(Exception, match="certificate"):
        doubting.probe()
