"""Presence monitor: many cameras in, confirmed occupancy events out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.version import __version__

__all__ = ["PresenceClassifier", "__version__"]

if TYPE_CHECKING:
    from monitor.inference.classifier import PresenceClassifier


def __getattr__(name: str) -> object:
    """Load the classifier on first use, so that `import monitor` stays free of Paddle."""
    if name == "PresenceClassifier":
        from monitor.inference.classifier import PresenceClassifier

        return PresenceClassifier
    raise AttributeError(f"module 'monitor' has no attribute {name!r}")
