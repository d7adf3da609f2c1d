"""Every refusal as JSON: what is wrong, where, and what to do about it.

400 a request that makes no sense   401 who asks?   403 may not   404 is not there
409 contradicts how things are      421 asked for by a foreign name
429 too often                       503 the database is away
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from monitor.errors import DatabaseError, InputError, MonitorError, NotFoundError, UsageError
from monitor.telemetry import get_logger
from monitor.web.feed import to_json


class ConflictError(MonitorError):
    """What is asked for contradicts how things are."""


_STATUS: tuple[tuple[type[MonitorError], int], ...] = (
    (ConflictError, 409),
    (NotFoundError, 404),
    (UsageError, 400),
    (InputError, 400),
    (DatabaseError, 503),
)
_MANUAL = "GET /openapi.json describes every request"

log = get_logger(__name__)


def refusal(
    status: int,
    what: str,
    *,
    where: str = "",
    remedy: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A refusal; empty parts are there, too."""
    body = to_json({"what": what, "where": where, "remedy": remedy})
    return Response(body, status, dict(headers or {}), "application/json")


def refuse(error: MonitorError) -> Response:
    """A refusal for what a room below raised. What the database says stays in the log."""
    status = next((each for kind, each in _STATUS if isinstance(error, kind)), 500)
    if status >= 500:
        log.error("a request failed", reason=str(error))
        return refusal(
            status,
            "the database cannot be asked now" if status == 503 else "the monitor failed",
            remedy="the monitor's log and /readyz say more",
            headers={"Retry-After": "5"} if status == 503 else None,
        )
    return refusal(status, error.what, where=error.where, remedy=error.remedy)


def add_errors(app: FastAPI) -> None:
    """Have every error of `app` answered as a refusal."""

    @app.exception_handler(HTTPException)
    def by_status(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        what = error.detail
        if what == HTTPStatus(error.status_code).phrase:  # nobody said more
            what = f"{request.method} {request.url.path}: {what.lower()}"
        return refusal(error.status_code, what, remedy=_remedy(error), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def misshapen(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = error.errors()
        what = "; ".join(str(fault["msg"]).removeprefix("Value error, ") for fault in faults)
        where = "; ".join(_place(fault["loc"]) for fault in faults)
        return refusal(400, what, where=where, remedy=_MANUAL)

    @app.exception_handler(MonitorError)
    def from_below(_request: Request, error: Exception) -> Response:
        assert isinstance(error, MonitorError)
        return refuse(error)

    @app.exception_handler(Exception)
    def failed(_request: Request, _error: Exception) -> Response:
        return refusal(500, "the monitor failed", remedy="the monitor's log says more")


def known_filters(request: Request) -> None:
    """Refuse a query that names filters there are none of: the answer would not be filtered.

    A dependency of routes. Raises RequestValidationError.
    """
    described = request.app.openapi()["paths"][request.scope["route"].path]["get"]
    known = {each["name"] for each in described.get("parameters", ()) if each["in"] == "query"}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        allowed = f"there is no such filter; {', '.join(sorted(known)) or 'there is none'}"
        raise RequestValidationError([{"msg": allowed, "loc": ("query", name)} for name in unknown])


def _place(place: Any) -> str:
    kind, *names = place
    return f"{kind} {'.'.join(map(str, names))}".strip()


def _remedy(error: HTTPException) -> str:
    return _MANUAL if error.status_code in {404, 405} else ""
