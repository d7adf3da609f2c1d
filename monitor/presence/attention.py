"""How closely a camera must be looked at for presence to miss nothing.

While a zone is *settled*, a glance now and then finds every change, for the first score that
contradicts the state asks for more. A zone is unsettled while a change is pending, and while
its last score does not speak plainly for its state: the dead band, or the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.messages import Attention, PresenceState
from monitor.presence.machine import ZoneState


def settled(state: ZoneState, settings: PresenceConfig) -> bool:
    """Whether sparse scores suffice for this zone.

    So they do while the camera is not seen, or nothing is known of it: the next score decides.
    What `min_dwell` and `merge_within` hold back is no reason to look closely: the time they
    wait for passes by itself.
    """
    reading = state.reading
    if state.unseen is not None or reading is None or state.score is None:
        return True
    if state.hits is not None or state.clears is not None:
        return False
    evidence = settings.mode is PresenceMode.EVIDENCE
    if state.presence is PresenceState.OCCUPIED:
        steady = reading.drift == 0.0 if evidence else state.score >= settings.enter_threshold
        return reading.hit and steady
    if state.presence is PresenceState.VACANT:
        steady = reading.drift == 0.0 if evidence else state.score < settings.exit_threshold
        return reading.clear and steady
    return False


class Watchfulness:
    """One camera's need: dense as long as any of its zones is unsettled. Thread-safe."""

    def __init__(
        self, camera: str, zones: Iterable[str], tell: Callable[[Attention], None]
    ) -> None:
        self._camera = camera
        self._settled = dict.fromkeys(zones, True)
        self._tell = tell
        self._dense = False
        self._lock = Lock()

    def note(self, zone: str, settled: bool) -> None:
        """How a zone stands now; tells if that changes the camera's need."""
        with self._lock:
            self._settled[zone] = settled
            dense = not all(self._settled.values())
            if dense is self._dense:
                return
            self._dense = dense
            self._tell(Attention(self._camera, dense))
