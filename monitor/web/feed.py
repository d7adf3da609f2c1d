"""The live feed: one look at the daemon a second, however many browsers watch.

Subscribers get `cameras` (all of them) each time, `health` with it, `state` when a zone's
confirmed state changes, and `event` when an occupancy event is new or has changed. A
subscriber that does not keep up loses the oldest messages, never delays the others.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from monitor.telemetry import get_logger
from monitor.web.health import readiness
from monitor.web.status import EventBook, EventRow, MonitorStatus, StatusReport

HISTORY = 180
"""Scores and levels kept a zone, one an interval: what sparklines start with."""

EVENTS_WATCHED = 50
_BACKLOG = 64

log = get_logger(__name__)
Key = tuple[str, str]
Trail = dict[str, list[float | None]]
Message = tuple[str, str]
"""Name and JSON of a server-sent event."""


def to_json(value: Any) -> str:
    """JSON of plain data, times in ISO 8601 UTC."""
    return json.dumps(value, default=_plain, separators=(",", ":"), ensure_ascii=False)


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


class Feed:
    """Runs inside the web server's event loop; only `close_soon` may be called from elsewhere."""

    def __init__(self, status: MonitorStatus, events: EventBook, interval: float) -> None:
        self._status = status
        self._events = events
        self._interval = interval
        self._queues: set[asyncio.Queue[Message | None]] = set()
        self._history: dict[Key, deque[tuple[float | None, float | None]]] = {}
        self._states: dict[Key, str] = {}
        self._rows: dict[UUID, EventRow] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def history(self, camera: str, zone: str) -> Trail:
        """The zone's last `scores` and `levels`, one an interval, None where it had none."""
        kept = list(self._history.get((camera, zone), ()))
        return {"scores": [score for score, _ in kept], "levels": [level for _, level in kept]}

    async def run(self) -> None:
        """Look until cancelled. A look that fails is logged and the next one is tried."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("live feed: the status cannot be had")
            await asyncio.sleep(self._interval)

    def close_soon(self) -> None:
        """End all streams; from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is over already, and the streams with it
                self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        self._closed = True
        for queue in self._queues:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)

    async def stream(self) -> AsyncIterator[str]:
        """Server-sent events for one subscriber, until it leaves or the server stops."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue(_BACKLOG)
        self._queues.add(queue)
        try:
            yield "retry: 2000\n\n"
            while not self._closed and (message := await queue.get()):
                yield f"event: {message[0]}\ndata: {message[1]}\n\n"
        finally:
            self._queues.discard(queue)

    async def _look(self) -> None:
        report = await asyncio.to_thread(self._status.report)
        changes = self._note(report)
        if not self._queues:
            self._rows = None
            return
        self._send("cameras", {"cameras": [asdict(camera) for camera in report.cameras]})
        self._send("health", asdict(readiness(report)))
        for change in changes:
            self._send("state", change)
        await self._send_events()

    def _note(self, report: StatusReport) -> list[dict[str, Any]]:
        """Keep scores and states; which states changed."""
        changes = []
        for camera in report.cameras:
            for zone in camera.zones:
                key = (camera.name, zone.name)
                self._history.setdefault(key, deque(maxlen=HISTORY))
                self._history[key].append((zone.score, zone.level))
                before = self._states.get(key)
                self._states[key] = zone.state
                if before is not None and before != zone.state:
                    change = {"camera": camera.name, "zone": zone.name, "previous": before}
                    changes.append({**change, "state": zone.state, "since": zone.since})
        return changes

    async def _send_events(self) -> None:
        rows = await asyncio.to_thread(
            self._events.recent, limit=EVENTS_WATCHED, camera=None, since=None, open_only=False
        )
        known, self._rows = self._rows, {row.id: row for row in rows}
        if known is None:  # the first look: what is there already is no news
            return
        for row in reversed(rows):
            if known.get(row.id) != row:
                self._send("event", asdict(row))

    def _send(self, name: str, data: dict[str, Any]) -> None:
        message = name, to_json(data)
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)
