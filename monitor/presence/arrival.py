"""Whether somebody came: a score against what this very zone scores and shows when it is empty.

A network that knows thousands of places gives many persons 0.3 to 0.7, and some empty rooms, too.
A camera looks at one place. So a score counts for its own log-odds, and for these two, in
log-odds as well (a log-likelihood ratio: what is as likely with somebody as without adds nothing):

* *Gain*. With somebody, scores lie where they do anywhere; without, within `SPREADS` spreads of
  the zone's own level, unless something else came. By how far a score rises above that it counts
  for more: up to `GAIN`, for things that move look a little like persons, too; up to `STAYS` once
  somebody was told. It takes a change of the picture as well: a place that differs from the
  remembered empty picture and came with motion. What differs everywhere at once is the light,
  and nobody.
* *Loss*. Who enters moves. A zone that is not occupied, in which nothing has moved since it is
  watched, since the light changed, or for `MOVED_WITHIN`, and that shows nothing new, scores what
  it does for another reason: `LOSS` is taken off. A score that is nearly certain gets over that.

The level is a running median, the spread a running median deviation, neither of which a few
seconds of anything move. Both, and the empty picture, are learned for each light, slowly, of a
zone that is VACANT, scores what it did or what the background memory explains, and in which
nothing has moved for `CALM`; so who comes in is not learned. A zone that is not known yet has no
gain: there scores count for what they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import exp

import numpy as np

from monitor.clock import Stamp
from monitor.messages import Light
from monitor.presence.likeness import Grid, Luma, motion
from monitor.presence.stillness import LEAST, Stillness, largest

GAIN, STAYS, LOSS = 2.0, 4.5, 3.0
"""Log-odds that a change can add at most to a score that may be an arrival, and to that of who was
told already; and what the lack of any change takes off. `GAIN` weighs faint persons against things
that move: docs/presence.md has what other values cost."""

SPREADS, SLOPE = 1.5, 1.5
"""Spreads above the level from which a score is a rise, and log-odds for each one beyond."""

LEAST_SPREAD, PRIOR_SPREAD = 0.35, 0.6
"""The least spread, and that of a new level."""

KNOWN_AFTER = 15.0
"""Seconds for which an empty zone must have been seen to be known."""

FOLLOWS = 300.0
"""Time constant in seconds with which level, spread and picture follow the empty zone."""

RELUCTANT = 0.1
"""How much slower it follows scores that are unusual there: perhaps somebody stands still."""

CALM = 5.0
"""Seconds without motion after which an empty zone is learned."""

MOVED_WITHIN = 60.0
"""Seconds for which motion may be somebody's coming."""

SMALLEST, EVERYWHERE = 5, 0.6
"""Cells that must differ in one place, and the share of the picture that is everything."""

LONGEST = 5.0
"""Seconds that one look stands for at most."""

WEIGHED = "weighed"
"""Under which key of an event's settings its `Evidence` at the confirmation is noted."""


