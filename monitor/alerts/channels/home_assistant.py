"""Home Assistant's MQTT discovery: entities of zones and cameras, in one device a camera, and of
the schedules, in one of the monitor.

A zone that is unknown is unavailable there, neither on nor off; connectivity stays available as
long as the monitor runs. Fields: https://www.home-assistant.io/integrations/mqtt/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from zlib import crc32

from monitor.version import __version__

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def announcements(
    prefix: str, topic: str, zones: Sequence[tuple[str, str]], schedules: Iterable[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Topic and configuration of every entity of the (camera, zone) pairs and the schedules."""
    node = object_id(topic)
    for schedule in schedules:
        yield _entity(
            f"{prefix}/binary_sensor/{node}/{object_id(schedule)}_armed",
            topic,
            None,
            name=f"{schedule} armed",
            unique=f"{schedule}_armed",
            state=f"{topic}/schedules/{schedule}/armed",
            icon="mdi:shield-home",
            payload_on="ON",
            payload_off="OFF",
        )
    for camera in dict.fromkeys(camera for camera, _ in zones):
        yield _entity(
            f"{prefix}/binary_sensor/{node}/{object_id(camera)}_connectivity",
            topic,
            camera,
            name="Connectivity",
            unique=f"{camera}_connectivity",
            state=f"{topic}/{camera}/connectivity",
            device_class="connectivity",
            entity_category="diagnostic",
            payload_on="ON",
            payload_off="OFF",
        )
    for camera, zone in zones:
        base, ident = f"{topic}/{camera}/{zone}", f"{object_id(camera)}_{object_id(zone)}"
        available = [f"{base}/availability"]
        yield _entity(
            f"{prefix}/binary_sensor/{node}/{ident}_occupancy",
            topic,
            camera,
            available,
            name=f"{zone} occupancy",
            unique=f"{camera}_{zone}_occupancy",
            state=f"{base}/occupancy",
            device_class="occupancy",
            payload_on="ON",
            payload_off="OFF",
        )
        yield _entity(
            f"{prefix}/sensor/{node}/{ident}_score",
            topic,
            camera,
            available,
            name=f"{zone} score",
            unique=f"{camera}_{zone}_score",
            state=f"{base}/score",
            state_class="measurement",
            entity_category="diagnostic",
            suggested_display_precision=2,
        )


def object_id(name: str) -> str:
    """A name as Home Assistant's topics take it; different names stay different."""
    if _PLAIN.fullmatch(name):
        return name
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)}_{crc32(name.encode()):08x}"


def _entity(
    where: str,
    topic: str,
    camera: str | None,
    available: Iterable[str] = (),
    *,
    name: str,
    unique: str,
    state: str,
    **more: Any,
) -> tuple[str, dict[str, Any]]:
    config = {
        "name": name,
        "unique_id": f"{topic}_{unique}",
        "state_topic": state,
        "availability": [{"topic": each} for each in (f"{topic}/status", *available)],
        "availability_mode": "all",
        "device": {
            "identifiers": [f"{topic}_{camera}" if camera else topic],
            "name": camera or "Presence monitor",
            "manufacturer": "Presence monitor",
            "sw_version": __version__,
        },
        "origin": {"name": "presence-monitor", "sw_version": __version__},
        **more,
    }
    return f"{where}/config", config
