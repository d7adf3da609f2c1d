"""What guards a camera's picture, and what a zone remembers of its empty self."""

from __future__ import annotations

from pydantic import Field

from monitor.config.base import ConfigModel, Duration


class GuardConfig(ConfigModel):
    """Scene guards of one camera: what happens to the picture itself, whoever is in it."""

    enabled: bool = True
    """Watch for switched light, a moved, covered or defocused camera, darkness, rain."""

    bound: Duration = Field(default=30.0, ge=1.0, le=600.0)
    """The longest time that a guard may hold presence in its state. What is seen meanwhile counts
    all the same, once the guard lets go."""


class BackgroundConfig(ConfigModel):
    """How a zone learns what it scores when nobody is there: the coat on the hook."""

    enabled: bool = True
    """Learn it. Off, a score is always taken for what it says."""

    learn_after: Duration = Field(default=600.0, ge=10.0, le=86400.0)
    """A zone in which nothing at all has moved for so long, and whose scores stay where they are,
    shows things, no persons: people who sit still move within minutes. Three times as long for
    scores from 0.95 on."""

    still_for: Duration = Field(default=180.0, ge=5.0, le=86400.0)
    """Stillness after which a score that is known from the empty zone, at this hour and in this
    light, means an empty zone again."""
