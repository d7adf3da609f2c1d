"""A real MQTT broker, Debian's mosquitto, and somebody who listens to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def require_broker() -> str:
    """The broker's program; without it CI fails and other runs skip loudly."""
    if PROGRAM is None:
        what = "mosquitto is not installed: run scripts/system-deps.sh"
        if os.environ.get("CI"):
            pytest.fail(what)
        pytest.skip(what)
    return PROGRAM


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """Starts on a port of its own; `more` are lines of its configuration."""

    def __init__(self, folder: Path, *more: str) -> None:
        self._program = require_broker()
        self.port = free_port()
        self._file = folder / f"broker-{self.port}.conf"
        self._file.write_text(
            "\n".join([f"listener {self.port} 127.0.0.1", "allow_anonymous true", *more]) + "\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    pytest.fail("the broker does not start")
                time.sleep(0.05)
            else:
                return

    def stop(self, *, gently: bool = False) -> None:
        if self._process is not None:
            if gently:  # it writes what it keeps
                self._process.terminate()
                self._process.wait(20)
            self._process.kill()
            self._process.wait()
            self._process = None


class Listener:
    """Hears everything; keeps the latest payload of each topic and all messages.

    `lasting`: the broker keeps for it what comes while it is away.
    """

    def __init__(self, port: int, *, lasting: bool = False) -> None:
        self.latest: dict[str, str] = {}
        self.messages: list[tuple[str, str, bool, dict[str, str]]] = []
        self._ready = threading.Event()
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id="listener", protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = self._on_message
        self.client.reconnect_delay_set(1, 1)
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600 if lasting else 0
        self.client.connect("127.0.0.1", port, clean_start=not lasting, properties=session)
        self.client.loop_start()
        if not self._ready.wait(10):
            self.stop()
            pytest.fail("the broker does not let anybody listen")

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        text = message.payload.decode()
        pairs = dict(getattr(message.properties, "UserProperty", []))
        self.latest[message.topic] = text
        self.messages.append((message.topic, text, message.retain, pairs))

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
