"""Pictures worth labelling: those the model was not sure of, and those that operators judged."""

from __future__ import annotations

from monitor.learning.folder import Kind, LearningFolder
from monitor.learning.room import LearningRoom

__all__ = ["Kind", "LearningFolder", "LearningRoom"]
