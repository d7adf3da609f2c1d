"""What one score says in the light of those before it. Two ways of reading, one result.

*Plain*: an exponential moving average over scores, compared with two thresholds.

*Evidence*: a two-state forward filter. It holds a belief P(someone | all scores so far). Between
two scores the belief drifts towards what is usual (`usual_absence`, `usual_stay`: a Markov chain
with these mean times). Each score then adds its log-odds, limited to those of `strongest`, and
discounted for being like the one before: noise with correlation time T makes the n-th picture
worth tanh(elapsed / 2T) of an independent one (the effective sample size of an AR(1) sequence,
n (1 - r) / (1 + r) with r = exp(-elapsed / T)). So five seconds of evidence weigh the same at 2
and at 25 frames a second. Scores are taken for what `calibration` says they mean: 0.5 for "no
idea".

Both are monotone: a higher score never lowers the level, so more evidence never delays.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1, log, tanh
from operator import itemgetter

from monitor.config.presence import (
    CalibrationConfig,
    EvidenceConfig,
    PresenceConfig,
    PresenceMode,
)

SURE = 1e-12
"""Beliefs keep this far from 0 and 1, so that their log-odds stay finite."""

_FURTHEST = 700.0
"""Log-odds whose exponential is a number still."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`level`: the average, or the belief, in [0, 1].

    `hit`, `clear`: the level speaks for somebody, for nobody; neither in the dead band.
    `rising`: this score belongs to a rise that may become an occupancy. `present`: it still
    shows somebody. `drift`: log-odds gathered since a rise (above 0) or a fall (below 0) began;
    0 in plain mode.
    """

    level: float
    hit: bool
    clear: bool
    rising: bool
    present: bool
    drift: float = 0.0


def thresholds(settings: PresenceConfig) -> tuple[float, float]:
    """The levels at which a zone is entered and left."""
    if settings.mode is PresenceMode.EVIDENCE:
        return settings.evidence.enter_belief, settings.evidence.exit_belief
    return settings.enter_threshold, settings.exit_threshold


def read(
    score: float,
    before: Reading | None,
    elapsed: float,
    *,
    occupied: bool,
    settings: PresenceConfig,
) -> Reading:
    """Read a score `elapsed` seconds after `before` (None: nothing is remembered)."""
    if settings.mode is PresenceMode.EVIDENCE:
        return _believe(score, before, elapsed, occupied, settings)
    return _average(score, before, elapsed, settings)


def _average(
    score: float, before: Reading | None, elapsed: float, settings: PresenceConfig
) -> Reading:
    enter, leave = settings.enter_threshold, settings.exit_threshold
    level = score
    if before is not None and settings.smoothing > 0.0:
        # In this form a constant score stays exactly itself, also when it equals a threshold.
        level = before.level - expm1(-elapsed / settings.smoothing) * (score - before.level)
    hit, clear = level >= enter, level < leave
    # The first hit of a run has a high raw score, too: an average never exceeds what it averages.
    return Reading(level, hit, clear, hit or score >= enter, not clear and score >= leave)


def _believe(
    score: float, before: Reading | None, elapsed: float, occupied: bool, settings: PresenceConfig
) -> Reading:
    evidence = settings.evidence
    usual = evidence.usual_stay / (evidence.usual_stay + evidence.usual_absence)
    worth, prior, drift = 1.0, usual, 0.0
    if before is not None:
        worth = tanh(elapsed / (2.0 * evidence.correlation)) if evidence.correlation else 1.0
        rate = 1.0 / evidence.usual_stay + 1.0 / evidence.usual_absence
        prior = usual + (before.level - usual) * exp(-elapsed * rate)
        drift = before.drift
    proof = worth * _proof(score, evidence)
    level = _probability(_log_odds(prior) + proof)
    hit, clear = level >= evidence.enter_belief, level < evidence.exit_belief
    if occupied:
        # A fall begins where the evidence was last at its height; the occupancy ends there.
        drift = min(min(drift, 0.0) + proof, 0.0)
        return Reading(
            level, hit, clear, rising=False, present=drift == 0.0 and not clear, drift=drift
        )
    # A rise begins where the evidence was last at its lowest: the change point of a CUSUM.
    drift = max(max(drift, 0.0) + proof, 0.0)
    return Reading(level, hit, clear, hit or drift > 0.0, proof > 0.0, drift)


def calibrated(score: float, calibration: CalibrationConfig) -> float:
    """P(someone | score) at this site; never falling while the score rises."""
    if calibration.table:
        return _between(score, calibration.table)
    if calibration.slope == 1.0 and calibration.offset == 0.0:
        return score
    odds = calibration.slope * _log_odds(score) + calibration.offset
    return _probability(min(max(odds, -_FURTHEST), _FURTHEST))


def _between(score: float, table: Sequence[tuple[float, float]]) -> float:
    place = bisect_right(table, score, key=itemgetter(0))
    if place == 0 or place == len(table):
        return table[max(place - 1, 0)][1]
    (left, low), (right, high) = table[place - 1 : place + 1]
    return low + (high - low) * (score - left) / (right - left)


def _proof(score: float, evidence: EvidenceConfig) -> float:
    meant = calibrated(score, evidence.calibration)
    return _log_odds(min(max(meant, 1.0 - evidence.strongest), evidence.strongest))


def _log_odds(probability: float) -> float:
    held = min(max(probability, SURE), 1.0 - SURE)
    return log(held / (1.0 - held))


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + exp(-log_odds))
