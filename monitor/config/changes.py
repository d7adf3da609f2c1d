"""What differs between two configurations, and what of it can be had without a restart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.config.base import ConfigModel
from monitor.config.camera import CameraConfig
from monitor.config.root import MonitorConfig
from monitor.messages import WHOLE_FRAME

HOT = frozenset({"cameras", "defaults", "alerts", "learning", "logging", "retention"})
"""Sections that a running monitor can exchange; every other one takes a restart."""

HOT_KEYS = {"web": frozenset({"users", "tokens", "sessions", "public_metrics", "allowed_hosts"})}
"""Keys that can be exchanged of sections that cannot as a whole."""

Place = tuple[str, str]
"""Camera and zone."""


@dataclass(frozen=True, slots=True)
class Changes:
    """From one configuration to another. Cameras are in the order of the configuration.

    `started`, `stopped`: cameras that are read from now on, or no longer. `reopened`: cameras
    whose source, zones or decoding changed, so that their readers begin anew. `retuned`: cameras
    that only judge otherwise, by other thresholds for example; nobody reads them anew. `ended`:
    zones that are gone, off, or show something else; their events end. `sections`: the other
    sections that can be exchanged and differ. `restart`: keys that differ and stay as they were
    until a restart.
    """

    started: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    reopened: tuple[str, ...] = ()
    retuned: tuple[str, ...] = ()
    ended: frozenset[Place] = frozenset()
    sections: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        cameras = self.started or self.stopped or self.reopened or self.retuned
        return bool(cameras or self.ended or self.sections)


def compare(before: MonitorConfig, after: MonitorConfig) -> Changes:
    """What has to happen for `after` to be in force instead of `before`."""
    old, new, reached = before.cameras, after.cameras, in_force(before, after)
    on = {name for name, camera in new.items() if camera.enabled}
    was_on = {name for name, camera in old.items() if camera.enabled}
    both = [name for name in new if name in on & was_on]
    reopened = tuple(name for name in both if _reading(old[name]) != _reading(new[name]))
    return Changes(
        started=tuple(name for name in new if name in on - was_on),
        stopped=tuple(name for name in old if name in was_on - on),
        reopened=reopened,
        retuned=tuple(name for name in both if name not in reopened and old[name] != new[name]),
        ended=frozenset(_ended(old, new)),
        sections=tuple(
            name
            for name in MonitorConfig.model_fields
            if name not in {"cameras", "defaults"}
            and getattr(before, name) != getattr(reached, name)
        ),
        restart=tuple(
            key
            for name in MonitorConfig.model_fields
            if name not in HOT
            for key in _differing(name, getattr(reached, name), getattr(after, name))
        ),
    )


def in_force(before: MonitorConfig, after: MonitorConfig) -> MonitorConfig:
    """`after`, with everything that takes a restart as it is in `before`."""
    kept = {name: getattr(before, name) for name in MonitorConfig.model_fields if name not in HOT}
    for name, keys in HOT_KEYS.items():
        hot = {key: getattr(getattr(after, name), key) for key in keys}
        kept[name] = kept[name].model_copy(update=hot)
    return after.model_copy(update=kept)


def _reading(camera: CameraConfig) -> dict[str, Any]:
    """All that the reader of a camera goes by."""
    aside: dict[str, Any] = {
        "enabled": True,
        "presence": True,
        "guards": True,
        "source": {"snapshot_url"},
        "zones": {"__all__": {"presence"}},
    }
    return camera.model_dump(exclude=aside)


def _ended(old: Mapping[str, CameraConfig], new: Mapping[str, CameraConfig]) -> Iterator[Place]:
    for name, camera in old.items():
        after = new.get(name)
        shown = _shown(after) if after is not None and after.enabled else {}
        if camera.enabled:
            yield from (
                (name, zone) for zone, sight in _shown(camera).items() if shown.get(zone) != sight
            )


def _shown(camera: CameraConfig) -> dict[str, Any]:
    """What each zone shows the network."""
    polygons: dict[str, Any] = {name: zone.polygon for name, zone in camera.zones.items()}
    return {
        name: (camera.view, polygon, camera.privacy_masks)
        for name, polygon in (polygons or {WHOLE_FRAME: None}).items()
    }


def _differing(path: str, before: Any, after: Any) -> Iterator[str]:
    """The dotted names of the values that differ."""
    if before == after:
        return
    if not isinstance(before, ConfigModel):
        yield path
        return
    for name in type(before).model_fields:
        yield from _differing(f"{path}.{name}", getattr(before, name), getattr(after, name))
