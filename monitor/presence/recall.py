"""The long memory as text, so that a restart does not forget what empty rooms score.

    {"version": 1, "zones": [{"camera": "dock", "zone": "frame", "levels": [
        {"light": "ir", "hour": 22, "mean": 0.85, "spread": 0.2, "seconds": 3600.0,
         "learned": "2026-03-01T22:59:58+00:00"}]}]}

Means and spreads are log-odds, hours are UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from monitor.messages import Light
from monitor.presence.background import Level, Levels, Slot

VERSION = 1

Known = Mapping[tuple[str, str], Levels]
"""Levels by camera and zone."""


def dump(known: Known) -> str:
    """What is known, as JSON."""
    zones = [
        {
            "camera": camera,
            "zone": zone,
            "levels": [_level_fields(slot, level) for slot, level in levels.items()],
        }
        for (camera, zone), levels in known.items()
        if levels
    ]
    return json.dumps({"version": VERSION, "zones": zones}, ensure_ascii=False)


def load(text: str) -> Known:
    """What `dump` wrote. Raises ValueError for anything else."""
    try:
        content = json.loads(text)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']} is not known")
        return {
            (str(zone["camera"]), str(zone["zone"])): dict(map(_level, zone["levels"]))
            for zone in content["zones"]
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is no memory of backgrounds: {error!r}") from error


def _level_fields(slot: Slot, level: Level) -> dict[str, Any]:
    light, hour = slot
    return {
        "light": light.value,
        "hour": hour,
        "mean": level.mean,
        "spread": level.spread,
        "seconds": level.seconds,
        "learned": level.learned.isoformat(),
    }


def _level(fields: Mapping[str, Any]) -> tuple[Slot, Level]:
    mean, spread, seconds = (float(fields[name]) for name in ("mean", "spread", "seconds"))
    learned, hour = datetime.fromisoformat(fields["learned"]), int(fields["hour"])
    finite = isfinite(mean) and isfinite(spread) and isfinite(seconds)
    if not finite or spread < 0.0 or seconds < 0.0 or learned.tzinfo is None or not 0 <= hour < 24:
        raise ValueError(f"is no level: {fields}")
    return (Light(fields["light"]), hour), Level(mean, spread, seconds, learned)
