"""How many false events are allowed, and what so many hours of footage can prove of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import exp, inf

import numpy as np
from numpy.typing import NDArray

from monitor.errors import UsageError
from monitor.presence.metrics import poisson_bound
from monitor.review.trace import Numbers

_UNITS = {"h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0, "w": 604800.0}
_UNITS |= {"week": 604800.0, "month": 2629800.0, "year": 31557600.0}
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*([a-z]+)")

TOO_LITTLE = 0.01
"""Of the time that proves a budget: from less nothing is promised. Nobody can say of a week what
he has seen of it in ten minutes."""

ENOUGH = 20
"""Runs that describe a tail."""

USUAL_SCALE = 1.0
"""Log-odds within which runs become e times rarer, where nobody knows better."""

FEW = 5.0
"""How many runs that prejudice weighs."""


@dataclass(frozen=True, slots=True)
class Budget:
    """False events allowed: `events` in `seconds`, as written in `text`."""

    events: float
    seconds: float
    text: str

    @property
    def unit(self) -> str:
        """The unit of time, as written."""
        return self.text.partition("/")[2].strip()

    @property
    def rate(self) -> float:
        """False events a second."""
        return self.events / self.seconds

    @property
    def one_in(self) -> float:
        """Seconds in which the budget allows one false event."""
        return self.seconds / self.events

    @property
    def hours_to_prove(self) -> float:
        """Hours without a single false event that prove the budget with 95 %."""
        return poisson_bound(0) / self.rate / 3600.0

    def split(self, parts: int) -> Budget:
        """One of `parts` equal shares."""
        if parts == 1:
            return self
        return Budget(self.events / parts, self.seconds, f"{self.events / parts:.3g}/{self.unit}")


def parse_budget(text: str) -> Budget:
    """`1/week`, `2/day`, `0.5/h`. Raises UsageError for anything else, and for 0."""
    match = _BUDGET.fullmatch(text.strip().lower())
    unit = _UNITS.get(match[2], _UNITS.get(match[2].removesuffix("s"))) if match else None
    if match is None or unit is None or float(match[1]) <= 0.0:
        raise UsageError(
            f"{text!r} is no budget of false events",
            remedy="write 1/week, 2/day, 0.5/hour, 3/month; none at all cannot be proven",
        )
    return Budget(float(match[1]), unit, text.strip())


@dataclass(frozen=True, slots=True)
class Proof:
    """What the footage says. Rates are false events in the budget's unit of time.

    `hours`: of the footage, of which `known_hours` prove something: there it is known what the
    monitor takes the scores for. `bound`: the rate lies below it with 95 %; infinite if nothing is
    known. `proven`: that keeps the budget. `too_little`: so little is known that how often
    something is to be expected, that is never seen in it, is anybody's guess.
    """

    false_events: int
    hours: float
    known_hours: float
    rate: float
    bound: float
    proven: bool
    too_little: bool
    hours_to_prove: float


def prove(false_events: int, watched_s: float, budget: Budget, unknown_s: float = 0.0) -> Proof:
    """Of so many false events in so much time (Poisson), `unknown_s` of which prove nothing."""
    known_s = watched_s - unknown_s
    bound = poisson_bound(false_events) * budget.seconds / known_s if known_s > 0.0 else inf
    return Proof(
        false_events,
        watched_s / 3600.0,
        known_s / 3600.0,
        false_events * budget.seconds / watched_s,
        bound,
        bound <= budget.events,
        known_s / 3600.0 < TOO_LITTLE * budget.hours_to_prove,
        budget.hours_to_prove,
    )


@dataclass(frozen=True, slots=True)
class Tail:
    """How fast runs of hits become rare as the threshold rises, to look beyond what was seen.

    Above `edge` (log-odds) there were `count` runs in `watched_s` seconds; within `scale`
    log-odds they become e times rarer (an exponential tail, as for floods and storms).
    """

    edge: float
    count: float
    scale: float
    watched_s: float

    def rate(self, log_odds: float) -> float:
        """Runs a second to be expected at this threshold."""
        return self.count * exp(-max(log_odds - self.edge, 0.0) / self.scale) / self.watched_s


def tail_of(log_odds: Numbers, runs: NDArray[np.int64], watched_s: float) -> Tail:
    """The tail of run counts at rising thresholds.

    It begins at the highest threshold with at least ENOUGH runs. Its scale is their mean excess,
    held towards USUAL_SCALE as if FEW more had been seen there. Where nothing was seen at all, one
    run is taken to lie just below the lowest threshold.
    """
    many = np.flatnonzero(runs >= ENOUGH)
    first = int(many[-1]) if many.size else int(np.argmax(runs))
    count = float(runs[first])
    beyond = runs[first + 1 :] @ np.diff(log_odds[first:])
    excess = float(beyond) + 0.5 * count * float(np.diff(log_odds[first : first + 2]).sum())
    scale = (excess + FEW * USUAL_SCALE) / (count + FEW)
    return Tail(float(log_odds[first]), max(count, 1.0), scale, watched_s)
