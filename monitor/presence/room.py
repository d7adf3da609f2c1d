"""The presence room: scores of all cameras in, confirmed transitions out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import RLock
from uuid import UUID, uuid4

from monitor.clock import Stamp
from monitor.config.camera import CameraConfig
from monitor.config.guards import GuardConfig
from monitor.config.presence import PresenceConfig
from monitor.messages import (
    WHOLE_FRAME,
    Attention,
    CameraHealth,
    EndReason,
    OpenOccupancy,
    Outage,
    Photo,
    Progress,
    Score,
    Transition,
)
from monitor.presence.attention import Watchfulness
from monitor.presence.background import Levels
from monitor.presence.occupancy import Encode, rebased
from monitor.presence.sense import Sensed
from monitor.presence.sentinel import Sentinel
from monitor.presence.tracker import Surroundings, ZoneStatus, ZoneTracker, ending

PROGRESS_EVERY = 5.0
"""Seconds between two Progress messages of an occupancy: what a crash may cost its summary."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A tracker and the lock that guards it. Reentrant: a listener may ask for `statuses()`."""

    tracker: ZoneTracker
    zone: str
    watchfulness: Watchfulness
    lock: RLock = field(default_factory=RLock)

    def look(self, now: Stamp) -> None:
        """Tell how closely the zone must be looked at now; call with the lock held."""
        self.watchfulness.note(self.zone, self.tracker.need, now)


