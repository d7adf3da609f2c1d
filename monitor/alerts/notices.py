"""What a channel is handed: one alert in plain values, and how a channel refuses or fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from monitor.config.templates import SAMPLE


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert for one channel.

    `key` is the same at every try: receivers drop what they have seen. `count` and `members`
    (camera/zone) tell of all alerts gathered in this one. `picture` reads the snapshot (JPEG),
    None if there is none. `trial` marks `alerts test`.
    """

    id: UUID
    key: UUID
    rule: str
    trigger: str
    severity: str
    camera: str
    zone: str
    at: datetime
    title: str
    reasons: tuple[str, ...]
    count: int = 1
    members: tuple[str, ...] = ()
    event_id: UUID | None = None
    attempt: int = 1
    trial: bool = False
    picture: Callable[[], bytes | None] = field(default=lambda: None, compare=False)

    @property
    def headline(self) -> str:
        """The title, with the count of what it gathers and the mark of a trial."""
        text = self.title
        if self.count > 1:
            text = f"{text} (and {self.count - 1} more: {', '.join(self.members[:8])})"
        return f"[TRIAL] {text}" if self.trial else text

    def values(self) -> Mapping[str, Any]:
        """Everything as JSON can hold it: the body of a webhook, and what templates may use."""
        values = {
            "id": str(self.id),
            "key": str(self.key),
            "rule": self.rule,
            "trigger": self.trigger,
            "severity": self.severity,
            "camera": self.camera,
            "zone": self.zone,
            "at": self.at.isoformat(),
            "title": self.headline,
            "reasons": list(self.reasons),
            "count": self.count,
            "members": list(self.members),
            "event_id": str(self.event_id) if self.event_id else None,
            "attempt": self.attempt,
            "trial": self.trial,
        }
        assert values.keys() == SAMPLE.keys()
        return values


class RefusedError(Exception):
    """The receiver will never take this one; trying again is of no use."""


class UnavailableError(Exception):
    """It did not work now; it may later."""


class Channel(Protocol):
    """One way to somebody. Used by one thread only, except `close`."""

    def send(self, notice: Notice) -> None:
        """Deliver, or raise RefusedError or UnavailableError. Texts hold no credentials."""
        ...

    def probe(self) -> None:
        """Raise UnavailableError if the receiver cannot be reached now; switch nothing."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
