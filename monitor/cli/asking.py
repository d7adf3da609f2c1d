"""What all questions to the memory have in common: their options, and how people speak of time."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Engine

from monitor.cli.output import Format
from monitor.cli.storage import find_timezone
from monitor.config import load_config
from monitor.errors import UsageError
from monitor.events.moments import parse_moment
from monitor.events.queries import EventFilter, known_zones
from monitor.messages import WHOLE_FRAME

CameraOption = Annotated[str | None, typer.Option(help="Only this camera.")]
ZoneOption = Annotated[str | None, typer.Option(help="Only zones of this name.")]
SinceOption = Annotated[
    str | None,
    typer.Option(help="From this moment on: 2h (ago), today, yesterday 22:00, monday 8:30, ISO."),
]
UntilOption = Annotated[str | None, typer.Option(help="Before this moment.")]
OverlappingOption = Annotated[
    bool,
    typer.Option(
        "--overlapping", help="All that share a moment with the span, not only starts in it."
    ),
]


@dataclass(frozen=True, slots=True)
class Words:
    """How this user speaks of time."""

    now: datetime
    zone: tzinfo

    @classmethod
    def of(cls, timezone: str | None) -> Words:
        """Now, in the zone of the option. Raises UsageError for an unknown one."""
        return cls(datetime.now(UTC), find_timezone(timezone))

    def moment(self, text: str | None) -> datetime | None:
        """The instant that is meant. Raises UsageError."""
        return parse_moment(text, now=self.now, zone=self.zone) if text is not None else None

    def span(
        self, camera: str | None, zone: str | None, since: str | None, until: str | None
    ) -> EventFilter:
        """The filter of the options. Raises UsageError."""
        return EventFilter(
            camera=camera, zone=zone, since=self.moment(since), until=self.moment(until)
        )

    def shown(self, moment: datetime | None) -> str:
        """A time as people of this zone read it."""
        return f"{moment.astimezone(self.zone):%Y-%m-%d %H:%M:%S}" if moment else ""

    def row(self, fields: dict[str, Any], output: Format) -> dict[str, Any]:
        """Fields as they are printed: for people in local time and rounded, for programs as they
        are."""
        if output is not Format.TABLE:
            return fields
        return {name: self._cell(name, value) for name, value in fields.items()}

    def _cell(self, name: str, value: Any) -> Any:
        if isinstance(value, datetime):
            return self.shown(value)
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, float) and name.endswith("_s"):
            return str(timedelta(seconds=round(value)))
        if isinstance(value, float) and name == "ratio":
            return f"{value:.1%}"
        return value


def event_id(text: str) -> UUID:
    """The id that is meant. Raises UsageError."""
    try:
        return UUID(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no event id", remedy="`run_monitor.py events list` shows them"
        ) from error


def require_known(engine: Engine, wanted: EventFilter, config: Path | None) -> None:
    """Nothing was found: say so if it is because a name is wrong. Raises UsageError."""
    known = set(known_zones(engine))
    if config is not None:
        for name, camera in load_config(config, look=False).cameras.items():
            known |= {(name, zone) for zone in camera.zones or (WHOLE_FRAME,)}
    _require_name("camera", wanted.camera, {camera for camera, _ in known})
    _require_name("zone", wanted.zone, {zone for _, zone in known})
    if sys.stderr.isatty():
        sys.stderr.write("nothing is known of that\n")


def _require_name(what: str, name: str | None, names: set[str]) -> None:
    if name is not None and names and name not in names:
        shown = ", ".join(sorted(names)[:20])
        raise UsageError(f"there is no {what} {name!r}", remedy=f"there are: {shown}")
