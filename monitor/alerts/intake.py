"""Badge and door events, and grants, from outside: REST, MQTT and CSV files end here.

    {"door": "front", "kind": "granted", "subject": "badge-17", "at": "2026-03-01T22:04:05+01:00"}

The same report twice is one: by its `id`, or else by door, kind, subject and moment.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from monitor.alerts import desk
from monitor.alerts.access import door_events, grants_of
from monitor.alerts.grants import DoorKind, inside
from monitor.alerts.models import DoorRow, GrantRow
from monitor.alerts.rules import NAMESPACE, Cause
from monitor.alerts.watching import Watching
from monitor.clock import Clock
from monitor.config.alerts import AlertConfig, DoorConfig, Trigger
from monitor.errors import InputError
from monitor.telemetry import get_logger, redact

QUIET = 2.0
"""Seconds for which a CSV file must not have been written before it is read."""

_T = TypeVar("_T")
Subject = Annotated[str, Field(max_length=128)]

log = get_logger(__name__)


class DoorReport(BaseModel):
    """What a reader or door contact reports."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    door: Annotated[str, Field(min_length=1, max_length=64)]
    kind: DoorKind
    at: AwareDatetime
    subject: Subject = ""
    id: UUID | None = None


class GrantRequest(BaseModel):
    """A permission: `zone` as camera/zone, from `since` to `until`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zone: Annotated[str, Field(min_length=3, max_length=129)]
    until: AwareDatetime
    since: AwareDatetime | None = None
    subject: Subject = ""
    single_use: bool = False
    id: UUID | None = None


_REPORTS: TypeAdapter[list[DoorReport]] = TypeAdapter(list[DoorReport])
_GRANTS: TypeAdapter[list[GrantRequest]] = TypeAdapter(list[GrantRequest])


class Intake:
    """Takes reports and grants into the database; may be called from any thread.

    `zones`: all zones as camera/zone. `wake` is called when something may have alerted.
    """

    def __init__(
        self,
        engine: Engine,
        config: AlertConfig,
        *,
        zones: Iterable[str],
        watching: Watching,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._config = config
        self._zones = set(zones)
        self._watching = watching
        self._clock = clock
        self._wake = wake

    def reconfigure(self, config: AlertConfig, zones: Iterable[str], watching: Watching) -> None:
        """Go by another configuration from now on."""
        self._config, self._zones, self._watching = config, set(zones), watching

    @property
    def token(self) -> str | None:
        """The bearer token of the REST interface; None keeps it closed."""
        token = self._config.intake.token
        return token.get_secret_value() if token else None

    def doors(self, reports: Iterable[DoorReport], source: str) -> int:
        """Take reports, all or none; returns how many were new.

        Raises InputError for a door that is not configured, DatabaseError.
        """
        reports = sorted(reports, key=lambda report: report.at)
        for report in reports:
            if report.door not in self._config.doors:
                known = ", ".join(self._config.doors) or "none is configured"
                raise InputError(f"there is no door {report.door!r}", remedy=f"doors: {known}")
        with desk.transaction(self._engine) as session:
            count = sum(self._door(session, report, source) for report in reports)
        if count:
            self._wake()
        return count

    def grants(self, requests: Iterable[GrantRequest], source: str, who: str) -> list[UUID]:
        """Grant, all or none; returns their ids. Raises InputError, DatabaseError."""
        requests, now = list(requests), self._clock.now().utc
        for request in requests:
            if request.zone not in self._zones:
                known = ", ".join(sorted(self._zones))
                raise InputError(f"there is no zone {request.zone!r}", remedy=f"zones: {known}")
            if request.until <= (request.since or now):
                raise InputError("the grant would end before it begins", where=request.zone)
        with desk.transaction(self._engine) as session:
            return [self._grant(session, request, source, who, now) for request in requests]

    def take_doors(self, body: bytes) -> dict[str, Any]:
        """Door events as JSON; tells how many came and how many were new."""
        reports = parse_doors(body)
        return {"taken": len(reports), "new": self.doors(reports, "rest")}

    def take_grants(self, body: bytes) -> dict[str, Any]:
        """Grants as JSON; tells their ids."""
        return {"ids": [str(each) for each in self.grants(parse_grants(body), "rest", "rest")]}

    def message(self, kind: str, payload: bytes) -> None:
        """A broker's message on `doors` or `grants`; what is wrong with it is logged."""
        try:
            if kind == "doors":
                self.doors(parse_doors(payload), "mqtt")
            else:
                self.grants(parse_grants(payload), "mqtt", "mqtt")
        except InputError as error:
            log.warning("a door message is refused", kind=kind, reason=str(error))

    def read_folder(self) -> int:
        """Read the CSV files of `alerts.intake.folder`; returns how many reports were new.

        A file becomes `NAME.csv.done`, or `NAME.csv.bad` if lines of it were refused.
        """
        folder, count = self._config.intake.folder, 0
        if folder is None or not folder.is_dir():
            return 0
        for file in sorted(folder.glob("*.csv")):
            quiet = self._clock.now().utc.timestamp() - file.stat().st_mtime
            if quiet >= QUIET:
                count += self._read_file(file)
        return count

    def _read_file(self, file: Path) -> int:
        reports, bad = [], 0
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            for number, row in enumerate(csv.DictReader(stream), start=2):
                try:
                    report = parse_doors([{k: v for k, v in row.items() if v}])[0]
                    if report.door not in self._config.doors:
                        raise InputError(f"there is no door {report.door!r}")
                    reports.append(report)
                except InputError as error:
                    bad += 1
                    log.warning("a door event is refused", file=str(file), line=number,
                                reason=error.what)  # fmt: skip
        count = self.doors(reports, "csv")
        file.rename(file.with_name(f"{file.name}.{'bad' if bad else 'done'}"))
        log.info("door events read", file=str(file), new=count, refused=bad)
        return count

    def _door(self, session: Session, report: DoorReport, source: str) -> bool:
        at, now = report.at.astimezone(UTC), self._clock.now().utc
        content = f"{report.door}|{report.kind}|{report.subject}|{at.isoformat()}"
        ident = report.id or uuid5(NAMESPACE, content)
        if session.get(DoorRow, ident) is not None:
            return False
        session.add(
            DoorRow(
                id=ident,
                door=report.door,
                kind=report.kind.value,
                subject=report.subject,
                at=at,
                source=source,
                created_at=now,
            )
        )
        session.flush()
        door = self._config.doors[report.door]
        if report.kind is DoorKind.GRANTED and door.grant:
            _grant_by_door(session, ident, report, door, now)
        elif report.kind is DoorKind.EXIT:
            self._left(session, report, door, now)
        elif report.kind is DoorKind.OPENED:
            causes = [_cause(kind, report.door, door, at) for kind in
                      (Trigger.DOOR_FORCED, Trigger.DOOR_HELD)]  # fmt: skip
            self._watching.begin(session, causes, now)
        elif report.kind is DoorKind.CLOSED:
            self._watching.end_door_held(session, report.door, at, now)
        return True

    def _left(self, session: Session, report: DoorReport, door: DoorConfig, now: datetime) -> None:
        """Use up the badge's single-use grants; if it was the last one inside, watch the zone."""
        at = report.at.astimezone(UTC)
        camera, _, zone = door.zone.partition("/")
        for grant in grants_of(session, camera, zone, at):
            mine = grant.single_use and grant.used_at is None and grant.subject == report.subject
            if mine and grant.since <= at:
                session.get_one(GrantRow, grant.id).used_at = at
        if not inside(door_events(session, report.door, at)):
            cause = _cause(Trigger.STILL_OCCUPIED_AFTER_EXIT, report.door, door, at)
            self._watching.begin(session, [cause], now)

    def _grant(
        self, session: Session, request: GrantRequest, source: str, who: str, now: datetime
    ) -> UUID:
        ident = request.id or uuid4()
        if session.get(GrantRow, ident) is not None:
            return ident
        camera, _, zone = request.zone.partition("/")
        session.add(
            GrantRow(
                id=ident,
                camera=camera,
                zone=zone,
                subject=request.subject,
                since=request.since or now,
                until=request.until,
                single_use=request.single_use,
                source=source,
                created_at=now,
            )
        )
        desk.note(session, "grant", str(ident), who=who, now=now, comment=request.zone)
        return ident


