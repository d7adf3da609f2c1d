"""What a zone makes of a score before the state machine sees it: motion, and the background."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

from monitor.clock import Stamp
from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.messages import PresenceState, Score
from monitor.presence import arrival, background, stillness
from monitor.presence.arrival import Acquaintance, Evidence, Look
from monitor.presence.background import Levels, Memory, Weighed, log_odds
from monitor.presence.guards import Sight
from monitor.presence.machine import FREE, Hold, Observation
from monitor.presence.reading import calibrated
from monitor.presence.stillness import Stillness

QUIET = 0.05
"""What a score that is explained by the background counts for at most."""

EVEN = 0.5
"""From here on a calibrated score speaks for somebody rather than for nobody."""


@dataclass(frozen=True, slots=True)
class Sensed:
    """A score as the machine is to see it.

    `unseeing`: it says nobody, of a picture that shows nothing (`blind`). `recanted`: since when
    nobody was there after all. `evidence`: what it counts for and why, None if its picture was not
    used.
    """

    observation: Observation
    hold: Hold = FREE
    unseeing: bool = False
    blind: bool = False
    recanted: Stamp | None = None
    evidence: Evidence | None = None


def came(counts: float, evidence: Evidence | None, settings: PresenceConfig) -> bool:
    """Whether something came that may be somebody. A belief has its own memory of that."""
    plain = settings.mode is PresenceMode.PLAIN
    gained = evidence is not None and evidence.gain > 0.0
    return plain and gained and counts >= settings.exit_threshold


class ZoneSense:
    """Remembers how a zone looks and scores when nobody is there. Not thread-safe."""

    def __init__(self, settings: PresenceConfig) -> None:
        self._settings = settings
        self._still = Stillness()
        self._memory = Memory()
        self._known = Acquaintance()

    def retune(self, settings: PresenceConfig) -> None:
        """Go by other settings from now on; what was learned stays."""
        self._settings = settings

    @property
    def levels(self) -> Levels:
        """The long memory."""
        return self._memory.levels

    def remember(self, levels: Levels) -> None:
        """Go on with the long memory of an earlier process."""
        self._memory = Memory(levels=dict(levels))

    def forget(self) -> None:
        """The camera was moved: nothing that was learned holds."""
        self._still = Stillness()
        self._memory = background.forgotten(self._memory)
        self._known = arrival.forgotten(self._known)

    @property
    def explained(self) -> float | None:
        """Up to which score the background explains what is seen; None if it does not now."""
        memory = self._memory
        if not memory.explained or memory.ceiling is None:
            return None
        return 1.0 / (1.0 + exp(-memory.ceiling))

    def sense(
        self, score: Score, at: Stamp, sight: Sight, presence: PresenceState, *, calm: bool
    ) -> Sensed:
        """Weigh a score whose value is in [0, 1]. `calm`: nothing speaks against VACANT."""
        weighed, evidence = self._weigh(score, at, sight, presence, calm)
        return Sensed(
            Observation(at, weighed.score, came=came(weighed.score, evidence, self._settings)),
            Hold(sight.hold_entries, sight.hold_exits),
            unseeing=sight.blind and not self._sees(weighed.score),
            blind=sight.blind,
            recanted=weighed.recanted,
            evidence=evidence,
        )

    def _sees(self, score: float) -> bool:
        """Whether a score speaks for somebody."""
        settings = self._settings
        if settings.mode is PresenceMode.EVIDENCE:
            return calibrated(score, settings.evidence.calibration) >= EVEN
        return score >= settings.enter_threshold

    def _weigh(
        self, score: Score, at: Stamp, sight: Sight, presence: PresenceState, calm: bool
    ) -> tuple[Weighed, Evidence | None]:
        scene = score.frame.scene
        luma = scene.zones.get(score.zone) if scene is not None else None
        if luma is None or not self._settings.background.enabled or sight.blind:
            return Weighed(self._memory, score.value), None
        self._still = stillness.look(
            self._still,
            luma,
            at,
            comparable=sight.comparable,
            vacant=presence is PresenceState.VACANT,
        )
        weighed = background.weigh(
            self._memory,
            score.value,
            self._still,
            at,
            light=sight.light,
            presence=presence,
            quiet=QUIET,
            settings=self._settings.background,
        )
        self._memory = weighed.memory
        slot = sight.light, at.utc.hour
        level = background.known(self._memory.levels, slot, at.utc, self._settings.background)
        look = Look(
            odds=log_odds(score.value),
            luma=luma,
            light=sight.light,
            now=at,
            calm=calm,
            occupied=presence is PresenceState.OCCUPIED,
            comparable=sight.comparable,
            explained=weighed.memory.explained,
            remembered=(level.mean, level.spread) if level is not None else None,
        )
        self._known, evidence = arrival.weigh(self._known, self._still, look)
        if not weighed.memory.explained and evidence.gain:
            weighed = replace(weighed, score=evidence.counts)
        return weighed, evidence
