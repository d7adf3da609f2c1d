"""Which pictures are kept for training."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from monitor.config.base import ConfigModel, Duration


class LearningConfig(ConfigModel):
    """Pictures that the model was not sure of, and those that operators judged."""

    enabled: bool = False
    """True keeps them; pictures of people are personal data, so nobody keeps them by accident."""

    folder: Path = Path("var/learning")
    """Where they are kept: `nobody`, `someone`, `doubtful`, and lists for `model train`."""

    max_pictures: int = Field(default=2000, ge=10, le=1_000_000)
    """The most pictures kept; doubtful ones make way first, the oldest of the fullest camera."""

    max_megabytes: float = Field(default=500.0, ge=1.0)
    """The most they may weigh together."""

    every: Duration = Field(default=60.0, ge=0.0)
    """The least time between two doubtful pictures of a zone."""