class PresenceRoom:
    """Keeps a tracker for every zone of every camera.

    May be called from any thread. Messages of one zone are emitted in order, from the thread
    that brought the news, so `on_message` must not block. `on_attention` hears, under the same
    terms, when a camera must be looked at closely and when no longer, `on_health` what happens to
    its picture, and `on_peak` which camera
    shows more of an open occupancy than before, so that a photo is worth taking. `encode` makes
    the JPEG of a picture (None keeps no pictures), `new_id` names an event. Naming a camera or
    zone that the
    configuration does not have raises LookupError; scores that come late are counted and
    ignored.
    """

    def __init__(
        self,
        cameras: Mapping[str, CameraConfig],
        *,
        on_message: Callable[[Transition | Progress], None],
        on_attention: Callable[[Attention], None] = lambda _attention: None,
        on_health: Callable[[CameraHealth], None] = lambda _health: None,
        on_peak: Callable[[str], None] = lambda _camera: None,
        encode: Encode | None = None,
        model_id: str = "",
        new_id: Callable[[], UUID] = uuid4,
        progress_every: float = PROGRESS_EVERY,
    ) -> None:
        self._around = Surroundings(on_message, new_id, encode, model_id, progress_every, on_peak)
        self._on_attention = on_attention
        self._on_health = on_health
        self._sentinels = {
            name: self._sentinel(name, config.guards) for name, config in cameras.items()
        }
        self._places = {
            name: self._camera(name, config, {}, None) for name, config in cameras.items()
        }
        self._former: set[tuple[str, str]] = set()

    def reconfigure(
        self, cameras: Mapping[str, CameraConfig], ended: Collection[tuple[str, str]], now: Stamp
    ) -> None:
        """Go by these settings from now on; what is open goes on where nothing speaks against it.

        The zones in `ended`, and those that are no longer there, are closed: their events end
        with `config_changed`. Those that are still there begin anew, with pictures after `now`.
        """
        before, sentinels = self._places, self._sentinels
        gone = [
            (camera, zone)
            for camera, zones in before.items()
            for zone in zones
            if (camera, zone) in ended
            or camera not in cameras
            or zone not in zone_settings(cameras[camera])
        ]
        for camera, zone in gone:
            place = before[camera][zone]
            with place.lock:
                place.tracker.close(now)
        kept = {
            camera: {zone: place for zone, place in zones.items() if (camera, zone) not in gone}
            for camera, zones in before.items()
        }
        self._former |= set(gone)
        self._sentinels = {
            name: sentinels.get(name) or self._sentinel(name, config.guards)
            for name, config in cameras.items()
        }
        self._places = {
            name: self._camera(name, config, kept.get(name, {}), now)
            for name, config in cameras.items()
        }
        for name, sentinel in sentinels.items():
            if name in cameras:
                sentinel.retune(cameras[name].guards)
            else:
                sentinel.close(now)

    def on_score(self, score: Score) -> None:
        """Take a score in."""
        place = self._zones(score.camera).get(score.zone)
        sentinel = self._sentinels.get(score.camera)
        if place is None or sentinel is None:
            if (score.camera, score.zone) in self._former:
                return  # its picture was on its way when the configuration changed
            raise LookupError(f"camera {score.camera!r} has no zone {score.zone!r}")
        sight = sentinel.look(score.frame)
        with place.lock:
            place.tracker.on_score(score, sight)
            place.look(score.frame.stamp)

    def on_outage(self, outage: Outage) -> None:
        """A camera is not seen; the next score of a later picture ends it."""
        zones = self._zones(outage.camera)
        sentinel = self._sentinels.get(outage.camera)
        if sentinel is not None:
            sentinel.on_outage(outage)
        for place in zones.values():
            with place.lock:
                place.tracker.on_outage(outage.stamp)
                place.look(outage.stamp)

    def on_photo(self, photo: Photo) -> None:
        """A better picture of the camera: it shows the occupancies that are plain just now."""
        for place in self._zones(photo.camera).values():
            with place.lock:
                place.tracker.illustrate(photo.picture)

    def tick(self, now: Stamp) -> None:
        """Let time pass: zones that were not seen for `max_gap` become UNKNOWN."""
        for place in self._everywhere():
            with place.lock:
                place.tracker.tick(now)
                place.look(now)

    def restore(self, found: Iterable[OpenOccupancy], now: Stamp) -> None:
        """Take over the occupancies found open at start; call before the first score.

        One last seen less than its zone's `max_gap` ago goes on (state OCCUPIED, pending GAP)
        if a score comes in time. Others end when they were last seen: `restart`, or
        `config_changed` if there is no such zone any more. Only `utc` of their stamps counts.
        """
        resumed: set[tuple[str, str]] = set()
        for occupancy in sorted(found, key=lambda each: each.started.utc, reverse=True):
            place = self._places.get(occupancy.camera, {}).get(occupancy.zone)
            where = occupancy.camera, occupancy.zone
            if place is None:
                self._end(occupancy, now, EndReason.CONFIG_CHANGED)
            elif where in resumed or not self._young(occupancy, place, now):
                self._end(occupancy, now, EndReason.RESTART)
            else:
                resumed.add(where)
                with place.lock:
                    place.tracker.resume(rebased(occupancy, now))

    def checkpoint(self) -> None:
        """Send a Progress of every open occupancy: before a stop that a restart may follow."""
        for place in self._everywhere():
            with place.lock:
                place.tracker.checkpoint()

    def finish(self, reason: EndReason, now: Stamp) -> None:
        """Watch no longer: end every open occupancy with `reason` at its last evidence."""
        for place in self._everywhere():
            with place.lock:
                place.tracker.finish(reason, now)

    def statuses(self) -> list[ZoneStatus]:
        """What is known of every zone, in the order of the configuration."""
        statuses = []
        for place in self._everywhere():
            with place.lock:
                statuses.append(place.tracker.status())
        return statuses

    def sensed(self, camera: str, zone: str) -> Sensed | None:
        """What the zone's last score was taken for, and why; None before the first."""
        place = self._zones(camera).get(zone)
        if place is None:
            return None
        with place.lock:
            return place.tracker.sensed

    def health(self) -> tuple[CameraHealth, ...]:
        """What happens to the cameras' pictures now, in the order of the configuration."""
        return tuple(each for guard in self._sentinels.values() for each in guard.present())

    def backgrounds(self) -> dict[tuple[str, str], Levels]:
        """What each zone, by camera and name, is known to score when nobody is there."""
        known = {}
        for camera, zones in self._places.items():
            for zone, place in zones.items():
                with place.lock:
                    known[camera, zone] = place.tracker.levels
        return known

    def remember(self, known: Mapping[tuple[str, str], Levels]) -> None:
        """Take over what `backgrounds` of an earlier process said; call before the first score."""
        for (camera, zone), levels in known.items():
            place = self._places.get(camera, {}).get(zone)
            if place is not None:
                with place.lock:
                    place.tracker.remember(levels)

    def _forget(self, camera: str) -> None:
        for place in self._places.get(camera, {}).values():
            with place.lock:
                place.tracker.forget()

    def _sentinel(self, camera: str, settings: GuardConfig) -> Sentinel:
        return Sentinel(
            camera,
            settings,
            tell=self._on_health,
            new_id=self._around.new_id,
            forget=partial(self._forget, camera),
        )

    def _camera(
        self, camera: str, config: CameraConfig, kept: Mapping[str, _Place], since: Stamp | None
    ) -> dict[str, _Place]:
        """The camera's places: those kept under their new settings, and new ones."""
        zones = zone_settings(config)
        if kept.keys() == zones.keys():
            for zone, settings in zones.items():
                with kept[zone].lock:
                    kept[zone].tracker.retune(settings)
            return {zone: kept[zone] for zone in zones}
        watchfulness = Watchfulness(camera, zones, self._on_attention)
        if since is not None:  # the new one begins with that
            self._on_attention(Attention(camera, dense=False))
        places = {}
        for zone, settings in zones.items():
            if (place := kept.get(zone)) is not None:
                with place.lock:
                    place.tracker.retune(settings)
                places[zone] = _Place(place.tracker, zone, watchfulness, place.lock)
            else:
                tracker = ZoneTracker(camera, zone, settings, self._around, since=since)
                places[zone] = _Place(tracker, zone, watchfulness)
        return places

    def _zones(self, camera: str) -> Mapping[str, _Place]:
        """The places of a camera; of one that is watched no more, none."""
        zones = self._places.get(camera)
        if zones is None and all(camera != name for name, _ in self._former):
            raise LookupError(f"there is no camera {camera!r}")
        return zones or {}

    def _everywhere(self) -> Iterator[_Place]:
        for zones in self._places.values():
            yield from zones.values()

    def _end(self, found: OpenOccupancy, now: Stamp, reason: EndReason) -> None:
        self._around.emit(ending(found, now, reason, self._around.model_id))

    @staticmethod
    def _young(found: OpenOccupancy, place: _Place, now: Stamp) -> bool:
        """Younger than the gap by the wall clock, which may have been set back a little."""
        age = (now.utc - found.seen.utc).total_seconds()
        return abs(age) < place.tracker.max_gap and found.started.utc <= now.utc


def zone_settings(camera: CameraConfig) -> dict[str, PresenceConfig]:
    """The presence settings of each zone; without polygons, of the whole frame."""
    if not camera.zones:
        return {WHOLE_FRAME: camera.presence}
    return {name: zone.presence for name, zone in camera.zones.items()}