def revoke(engine: Engine, ident: UUID, *, who: str, now: datetime) -> GrantRow:
    """End a grant now. Raises InputError if there is none, DatabaseError."""
    with desk.transaction(engine) as session:
        row = session.get(GrantRow, ident)
        if row is None:
            raise InputError(f"there is no grant {ident}", remedy="`grants list` shows them")
        if row.revoked_at is None:
            row.revoked_at = now
            desk.note(session, "revoke", str(ident), who=who, now=now)
        return row


def parse_doors(data: bytes | list[Any]) -> list[DoorReport]:
    """Reports from JSON (one object or a list) or plain data. Raises InputError."""
    return _parse(_REPORTS, data)


def parse_grants(data: bytes | list[Any]) -> list[GrantRequest]:
    """Grants from JSON (one object or a list) or plain data. Raises InputError."""
    return _parse(_GRANTS, data)


def _parse(adapter: TypeAdapter[list[_T]], data: bytes | list[Any]) -> list[_T]:
    try:
        if not isinstance(data, bytes):
            return adapter.validate_python(data)
        text = data.strip()
        return adapter.validate_json(b"[" + text + b"]" if text.startswith(b"{") else text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"][1:]))
        raise InputError(redact(first["msg"]), where=where) from None


def _grant_by_door(
    session: Session, ident: UUID, report: DoorReport, door: DoorConfig, now: datetime
) -> None:
    """A badge let in is a grant for the zone behind the door."""
    camera, _, zone = door.zone.partition("/")
    session.add(
        GrantRow(
            id=uuid5(ident, "grant"),
            camera=camera,
            zone=zone,
            subject=report.subject,
            since=report.at,
            until=report.at + timedelta(seconds=door.grant),
            single_use=door.single_use,
            source="door",
            created_at=now,
        )
    )


def _cause(trigger: Trigger, name: str, door: DoorConfig, at: datetime) -> Cause:
    camera, _, zone = door.zone.partition("/")
    return Cause(trigger, camera, zone, at, f"{name}@{at.isoformat()}", door=name)
