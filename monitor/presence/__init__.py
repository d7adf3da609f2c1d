"""Presence: scores become confirmed states and occupancies."""

from __future__ import annotations

from monitor.presence.machine import Observation, Pending, Step, ZoneState, step, tick
from monitor.presence.room import PresenceRoom, zone_settings
from monitor.presence.tracker import ZoneStatus

__all__ = [
    "Observation",
    "Pending",
    "PresenceRoom",
    "Step",
    "ZoneState",
    "ZoneStatus",
    "step",
    "tick",
    "zone_settings",
]
