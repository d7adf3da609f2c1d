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
somebody's coming takes (`enter_hits`). The glances of `exit_after` bear them out; where its end
falls between two of them, the machine takes it for over (`monitor.presence.machine`)."""


class Need(Enum):
    """What a zone needs."""

    RARE_GLANCES = auto()
    """Somebody is there, plainly: who stays need not be seen as often as who may come."""
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
        # What is left of `exit_after` is a wait for somebody's return.
        clear = state.score < (0.5 if evidence else settings.exit_threshold)
        sure = state.clears.count >= LEFT_FOR_SURE
        return Need.GLANCES if sure and clear else Need.PENDING
    if state.hits is not None or state.clears is not None:
        return Need.PENDING
    if state.presence is PresenceState.OCCUPIED:
        steady = reading.drift == 0.0 if evidence else state.score >= settings.enter_threshold
        return Need.RARE_GLANCES if reading.hit and steady else Need.DOUBTFUL
    if state.presence is PresenceState.VACANT:
        steady = reading.drift == 0.0 if evidence else state.score < settings.exit_threshold
        return Need.GLANCES if reading.clear and steady else Need.DOUBTFUL
    return Need.DOUBTFUL


class Watchfulness:
    """One camera's need: dense as long as any of its zones is unsettled, sparse while rare glances
    do for all of them. Thread-safe."""

    def __init__(
        self, camera: str, zones: Iterable[str], tell: Callable[[Attention], None]
    ) -> None:
        self._camera = camera
        self._needs = dict.fromkeys(zones, Need.GLANCES)
        self._doubtful: dict[str, Stamp] = {}
        self._tell = tell
        self._told = Attention(camera, dense=False)
        self._lock = Lock()

    def note(self, zone: str, need: Need, now: Stamp) -> None:
        """What a zone needs now; tells if that changes the camera's need."""
        with self._lock:
            self._needs[zone] = self._in_time(zone, need, now)
            needs = set(self._needs.values())
            attention = Attention(
                self._camera,
                dense=bool(needs & {Need.DOUBTFUL, Need.PENDING}),
                sparse=needs == {Need.RARE_GLANCES},
            )
            if attention != self._told:
                self._told = attention
                self._tell(attention)

    def _in_time(self, zone: str, need: Need, now: Stamp) -> Need:
        """The need; glances if it is a doubt that has lasted too long."""
        if need is not Need.DOUBTFUL:
            self._doubtful.pop(zone, None)
            return need
        lasted = now.since(self._doubtful.setdefault(zone, now))
        return need if lasted < DOUBT_LASTS else Need.GLANCES
