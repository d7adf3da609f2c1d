"""How closely a camera must be looked at for presence to miss nothing.

While a zone is *settled*, a glance now and then finds every change, for the first score that
contradicts the state asks for more. A zone is unsettled while a change is pending, and while
its last score does not speak plainly for its state: the dead band, or the other side. A doubt
that nothing comes of does not last for ever, though: a zone whose scores stay in the dead band
tells no more at 25 frames a second than at one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from threading import Lock

from monitor.clock import Stamp
from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.messages import Attention, PresenceState
from monitor.presence.machine import ZoneState

DOUBT_LASTS = 10.0
"""Seconds of doubt, without a change that is pending, after which glances do."""


LEFT_FOR_SURE = 3
"""Clear looks in a row after which an exit that is still pending needs glances only: as many as
somebody's coming takes (`enter_hits`). The glances of `exit_after` bear them out."""

NEARLY_OVER = 1.0
"""Seconds of `exit_after` left from which on an exit is watched closely again. Its end would fall
between two glances, the next of which may show the next visitor, and nobody would have left."""


class Need(Enum):
    """What a zone needs."""

    GLANCES = auto()
    """It is settled."""
    DOUBTFUL = auto()
    """Its last score does not speak plainly for its state."""
    PENDING = auto()
    """A change is pending."""


def need_of(state: ZoneState, settings: PresenceConfig) -> Need:
    """What this zone needs now.

    Glances do while the camera is not seen, or nothing is known of it: the next score decides.
    What `min_dwell` and `merge_within` hold back is no reason to look closely: the time they
    wait for passes by itself.
    """
    reading = state.reading
    if state.unseen is not None or reading is None or state.score is None:
        return Need.GLANCES
    evidence = settings.mode is PresenceMode.EVIDENCE
    if state.presence is PresenceState.OCCUPIED and state.clears is not None:
        # What is left of a long `exit_after` is a wait for somebody's return.
        lasted = state.seen.since(state.clears.since) if state.seen is not None else 0.0
        sure = state.clears.count >= LEFT_FOR_SURE
        waiting = sure and lasted < settings.exit_after - NEARLY_OVER
        clear = state.score < (0.5 if evidence else settings.exit_threshold)
        return Need.GLANCES if waiting and clear else Need.PENDING
    if state.hits is not None or state.clears is not None:
        return Need.PENDING
    plain = False
    if state.presence is PresenceState.OCCUPIED:
        steady = reading.drift == 0.0 if evidence else state.score >= settings.enter_threshold
        plain = reading.hit and steady
    elif state.presence is PresenceState.VACANT:
        steady = reading.drift == 0.0 if evidence else state.score < settings.exit_threshold
        plain = reading.clear and steady
    return Need.GLANCES if plain else Need.DOUBTFUL


class Watchfulness:
    """One camera's need: dense as long as any of its zones is unsettled. Thread-safe."""

    def __init__(
        self, camera: str, zones: Iterable[str], tell: Callable[[Attention], None]
    ) -> None:
        self._camera = camera
        self._dense = dict.fromkeys(zones, False)
        self._doubtful: dict[str, Stamp] = {}
        self._tell = tell
        self._told = False
        self._lock = Lock()

    def note(self, zone: str, need: Need, now: Stamp) -> None:
        """What a zone needs now; tells if that changes the camera's need."""
        with self._lock:
            self._dense[zone] = self._in_doubt(zone, need, now) or need is Need.PENDING
            dense = any(self._dense.values())
            if dense is self._told:
                return
            self._told = dense
            self._tell(Attention(self._camera, dense))

    def _in_doubt(self, zone: str, need: Need, now: Stamp) -> bool:
        if need is not Need.DOUBTFUL:
            self._doubtful.pop(zone, None)
            return False
        return now.since(self._doubtful.setdefault(zone, now)) < DOUBT_LASTS
