"""What empty rooms score, kept in a file beside the database: a restart forgets nothing."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL

from monitor.clock import Stamp
from monitor.events.spool import default_spool
from monitor.presence import PresenceRoom
from monitor.presence.recall import dump, load
from monitor.storage.files import whole_file
from monitor.telemetry import get_logger

SAVE_EVERY = 300.0
"""Seconds between two savings: what a crash may cost of what is learned over weeks."""

log = get_logger(__name__)


class Recollection:
    """Loads and saves a presence room's backgrounds. An unreadable file costs what was learned,
    an unwritable one what will be; neither stops the monitor."""

    def __init__(self, room: PresenceRoom, url: URL) -> None:
        spool = default_spool(url)
        self.path: Path = spool.with_name(f"{spool.name.removesuffix('.spool')}.background.json")
        self._room = room
        self._saved: float | None = None
        self._failing = False

    def load(self) -> None:
        """Remember what an earlier process knew; call before the first score."""
        try:
            self._room.remember(load(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning(
                "what empty rooms score is learned anew", file=str(self.path), reason=str(error)
            )

    def tick(self, now: Stamp) -> None:
        """Save now and then."""
        if self._saved is None:
            self._saved = now.monotonic
        elif now.monotonic - self._saved >= SAVE_EVERY:
            self._saved = now.monotonic
            self.save()

    def save(self) -> None:
        """Save now: the whole new file or the whole old one."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path) as file:
                file.write(dump(self._room.backgrounds()).encode())
        except OSError as error:
            if not self._failing:
                log.error(
                    "what empty rooms score cannot be saved",
                    file=str(self.path),
                    reason=error.strerror or str(error),
                )
            self._failing = True
        else:
            self._failing = False
