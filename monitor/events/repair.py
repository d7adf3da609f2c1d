"""`db check --fix`: put right what can be put right without guessing, and write down what was done.

No event and no picture is deleted, and no event that is held is touched, but to name its picture
again. No monitor may run meanwhile: see `monitor.storage.ownership`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from uuid import UUID

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.events.database import explain, writing
from monitor.events.integrity import Defect, Problem
from monitor.events.models import Hold, OccupancyEvent
from monitor.events.snapshots import SnapshotStore
from monitor.messages import EndReason
from monitor.storage import audit

_BEYOND = {
    Defect.REVISION: "run `run_monitor.py db upgrade`",
    Defect.DAMAGE: "restore a backup: `run_monitor.py db restore`",
    Defect.SPOOLED: "start the monitor: it writes them",
    Defect.REJECTED: "look into the file; no way to write them is known",
    Defect.AUDIT: "no repair can be honest; find out who did it, and note it",
    Defect.HOLD: "restore the event from a backup, or release the hold",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a problem: `fixed`, and what was done or has to be."""

    problem: Problem
    fixed: bool
    what: str


class Repairer:
    """Mends problems one by one, each in a transaction with its entry in the audit log."""

    def __init__(
        self,
        engine: Engine,
        *,
        snapshots: SnapshotStore | None,
        spool: Path | None,
        actor: str,
        now: datetime,
    ) -> None:
        self._engine = engine
        self._store = snapshots
        self._spool = spool
        self._actor = actor
        self._now = now

    def repair(self, problems: Iterable[Problem]) -> Iterator[Outcome]:
        """Mend what can be mended. Raises DatabaseError when the database cannot be written."""
        for problem in problems:
            if problem.defect in _BEYOND:
                yield Outcome(problem, False, _BEYOND[problem.defect])
                continue
            try:
                fixed, what = self._mend(problem)
            except SQLAlchemyError as error:
                raise explain(error, self._engine.url) from error
            except OSError as error:
                fixed, what = False, error.strerror or str(error)
            yield Outcome(problem, fixed, what)

    def _mend(self, problem: Problem) -> tuple[bool, str]:
        if problem.defect is Defect.STRAY_SNAPSHOT:
            return self._stray(problem.subject)
        with Session(writing(self._engine)) as session, session.begin():
            event = session.get(OccupancyEvent, UUID(problem.subject), with_for_update=True)
            if event is None:
                return True, "the event is gone by now"
            if problem.defect is Defect.OVERLAPPING:
                return self._overlapping(session, event)
            if _held(session, event):
                return False, "the event is held: release it first"
            if problem.defect is Defect.INVERTED:
                return self._inverted(session, event)
            return self._missing(session, event)

    def _inverted(self, session: Session, event: OccupancyEvent) -> tuple[bool, str]:
        before = event.ended_at
        event.last_seen_at = max(event.last_seen_at, event.started_at)
        event.ended_at = event.last_seen_at
        return self._changed(session, event, f"its end was {before}, is when it was last seen")

    def _overlapping(self, session: Session, event: OccupancyEvent) -> tuple[bool, str]:
        """Cut the earlier event where the later one starts, as the writer would have."""
        query = (
            select(OccupancyEvent)
            .where(
                OccupancyEvent.camera == event.camera,
                OccupancyEvent.zone == event.zone,
                OccupancyEvent.started_at <= event.started_at,
                OccupancyEvent.id != event.id,
            )
            .order_by(OccupancyEvent.started_at.desc())
            .limit(1)
        )
        earlier = session.scalars(query).one_or_none()
        if earlier is None or (earlier.ended_at and earlier.ended_at <= event.started_at):
            return True, "they overlap no more"
        if event.started_at > self._now:
            return False, "it starts in the future: a clock was wrong, and no repair would be right"
        if _held(session, earlier):
            return False, f"event {earlier.id} is held: release it first"
        before = earlier.ended_at
        earlier.ended_at = event.started_at
        earlier.last_seen_at = event.started_at
        earlier.end_reason = earlier.end_reason or EndReason.RESTART
        said = f"its end was {before or 'open'}, is where event {event.id} starts"
        return self._changed(session, earlier, said)

    def _missing(self, session: Session, event: OccupancyEvent) -> tuple[bool, str]:
        if self._store is None or not any(self._store.folder.glob("????-??-??/*.jpg")):
            return False, "the snapshot folder is empty; is it mounted?"
        before, event.snapshot = event.snapshot, None
        return self._changed(session, event, f"it names no snapshot any more; it was {before}")

    def _stray(self, path: str) -> tuple[bool, str]:
        assert self._store is not None
        try:
            event_id = UUID(PurePath(path).stem)
        except ValueError:
            return False, "its name is none of this program's; move it away"
        with Session(writing(self._engine)) as session, session.begin():
            event = session.get(OccupancyEvent, event_id, with_for_update=True)
            if event is not None and event.snapshot is None:
                event.snapshot = path
                return self._changed(session, event, f"it names its snapshot {path} again")
            if event is None and self._messages_wait():
                return False, "messages wait in the spool, perhaps of its event"
            aside = self._store.set_aside(path)
            self._note(session, path, f"no event names it; moved to {aside}")
        return True, f"moved to {aside}"

    def _messages_wait(self) -> bool:
        """Whether spool or rejects hold anything."""
        if self._spool is None:
            return True
        files = (self._spool, self._spool.with_name(f"{self._spool.name}.rejected"))
        return any(file.exists() and file.stat().st_size for file in files)

    def _changed(self, session: Session, event: OccupancyEvent, what: str) -> tuple[bool, str]:
        event.updated_at = self._now
        self._note(session, str(event.id), what)
        return True, what

    def _note(self, session: Session, subject: str, what: str) -> None:
        audit.record(
            session,
            actor=self._actor,
            action="repair",
            subject=subject,
            details={"what": what},
            at=self._now,
        )


def _held(session: Session, event: OccupancyEvent) -> bool:
    return session.get(Hold, event.id) is not None
