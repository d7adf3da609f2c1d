"""Which schedules are armed, told when it changes: by a window, a hand, or a hand's time over.

Rules are held against windows and overrides at their own moment and do not wait for this; it is
for people and brokers, who want to hear of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine

from monitor.alerts import desk
from monitor.alerts.schedules import Arming, Override, arming
from monitor.alerts.watching import overrides
from monitor.config.alerts import AlertConfig
from monitor.config.schedules import parse_zone
from monitor.telemetry import get_logger

WHO = "monitor"
"""Who lets an override's time run out, in the audit log."""

log = get_logger(__name__)


class Armament:
    """Keeps what was told last. Not thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._told: Mapping[str, Arming] = {}
        self._looked: datetime | None = None

    def look(self, config: AlertConfig, now: datetime) -> dict[str, bool]:
        """Whether each schedule is armed; changes are logged, the end of overrides is audited.

        What ran out while no monitor ran is not told. Raises DatabaseError.
        """
        with desk.transaction(self._engine) as session:
            spoken = overrides(session)
            for override in _run_out(spoken, self._looked, now):
                what = override.schedule or "everything"
                word = "armed" if override.armed else "disarmed"
                log.info("the time is over", schedule=what, was=word, by=override.who)
                comment = f"{word} by {override.who}"
                desk.note(session, "expired", what, who=WHO, now=now, comment=comment)
        self._looked = now
        zone = parse_zone(config.timezone)
        schedules = config.schedules
        armed = {name: arming([name], schedules, spoken, zone, now) for name in schedules}
        for name, state in armed.items():
            before = self._told.get(name)
            if before is None or before.armed is not state.armed:
                log.info("armed" if state.armed else "not armed", schedule=name, why=state.why)
        self._told = armed
        return {name: state.armed for name, state in armed.items()}


def _run_out(spoken: list[Override], since: datetime | None, now: datetime) -> list[Override]:
    """Overrides whose time ran out after `since`."""
    if since is None:
        return []
    return [each for each in spoken if each.until is not None and since < each.until <= now]
