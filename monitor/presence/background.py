"""What a zone scores when nobody is there: a pure function of (memory, score, time).

A coat on a hook may score 0.7 all night, and so may a person who sits. They are told apart by
what they do, not by what they score:

* Persons move within minutes, if only a hand; coats do not. A zone in which nothing stirred for
  `learn_after`, and whose scores kept to their level, shows things. That level is then *standing*:
  scores up to its ceiling are explained, and count as nobody.
* What was learned of a zone that was thought occupied is on probation: anything that stirs takes
  it back, until it has lasted `TRUSTED_AFTER`. Only then, or while the zone is VACANT anyway,
  does it reach the long memory: a level for each hour of the day and each light.
* A level that is known explains scores in an empty zone at once, unless something keeps moving
  there; in an occupied one after `still_for` without a stir. Who enters moves, and scores above
  the ceiling count whatever moves or does not.

A level follows what the still zone scores, so a coat that is taken away is forgotten. Within one
memory a higher score never counts for less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import exp, log, sqrt
from types import MappingProxyType

from monitor.clock import Stamp
from monitor.config.guards import BackgroundConfig
from monitor.messages import Light, PresenceState
from monitor.presence.stillness import Stillness

SURE, SURE_FACTOR = 0.95, 3.0
"""A score that is almost surely a person takes so many times longer to be taken for a thing."""

STEADY = 1.0
"""Standard deviation in log-odds up to which scores keep to their level."""

MARGIN, SPREADS, WIDEST = 1.0, 4.0, 2.5
"""A ceiling lies this far above its level in log-odds, or so many standard deviations, but no
more than `WIDEST`."""

TRUSTED_AFTER = 3600.0
"""Seconds of stillness after which what was learned of an occupied zone is beyond doubt."""

FOLLOWS = 1800.0
"""Time constant in seconds with which a level follows the scores of the still zone."""

FORGOTTEN_AFTER = timedelta(days=14)
"""Levels that nothing has confirmed for so long are not used any more."""

LARGEST = 7.0
"""Log-odds are limited to this: 0.9991."""

LONGEST = 5.0
"""Seconds that one score stands for at most."""

Slot = tuple[Light, int]
"""A light, and an hour of the day (UTC)."""


@dataclass(frozen=True, slots=True)
class Level:
    """What the zone scored, in log-odds: mean and standard deviation, over how many seconds,
    and when last.

    The deviation is that of the scores above the mean: a coat that is taken away lowers a level,
    and must not raise its ceiling meanwhile.
    """

    mean: float
    spread: float
    seconds: float
    learned: datetime

    @property
    def ceiling(self) -> float:
        """Log-odds up to which a score is explained."""
        return self.mean + min(max(MARGIN, SPREADS * self.spread), WIDEST)

    def followed(self, odds: float, seconds: float, now: datetime) -> Level:
        """The level after a score that stood for so long: a mean at first, then an average."""
        whole = self.seconds + seconds
        rate = max(seconds / whole, 1.0 - exp(-seconds / FOLLOWS)) if whole > 0.0 else 1.0
        step = odds - self.mean
        variance = (1.0 - rate) * (self.spread**2 + rate * 2.0 * max(step, 0.0) ** 2)
        return Level(self.mean + rate * step, sqrt(variance), whole, now)


Levels = Mapping[Slot, Level]
NOTHING: Levels = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a zone; of bounded size.

    `levels`: the long memory. `candidate`: the level of the present stillness. `standing`: the
    level that is taken for the background now; `doubtful`: on probation. `ceiling`: log-odds up to
    which scores are explained now, `explained`: that the last one was. `seen`: when it was.
    """

    levels: Levels = field(default_factory=dict)
    candidate: Level | None = None
    standing: Level | None = None
    doubtful: bool = False
    ceiling: float | None = None
    explained: bool = False
    seen: Stamp | None = None
    light: Light | None = None


@dataclass(frozen=True, slots=True)
class Weighed:
    """A score in the light of the memory.

    `score`: what it counts for. `recanted`: since when nobody was there, if this is the score
    that says so of a zone thought occupied.
    """

    memory: Memory
    score: float
    recanted: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Glance:
    """One score and all that it is weighed by. `odds`: its log-odds; `elapsed`: seconds that it
    stands for; `still`: what moved, this picture included."""

    odds: float
    elapsed: float
    now: Stamp
    still: Stillness
    light: Light
    presence: PresenceState

    @property
    def stillness(self) -> float:
        """Seconds for which nothing has moved."""
        since = self.still.still_since
        return self.now.since(since) if since is not None else 0.0


