"""How scores become presence."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from monitor.config.base import ConfigModel, Duration
from monitor.config.guards import BackgroundConfig

THRESHOLD_ORDER = "threshold_order"
"""Error type of thresholds that contradict each other."""


Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class PresenceMode(StrEnum):
    """How scores are weighed."""

    PLAIN = "plain"
    """An average over scores, compared with thresholds."""
    EVIDENCE = "evidence"
    """A belief that gathers the log-odds of scores."""


class CalibrationConfig(ConfigModel):
    """What the network's scores mean at this site: P(someone | score), found by `calibrate`.

    By `table` if there is one, else the logistic of `slope` times the score's log-odds plus
    `offset` (Platt). The default leaves scores as they are.
    """

    slope: float = Field(default=1.0, gt=0.0, le=100.0)
    """How much the score's log-odds are stretched."""

    offset: float = Field(default=0.0, ge=-100.0, le=100.0)
    """What is added to the stretched log-odds."""

    table: list[tuple[Probability, Probability]] = Field(default_factory=list, max_length=64)
    """Pairs (score, probability), both rising; between them straight lines."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for (score, chance), (later, higher) in pairwise(self.table):
            if later <= score or higher < chance:
                raise ValueError(f"scores must rise, probabilities not fall; at {later:g} they do")
        return self


class EvidenceConfig(ConfigModel):
    """How a belief P(someone) is gathered from scores; for calibrated scores only."""

    enter_belief: float = Field(default=0.9, gt=0.0, lt=1.0)
    """A belief at or above this is a hit."""

    exit_belief: float = Field(default=0.1, gt=0.0, lt=1.0)
    """A belief below this is evidence that nobody is there; in between nothing changes."""

    correlation: Duration = Field(default=0.25, ge=0.0, le=600.0)
    """How long the network's errors last: pictures closer together count as less than two."""

    usual_absence: Duration = Field(default=300.0, gt=0.0)
    """How long the place is usually empty."""

    usual_stay: Duration = Field(default=60.0, gt=0.0)
    """How long people usually stay."""

    calibration: CalibrationConfig = CalibrationConfig()
    """What scores mean at this site; `run_monitor.py calibrate` finds it."""

    strongest: float = Field(default=0.999, gt=0.5, lt=1.0)
    """The most that one picture counts for, and one minus it the least."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.exit_belief >= self.enter_belief:
            raise PydanticCustomError(
                THRESHOLD_ORDER,
                "exit_belief {exit_belief} is not below enter_belief {enter_belief}",
                {"exit_belief": self.exit_belief, "enter_belief": self.enter_belief},
            )
        return self


class PresenceConfig(ConfigModel):
    """Hysteresis and debounce of one zone."""

    mode: PresenceMode = PresenceMode.PLAIN
    """plain: `smoothing`, `enter_threshold` and `exit_threshold`; evidence: `evidence` instead."""

    evidence: EvidenceConfig = EvidenceConfig()
    """Mode evidence: how the belief is gathered. The debounce (`*_after`, `enter_hits`) stays."""

    background: BackgroundConfig = BackgroundConfig()
    """What the zone scores when nobody is there, and how that is learned."""

    enter_threshold: float = Field(default=0.7, gt=0.0, lt=1.0)
    """A smoothed score at or above this is a hit: evidence that somebody is there."""

    exit_threshold: float = Field(default=0.4, gt=0.0, lt=1.0)
    """A smoothed score below this is evidence that nobody is there; in between nothing changes."""

    enter_after: Duration = Field(default=0.6, ge=0.0, le=3600.0)
    """How long hits must last before the zone becomes OCCUPIED."""

    enter_hits: int = Field(default=3, ge=1, le=1000)
    """How many hits the entering takes at least."""

    exit_after: Duration = Field(default=5.0, ge=0.0, le=86400.0)
    """How long scores must stay below the exit threshold before the zone becomes VACANT."""

    min_dwell: Duration = Field(default=0.0, ge=0.0, le=86400.0)
    """An occupancy whose evidence spans less than this is never told."""

    merge_within: Duration = Field(default=0.0, ge=0.0, le=86400.0)
    """An occupancy that starts within this time after the last one continues it."""

    max_gap: Duration = Field(default=10.0, gt=0.0, le=86400.0)
    """Without a score for this long the zone is UNKNOWN and an open event ends with signal_lost."""

    smoothing: Duration = Field(default=0.3, ge=0.0, le=60.0)
    """Time constant of the exponential moving average over scores; 0 turns it off."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.exit_threshold >= self.enter_threshold:
            raise PydanticCustomError(
                THRESHOLD_ORDER,
                "exit_threshold {exit_threshold} is not below enter_threshold {enter_threshold}",
                {"exit_threshold": self.exit_threshold, "enter_threshold": self.enter_threshold},
            )
        return self
