"""The presence room: scores of all cameras in, confirmed transitions out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import RLock
from uuid import UUID, uuid4

from monitor.clock import Stamp
from monitor.config.camera import CameraConfig
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
        self._places: dict[str, dict[str, _Place]] = {}
        self._sentinels: dict[str, Sentinel] = {}
        for camera, config in cameras.items():
            zones = zone_settings(config)
            watchfulness = Watchfulness(camera, zones, on_attention)
            self._sentinels[camera] = Sentinel(
                camera,
                config.guards,
                tell=on_health,
                new_id=new_id,
                forget=partial(self._forget, camera),
            )
            self._places[camera] = {
                zone: _Place(ZoneTracker(camera, zone, settings, self._around), zone, watchfulness)
                for zone, settings in zones.items()
            }

    def on_score(self, score: Score) -> None:
        """Take a score in."""
        zones = self._zones(score.camera)
        place = zones.get(score.zone)
        if place is None:
            raise LookupError(f"camera {score.camera!r} has no zone {score.zone!r}")
        sight = self._sentinels[score.camera].look(score.frame)
        with place.lock:
            place.tracker.on_score(score, sight)
            place.look(score.frame.stamp)

    def on_outage(self, outage: Outage) -> None:
        """A camera is not seen; the next score of a later picture ends it."""
        zones = self._zones(outage.camera)
        self._sentinels[outage.camera].on_outage(outage)
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
        for place in self._places[camera].values():
            with place.lock:
                place.tracker.forget()

    def _zones(self, camera: str) -> Mapping[str, _Place]:
        zones = self._places.get(camera)
        if zones is None:
            raise LookupError(f"there is no camera {camera!r}")
        return zones

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