@dataclass(frozen=True, slots=True, eq=False)
class Empty:
    """The empty zone in one light. `level`, `spread`: log-odds. `picture`: float32 (56, 56).
    `seconds`: for how long it was seen."""

    level: float
    spread: float
    picture: Grid
    seconds: float = 0.0

    @property
    def known(self) -> bool:
        """Whether it was seen for long enough."""
        return self.seconds >= KNOWN_AFTER

    def rise(self, odds: float) -> float:
        """What a score that lies so far above the level adds at most, in log-odds."""
        return SLOPE * max((odds - self.level) / self.spread - SPREADS, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Acquaintance:
    """What is known of a zone, by light; of bounded size. `seen`: when it was looked at last.
    `light`, `lit`: its light, and since when that is as it is."""

    empty: Mapping[Light, Empty] = field(default_factory=dict)
    seen: Stamp | None = None
    light: Light | None = None
    lit: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a score counts for, in log-odds, and why.

    `odds`: its own. `gain`: what is added (above 0) or taken off. `level`, `spread`: those of the
    empty zone, None while it is not known. `changed`: share of the picture that differs from the
    empty one. `moved`: whether something moved of late.
    """

    odds: float
    gain: float = 0.0
    level: float | None = None
    spread: float | None = None
    changed: float = 0.0
    moved: bool = True

    @property
    def counts(self) -> float:
        """The probability that the score counts for."""
        return 1.0 / (1.0 + exp(-(self.odds + self.gain)))

    def noted(self) -> dict[str, float | bool | None]:
        """As it is noted with an event."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a zone. `odds`: of its score. `calm`: it is VACANT and nothing speaks against
    that. `occupied`: somebody is there. `comparable`: False while the light changes.
    `explained`: the background memory knows the score for that of a thing. `remembered`: level and
    spread of the empty zone that an earlier process knew, None if none did."""

    odds: float
    luma: Luma
    light: Light
    now: Stamp
    calm: bool
    occupied: bool
    comparable: bool
    explained: bool = False
    remembered: tuple[float, float] | None = None


def weigh(known: Acquaintance, still: Stillness, look: Look) -> tuple[Acquaintance, Evidence]:
    """Weigh a score against the empty zone, and learn that; `still`: this look included."""
    relit = known.light is not look.light or not look.comparable
    known = replace(known, lit=look.now if relit or known.lit is None else known.lit)
    assert known.lit is not None
    empty = known.empty.get(look.light)
    picture = look.luma.astype(np.float32)
    changed, place = _difference(picture, empty) if empty is not None else (0.0, 0)
    stirred = still.stirred
    moved = (
        stirred is not None and stirred >= known.lit and (look.now.since(stirred) <= MOVED_WITHIN)
    )
    familiar = empty if empty is not None and empty.known else None
    new = familiar is not None and place >= SMALLEST
    gain = 0.0
    if familiar is None and look.occupied and look.remembered is not None:
        # Only an event that a restart interrupted is open in a zone that was never seen empty.
        level, spread = look.remembered
        familiar = Empty(level, max(spread, LEAST_SPREAD), picture)
        gain = min(familiar.rise(look.odds), STAYS)
    elif familiar is not None and new and (look.occupied or (moved and changed <= EVERYWHERE)):
        gain = min(familiar.rise(look.odds), STAYS if look.occupied else GAIN)
    elif not look.occupied and not moved and not new:
        gain = -LOSS
    evidence = Evidence(
        look.odds,
        gain,
        familiar.level if familiar else None,
        familiar.spread if familiar else None,
        changed,
        moved,
    )
    return _learned(known, still, look, picture, changed), evidence


def forgotten(known: Acquaintance) -> Acquaintance:
    """After the camera was moved: nothing that was learned holds."""
    return Acquaintance(seen=known.seen)


def _difference(picture: Grid, empty: Empty) -> tuple[float, int]:
    """Share of the cells that differ from the empty picture, and how many do in one place."""
    cells = motion(picture, empty.picture).moved(2.0 * LEAST)
    share = float(np.count_nonzero(cells)) / cells.size
    return share, largest(cells) if share > 0.0 else 0


def _learned(
    known: Acquaintance, still: Stillness, look: Look, picture: Grid, changed: float
) -> Acquaintance:
    elapsed = min(look.now.since(known.seen), LONGEST) if known.seen is not None else 0.0
    known = replace(known, seen=look.now, light=look.light)
    since = still.still_since
    resting = since is not None and (still.stirred is None or look.now.since(since) >= CALM)
    if not (look.calm and look.comparable and resting):
        return known
    empty = known.empty.get(look.light)
    if empty is None or changed > EVERYWHERE:
        empty = Empty(look.odds, PRIOR_SPREAD, picture)
    else:
        empty = _followed(empty, look, picture, elapsed)
    return replace(known, empty={**known.empty, look.light: empty})


def _followed(empty: Empty, look: Look, picture: Grid, elapsed: float) -> Empty:
    """A mean of the first seconds, then a slow average; a median and a median deviation by
    steps that do not grow with the distance."""
    whole = empty.seconds + elapsed
    rate = max(elapsed / (whole + 2.0), 1.0 - exp(-elapsed / FOLLOWS))
    if empty.known and empty.rise(look.odds) > 0.0 and not look.explained:
        rate *= RELUCTANT
    off = look.odds - empty.level
    level = empty.level + rate * max(-2.0 * empty.spread, min(2.0 * empty.spread, off))
    wider = min(1.4826 * abs(off), 2.0 * empty.spread)
    spread = max(LEAST_SPREAD, empty.spread + rate * (wider - empty.spread))
    follow = np.float32(rate)
    return Empty(level, spread, empty.picture + follow * (picture - empty.picture), whole)
