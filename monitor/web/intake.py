"""Grants and door events by REST, for access controllers: closed unless a token is configured."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Protocol

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from monitor.alerts.intake import DoorReport, GrantRequest
from monitor.web.answers import DoorsTaken, GrantsTaken
from monitor.web.spec import body_of

LARGEST_BODY = 1_000_000
"""Bytes of a request; some ten thousand door events."""


class RestIntake(Protocol):
    """What takes the requests: bodies are JSON, one object or a list of them."""

    @property
    def token(self) -> str | None:
        """The bearer token that is asked for; None keeps the interface closed."""
        ...

    def take_doors(self, body: bytes) -> dict[str, Any]:
        """Take door events. Raises InputError, DatabaseError."""
        ...

    def take_grants(self, body: bytes) -> dict[str, Any]:
        """Grant. Raises InputError, DatabaseError."""
        ...


def add_intake(app: FastAPI, intake: RestIntake) -> None:
    """Add POST /api/door-events and POST /api/grants."""

    async def take(request: Request, work: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
        _authorize(request, intake.token)
        return await run_in_threadpool(work, await _body(request))

    @app.post(
        "/api/door-events",
        summary="Badge and door events; the same twice is one",
        response_model=DoorsTaken,
        openapi_extra=body_of(DoorReport),
    )
    async def door_events(request: Request) -> dict[str, Any]:
        return await take(request, intake.take_doors)

    @app.post(
        "/api/grants",
        summary="Permissions for zones",
        response_model=GrantsTaken,
        openapi_extra=body_of(GrantRequest),
    )
    async def grants(request: Request) -> dict[str, Any]:
        return await take(request, intake.take_grants)


def _authorize(request: Request, token: str | None) -> None:
    if token is None:
        raise HTTPException(403, "closed: alerts.intake.token is not configured")
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    if kind.lower() != "bearer" or not same:
        raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})


async def _body(request: Request) -> bytes:
    """The body, as far as it is not too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            raise HTTPException(413, f"more than {LARGEST_BODY} bytes; send fewer at once")
        parts.append(part)
    return b"".join(parts)