def weigh(
    memory: Memory,
    score: float,
    still: Stillness,
    now: Stamp,
    *,
    light: Light,
    presence: PresenceState,
    quiet: float,
    settings: BackgroundConfig,
) -> Weighed:
    """Weigh a score in [0, 1]; `quiet` is what a score that is explained counts for at most."""
    elapsed = min(now.since(memory.seen), LONGEST) if memory.seen is not None else 0.0
    glance = Glance(log_odds(score), elapsed, now, still, light, presence)
    before = memory
    memory = _in_doubt(memory, glance)
    memory = _noted(memory, glance, settings)
    level = _background(memory, glance, settings)
    explained = level is not None and glance.odds <= level.ceiling
    memory = _learned(memory, glance)
    recanted = None
    if explained and not before.explained and presence is PresenceState.OCCUPIED:
        recanted = still.still_since
    memory = replace(memory, seen=now, light=light, explained=explained)
    memory = replace(memory, ceiling=level.ceiling if level is not None else None)
    return Weighed(memory, min(score, quiet) if explained else score, recanted)


def forgotten(memory: Memory) -> Memory:
    """After the camera was moved: nothing that was learned holds."""
    return Memory(seen=memory.seen)


def _in_doubt(memory: Memory, glance: Glance) -> Memory:
    """Take back what motion disproves, and what was learned in another light."""
    still = glance.still
    other = memory.light is not glance.light
    if other or still.lively or (memory.doubtful and still.stirs):
        return replace(memory, candidate=None, standing=None, doubtful=False)
    return replace(memory, candidate=None) if still.stirs else memory


def _noted(memory: Memory, glance: Glance, settings: BackgroundConfig) -> Memory:
    """Count the score for this stillness, and take its level for the background if it lasted."""
    if glance.still.stirs or glance.still.still_since is None:
        return memory
    odds, elapsed, now = glance.odds, glance.elapsed, glance.now.utc
    found = (memory.candidate or Level(odds, 0.0, 0.0, now)).followed(odds, elapsed, now)
    memory = replace(memory, candidate=found)
    standing = memory.standing
    if standing is not None:
        if odds <= standing.ceiling:
            standing = standing.followed(odds, elapsed, now)
        doubtful = memory.doubtful and glance.stillness < TRUSTED_AFTER
        return replace(memory, standing=standing, doubtful=doubtful)
    needed = settings.learn_after * (SURE_FACTOR if found.mean >= log_odds(SURE) else 1.0)
    if found.spread > STEADY or found.seconds < needed:
        return memory
    doubtful = glance.presence is not PresenceState.VACANT
    return replace(memory, standing=found, doubtful=doubtful)


def _background(memory: Memory, glance: Glance, settings: BackgroundConfig) -> Level | None:
    """The level that explains scores now, if there is one."""
    occupied = glance.presence is PresenceState.OCCUPIED
    if glance.still.lively or (occupied and glance.stillness < settings.still_for):
        return None
    if memory.standing is not None:
        return memory.standing
    now = glance.now.utc
    return known(memory.levels, (glance.light, now.hour), now, settings)


def known(levels: Levels, slot: Slot, now: datetime, settings: BackgroundConfig) -> Level | None:
    """The highest level known of this hour and its neighbours, in this light."""
    light, hour = slot
    found = (levels.get((light, (hour + step) % 24)) for step in (-1, 0, 1))
    usable = [
        level
        for level in found
        if level is not None
        and level.seconds >= settings.learn_after
        and now - level.learned < FORGOTTEN_AFTER
    ]
    return max(usable, key=lambda level: level.ceiling, default=None)


def _learned(memory: Memory, glance: Glance) -> Memory:
    """Let the long memory follow a score of the still zone that shows nobody beyond doubt."""
    if glance.still.stirs or glance.still.lively or glance.elapsed <= 0.0 or memory.doubtful:
        return memory
    if glance.presence is not PresenceState.VACANT and memory.standing is None:
        return memory
    now = glance.now.utc
    slot = glance.light, now.hour
    level = memory.levels.get(slot) or Level(glance.odds, 0.0, 0.0, now)
    level = level.followed(glance.odds, glance.elapsed, now)
    return replace(memory, levels={**memory.levels, slot: level})


def log_odds(score: float) -> float:
    """The logarithm of the odds of a score in [0, 1], limited to `LARGEST`."""
    if score <= 0.0 or score >= 1.0:
        return LARGEST if score >= 1.0 else -LARGEST
    return max(-LARGEST, min(LARGEST, log(score / (1.0 - score))))
