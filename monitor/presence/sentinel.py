"""What happens to a camera's picture: runs its scene guards and tells people."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from uuid import UUID

from monitor.clock import Stamp
from monitor.config.guards import GuardConfig
from monitor.messages import CameraHealth, Frame, HealthKind, Outage, OutageReason
from monitor.presence.guards import Change, GuardState, Sight, guard

_WORDS = {
    HealthKind.COVERED: "nothing of the usual view is left",
    HealthKind.MOVED: "the view is another",
    HealthKind.DEFOCUSED: "the picture is blurred",
    HealthKind.LIGHT_SWITCHED: "the light changed at once",
    HealthKind.IR_SWITCHED: "infrared was switched on or off",
    HealthKind.CLUTTER: "something restless before the infrared lamp",
    HealthKind.DARK: "there is nothing to be seen",
}
_ACCEPTED = "the view stays another and is the usual one now"


class Sentinel:
    """The guards of one camera. Thread-safe.

    `tell` hears what begins and what is over, with one id for both; `forget` that the view is
    another for good, so that nothing that was learned of it holds.
    """

    def __init__(
        self,
        camera: str,
        settings: GuardConfig,
        *,
        tell: Callable[[CameraHealth], None],
        new_id: Callable[[], UUID],
        forget: Callable[[], None],
    ) -> None:
        self._camera = camera
        self._settings = settings
        self._tell = tell
        self._new_id = new_id
        self._forget = forget
        self._lock = Lock()
        self._state = GuardState()
        self._sight = Sight()
        self._open: dict[HealthKind, CameraHealth] = {}

    def retune(self, settings: GuardConfig) -> None:
        """Go by other settings from now on."""
        with self._lock:
            self._settings = settings

    def close(self, now: Stamp) -> None:
        """The camera is watched no more: what goes on is over."""
        with self._lock:
            for kind in list(self._open):
                self._end(kind, now, now)

    def look(self, frame: Frame) -> Sight:
        """How far the frame can be trusted; one that was looked at already gives the same."""
        with self._lock:
            if HealthKind.FROZEN in self._open:
                self._end(HealthKind.FROZEN, frame.stamp, frame.stamp)
            if frame.scene is None or not self._settings.enabled:
                return Sight()
            seen = self._state.seen
            if seen is not None and frame.stamp.monotonic <= seen.monotonic:
                return self._sight
            result = guard(self._state, frame.scene, frame.stamp, self._settings)
            self._state, self._sight = result.state, result.sight
            for change in result.changes:
                self._note(change)
            return self._sight

    def on_outage(self, outage: Outage) -> None:
        """A frozen picture is somebody's doing, perhaps."""
        if outage.reason is OutageReason.FROZEN:
            with self._lock:
                self._begin(HealthKind.FROZEN, outage.stamp, outage.stamp, outage.detail)

    def present(self) -> tuple[CameraHealth, ...]:
        """What goes on now, the oldest first."""
        with self._lock:
            return tuple(sorted(self._open.values(), key=lambda each: each.at))

    def _note(self, change: Change) -> None:
        if change.ended is None:
            self._begin(change.kind, change.at, change.confirmed, _WORDS[change.kind])
            return
        detail = _ACCEPTED if change.accepted else None
        self._end(change.kind, change.ended, change.confirmed, detail)
        if change.accepted:
            self._forget()

    def _begin(self, kind: HealthKind, at: Stamp, confirmed: Stamp, detail: str) -> None:
        if kind in self._open:
            return
        health = CameraHealth(self._new_id(), self._camera, kind, at, confirmed, detail=detail)
        self._open[kind] = health
        self._tell(health)

    def _end(
        self, kind: HealthKind, ended: Stamp, confirmed: Stamp, detail: str | None = None
    ) -> None:
        began = self._open.pop(kind, None)
        if began is not None:
            words = began.detail if detail is None else detail
            self._tell(
                CameraHealth(
                    began.id, self._camera, kind, began.at, confirmed, max(ended, began.at), words
                )
            )
