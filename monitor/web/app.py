"""The web application: health, metrics, API, live stream and dashboard on one port."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import Engine
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import monitor
from monitor.config.alerts import AlertConfig
from monitor.errors import UsageError
from monitor.events.models import OccupancyEvent
from monitor.web.acts import add_acts
from monitor.web.alerts import add_alerts
from monitor.web.answers import RecentEvents, Watched, answer
from monitor.web.arming import add_arming
from monitor.web.doorkeeper import Doorkeeper, Visitor
from monitor.web.errors import add_errors, known_filters
from monitor.web.feed import Feed, to_json
from monitor.web.gate import Gate
from monitor.web.health import Health, liveness, readiness
from monitor.web.intake import RestIntake, add_intake
from monitor.web.memory import add_memory
from monitor.web.metrics import StatusCollector
from monitor.web.signin import add_signin, visitor_of
from monitor.web.spec import describe
from monitor.web.status import EventBook, MonitorStatus

_STATIC = Path(__file__).with_name("static")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


_PAGES = {"/", "/login"}
"""With the static files, what a browser may keep, if it asks each time whether it is current."""


class _SafeHeaders:
    """Adds headers that keep the browser to this host; plain ASGI, so that streams stream."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                page = scope["path"] in _PAGES or scope["path"].startswith("/static/")
                headers.setdefault("Cache-Control", "no-cache" if page else "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


def create_app(
    status: MonitorStatus,
    events: EventBook,
    keeper: Doorkeeper,
    *,
    registry: CollectorRegistry | None = None,
    interval: float = 1.0,
    intake: RestIntake | None = None,
    memory: Engine | None = None,
    alerts: Callable[[], AlertConfig] | None = None,
    on_mark: Callable[[OccupancyEvent], None] | None = None,
) -> FastAPI:
    """The application over a daemon's `status` and its `events`, for whom `keeper` lets in.

    `registry` may hold further metrics; the status's own are added to it. `interval`: seconds
    between two looks of the live feed. `intake` takes grants and door events, `memory` answers
    questions to the event database, alerts included, and lets operators act, with `alerts` (the
    configuration in force) also arm and disarm; `on_mark` hears of events they mark. Serve it
    with `monitor.web.WebServer`.
    """
    metrics = registry or CollectorRegistry()
    metrics.register(StatusCollector(status))
    feed = Feed(status, events, interval)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    app = FastAPI(
        title="Presence monitor",
        version=monitor.__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load their scripts from other hosts
        redoc_url=None,
    )
    app.state.feed = feed
    app.add_middleware(Gate, keeper=keeper)
    app.add_middleware(_SafeHeaders)
    add_errors(app)
    describe(app)
    add_signin(app, keeper)
    _add_health(app, status, metrics, keeper)
    _add_cameras(app, status, feed)
    _add_events(app, events)
    if intake is not None:
        add_intake(app, intake)
    if memory is not None:
        add_memory(app, memory)
        add_alerts(app, memory)
        add_acts(app, memory, on_mark=on_mark)
        if alerts is not None:
            add_arming(app, memory, alerts)
    _add_dashboard(app, feed, keeper)
    return app


_PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}
_UNWELL: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "It is not"}}
"""What `/openapi.json` says of answers that are no JSON, or not 200."""


def _health_response(health: Health) -> Response:
    return answer(health, 200 if health.ok else 503)


def _add_health(
    app: FastAPI, status: MonitorStatus, metrics: CollectorRegistry, keeper: Doorkeeper
) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", summary="Is the process alive?", response_model=Health, responses=_UNWELL)
    def healthz() -> Response:
        return _health_response(liveness(status.report()))

    @app.head("/readyz", include_in_schema=False)
    @app.get(
        "/readyz", summary="Is presence being watched?", response_model=Health, responses=_UNWELL
    )
    def readyz(request: Request) -> Response:
        health = readiness(status.report())
        if keeper.config.closed and visitor_of(request) is None:
            health = replace(health, reasons=())  # they name cameras
        return _health_response(health)

    @app.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=Response,
        responses={200: {"content": {CONTENT_TYPE_LATEST.partition(";")[0]: {}}}},
    )
    def scrape() -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)


def _add_cameras(app: FastAPI, status: MonitorStatus, feed: Feed) -> None:
    @app.get(
        "/api/cameras",
        summary="All cameras and zones, with their last scores",
        response_model=Watched,
    )
    def cameras() -> Response:
        report = status.report()
        data = asdict(report)
        for camera in data["cameras"]:
            for zone in camera["zones"]:
                zone.update(feed.history(camera["name"], zone["name"]))
        data["version"] = monitor.__version__
        data["health"] = asdict(readiness(report))
        return Response(to_json(data), media_type="application/json")

    @app.get(
        "/api/cameras/{name}/picture.jpg",
        summary="A recent small picture",
        response_class=Response,
        responses=_PICTURE,
    )
    def picture(name: str) -> Response:
        jpeg = status.picture(name)
        if jpeg is None:
            raise HTTPException(404, f"no picture of camera {name}")
        return Response(jpeg, media_type="image/jpeg")


def _add_events(app: FastAPI, events: EventBook) -> None:
    @app.get(
        "/api/events",
        summary="Occupancy events, newest first",
        response_model=RecentEvents,
        dependencies=[Depends(known_filters)],
    )
    def recent(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        camera: Annotated[str | None, Query(max_length=64)] = None,
        since: datetime | None = None,
        open: bool = False,
    ) -> Response:
        if since is not None and since.tzinfo is None:
            raise UsageError(
                "the moment has no time zone",
                where="query since",
                remedy="write it as 2030-01-31T08:00:00Z or with an offset",
            )
        rows = events.recent(limit=limit, camera=camera, since=since, open_only=open)
        return answer(RecentEvents(list(rows)))

    @app.get(
        "/api/events/{event_id}/snapshot.jpg",
        summary="The picture of an event's peak",
        response_class=Response,
        responses={**_PICTURE, 304: {"description": "It is as `If-None-Match` says"}},
    )
    def snapshot(request: Request, event_id: UUID) -> Response:
        jpeg = events.snapshot(event_id)
        if jpeg is None:
            raise HTTPException(404, "this event has no picture")
        tag = f'"{hashlib.sha256(jpeg).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(jpeg, media_type="image/jpeg", headers=headers)


def _add_dashboard(app: FastAPI, feed: Feed, keeper: Doorkeeper) -> None:
    @app.get(
        "/api/stream",
        summary="Server-sent events: cameras, health, state, event",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def stream(request: Request) -> StreamingResponse:
        visitor = visitor_of(request)
        watched = _while_welcome(feed.stream(), keeper, visitor)
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(watched, media_type="text/event-stream", headers=headers)

    @app.get("/", include_in_schema=False)
    def dashboard() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=_STATIC), name="static")


async def _while_welcome(
    stream: AsyncIterator[str], keeper: Doorkeeper, visitor: Visitor | None
) -> AsyncIterator[str]:
    """The stream until the visitor would not be let in any more."""
    async for message in stream:
        if not keeper.welcome(visitor):
            return
        yield message
