"""Arming and disarming by REST: what the commands `arm`, `disarm` and `as-scheduled` do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from monitor.alerts.arming import Switch, armed_at, switch
from monitor.config.alerts import AlertConfig
from monitor.config.base import Duration
from monitor.web.answers import ArmingNow, Switchable, answer
from monitor.web.signin import actor_of

LONGEST = 366 * 86400.0
"""Seconds for which something can be switched; for longer there is `null`."""


class Which(BaseModel):
    """A schedule; null: everything, rules without a schedule included."""

    model_config = ConfigDict(extra="forbid")

    schedule: Annotated[str, Field(max_length=64)] | None = None


class WhichAndFor(Which):
    """A schedule, and for how long: `2h`, `30m`, seconds; null: until it is switched again."""

    lasts: Annotated[Duration, Field(gt=0.0, le=LONGEST)] | None = Field(default=None, alias="for")


def add_arming(app: FastAPI, engine: Engine, config: Callable[[], AlertConfig]) -> None:
    """Add /api/arming, /api/arm, /api/disarm and /api/as-scheduled; `config`: what is in force."""

    def told(now: datetime) -> Response:
        armed = armed_at(engine, config(), now)
        schedules, rules = (
            [Switchable(name, each.armed, each.why) for name, each in part.items()]
            for part in (armed.schedules, armed.rules)
        )
        return answer(ArmingNow(schedules, rules))

    def act(request: Request, deed: Switch, which: Which, lasts: float | None) -> Response:
        now = datetime.now(UTC)
        until = now + timedelta(seconds=lasts) if lasts is not None else None
        who = actor_of(request)
        switch(engine, config(), deed, which.schedule, until=until, who=who, now=now)
        return told(now)

    @app.get(
        "/api/arming", summary="Which schedules and rules are armed, and why",
        response_model=ArmingNow,
    )  # fmt: skip
    def arming() -> Response:
        return told(datetime.now(UTC))

    @app.post(
        "/api/arm", summary="Arm a schedule by hand, outside its windows", response_model=ArmingNow
    )
    def arm(request: Request, which: WhichAndFor) -> Response:
        return act(request, Switch.ARM, which, which.lasts)

    @app.post(
        "/api/disarm", summary="Disarm a schedule, inside its windows", response_model=ArmingNow
    )
    def disarm(request: Request, which: WhichAndFor) -> Response:
        return act(request, Switch.DISARM, which, which.lasts)

    @app.post(
        "/api/as-scheduled", summary="Its windows count again, nothing else",
        response_model=ArmingNow,
    )  # fmt: skip
    def as_scheduled(request: Request, which: Which) -> Response:
        return act(request, Switch.AS_SCHEDULED, which, None)
