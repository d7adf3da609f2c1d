"""What operators do by REST: the same as `run_monitor.py alerts` and `events`, and noted as there.

The gate lets only operators in; who it was is in the audit log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import Engine

from monitor.alerts import desk
from monitor.alerts.outbox import AlertState
from monitor.errors import NotFoundError, UsageError
from monitor.events import holds
from monitor.events.marking import set_mark
from monitor.events.marks import Mark
from monitor.events.models import OccupancyEvent
from monitor.web.answers import AlertDone, EventHeld, EventMarked, answer
from monitor.web.errors import ConflictError
from monitor.web.signin import actor_of

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class Said(BaseModel):
    """A comment for whoever looks at the alert later."""

    model_config = ConfigDict(extra="forbid")

    comment: Text = ""


class Comment(BaseModel):
    """A comment that is the point of it."""

    model_config = ConfigDict(extra="forbid")

    comment: Words


class Marked(BaseModel):
    """What an operator says of an event; null takes it back."""

    model_config = ConfigDict(extra="forbid")

    mark: Mark | None


class Why(BaseModel):
    """The reason of a hold or its end."""

    model_config = ConfigDict(extra="forbid")

    why: Words


def add_acts(
    app: FastAPI, engine: Engine, *, on_mark: Callable[[OccupancyEvent], None] | None = None
) -> None:
    """Add what operators do; `on_mark` hears of an event that was marked."""
    _add_alerts(app, engine)
    _add_marks(app, engine, on_mark)
    _add_holds(app, engine)


def _add_alerts(app: FastAPI, engine: Engine) -> None:
    def act(request: Request, alert: UUID, state: AlertState | None, comment: str) -> Response:
        who, now = actor_of(request), datetime.now(UTC)
        with _conflicting():
            row = desk.act(engine, alert.hex, state, who=who, now=now, comment=comment)
        return answer(AlertDone(row.id, AlertState(row.state)))

    @app.post(
        "/api/alerts/{alert}/acknowledge",
        summary="Somebody deals with it: no escalation",
        response_model=AlertDone,
    )
    def acknowledge(request: Request, alert: UUID, said: Said | None = None) -> Response:
        comment = said.comment if said else ""
        return act(request, alert, AlertState.ACKNOWLEDGED, comment)

    @app.post(
        "/api/alerts/{alert}/close", summary="It is dealt with, for good", response_model=AlertDone
    )
    def close(request: Request, alert: UUID, said: Said | None = None) -> Response:
        comment = said.comment if said else ""
        return act(request, alert, AlertState.CLOSED, comment)

    @app.post(
        "/api/alerts/{alert}/comment",
        summary="A comment, and the state stays as it is",
        response_model=AlertDone,
    )
    def comment(request: Request, alert: UUID, said: Comment) -> Response:
        return act(request, alert, None, said.comment)


def _add_marks(
    app: FastAPI, engine: Engine, on_mark: Callable[[OccupancyEvent], None] | None
) -> None:
    @app.put(
        "/api/events/{event}/mark",
        summary="Was it right? `calibrate --marked` learns of it",
        response_model=EventMarked,
    )
    def mark(request: Request, event: UUID, marked: Marked) -> Response:
        who, now = actor_of(request), datetime.now(UTC)
        row = set_mark(engine, event, marked.mark, who=who, now=now)
        if on_mark is not None:
            on_mark(row)
        return answer(EventMarked(row.id, row.mark))


def _add_holds(app: FastAPI, engine: Engine) -> None:
    @app.post(
        "/api/events/{event}/hold",
        summary="Keep it and its picture, whatever their age",
        response_model=EventHeld,
    )
    def hold(request: Request, event: UUID, reason: Why) -> Response:
        who, now = actor_of(request), datetime.now(UTC)
        with _conflicting():
            holds.hold(engine, event, who=who, why=reason.why, now=now)
        return answer(EventHeld(event, True))

    @app.post("/api/events/{event}/release", summary="End a hold", response_model=EventHeld)
    def release(request: Request, event: UUID, reason: Why) -> Response:
        who, now = actor_of(request), datetime.now(UTC)
        with _conflicting():
            holds.release(engine, event, who=who, why=reason.why, now=now)
        return answer(EventHeld(event, False))


@contextmanager
def _conflicting() -> Iterator[None]:
    """What the state of an event or alert does not allow, which is not the request's fault."""
    try:
        yield
    except NotFoundError:
        raise
    except UsageError as error:
        raise ConflictError(error.what, where=error.where, remedy=error.remedy) from error
