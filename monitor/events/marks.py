"""What an operator says of an event, having looked at it."""

from __future__ import annotations

from enum import StrEnum


class Mark(StrEnum):
    """A closed list; the event itself stays as it was told."""

    FALSE_ALARM = "false_alarm"
    """Nobody was there."""
    CORRECT = "correct"
    """Somebody was."""
