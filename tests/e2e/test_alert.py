"""From pixels to people: somebody comes, and a real webhook and a real broker hear of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from alerts.broker import Broker, Listener
from alerts.receivers import Hook

from .conftest import wait_for
from .test_run import Start, camera

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as broker:
        yield broker


def shown(listener: Listener) -> list[str]:
    """Every occupancy that the broker was told, in order."""
    return [text for topic, text, *_ in listener.messages if topic.endswith("/occupancy")]


@pytest.mark.timeout(240)
def test_a_visit_alerts_by_webhook_and_broker(start: Start, footage: Path, broker: Broker) -> None:
    with Listener(broker.port) as listener, Hook() as hook:
        channels = {
            "hook": {
                "webhook": {
                    "url": hook.url, "allow": ["127.0.0.1"], "secret": SECRET, "snapshot": True,
                }
            },
            "house": {"mqtt": {"host": "127.0.0.1", "port": broker.port}},
        }  # fmt: skip
        rule = {"on": "occupied", "channels": ["hook", "house"], "severity": "critical",
                "armed": ["always"]}  # fmt: skip
        schedules = {"always": {"windows": ["daily 00:00-24:00"]}}
        alerts = {"rules": {"burglar": rule}, "channels": channels, "schedules": schedules}
        monitor = start({"dock": camera(footage)}, alerts=alerts)
        body = wait_for(lambda: hook.bodies, 60, "the webhook")[0]
        wait_for(lambda: "presence/alerts" in listener.latest, 20, "the broker's alert")
        wait_for(lambda: "ON" in shown(listener), 20, "occupancy at the broker")
        wait_for(lambda: shown(listener)[-1] == "OFF", 60, "left")
        wait_for(lambda: "presence/schedules/always/armed" in listener.latest, 20, "the schedule")
        (event,) = monitor.events()
        assert body["rule"] == "burglar"
        assert body["event_id"].replace("-", "") == str(event["id"]).replace("-", "")
        assert body["snapshot"].startswith("/9j/")
        headers, raw = hook.requests[-1][2], hook.requests[-1][3]
        stamp, _, signature = headers["X-Presence-Signature"].removeprefix("t=").partition(",v1=")
        signed = hmac.new(SECRET.encode(), f"{stamp}.".encode() + raw, hashlib.sha256)
        assert hmac.compare_digest(signed.hexdigest(), signature)
        assert listener.latest["presence/schedules/always/armed"] == "ON"
        assert "homeassistant/binary_sensor/presence/dock_frame_occupancy/config" in listener.latest
        (alert,) = httpx.get(f"{monitor.url}/api/alerts").json()["alerts"]
        assert alert["id"] == body["id"]
        wait_for(
            lambda: (
                httpx.get(f"{monitor.url}/api/alerts").json()["alerts"][0]["deliveries"]["sent"]
                == 2
            ),
            10,
            "both deliveries noted",
        )
        assert monitor.stop() == 0
        wait_for(lambda: listener.latest["presence/status"] == "offline", 10, "the goodbye")
    assert SECRET not in monitor.log.read_text()
