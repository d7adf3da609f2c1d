"""Messages on disk while the database is away: append-only, checksummed, fsynced, in order.

A record is `marker, length, CRC-32` (12 bytes, big endian) and a payload: the length of a JSON
text, that text, then the snapshot's bytes. What a crash or a full disk left half-written at the
end is cut off and reported; the cut bytes are kept beside the file.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import URL

from monitor.clock import Stamp
from monitor.events.apply import Message
from monitor.events.database import sqlite_path
from monitor.messages import (
    CameraHealth,
    EndReason,
    HealthKind,
    PresenceState,
    Progress,
    Summary,
    Transition,
)
from monitor.storage.files import sync_folder
from monitor.telemetry import get_logger

_MARKER = 0x50535031  # "PSP1": presence spool, version 1
_HEAD = struct.Struct(">III")
_LENGTH = struct.Struct(">I")
_LARGEST = 64 * 1024 * 1024

log = get_logger(__name__)


class Spool:
    """One spool file. Safe to use from several threads.

    `pending` counts its messages, `cut` the bytes that were unreadable when it was opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.pending = 0
        self.cut = 0
        self._size = 0
        if path.exists():
            self._inspect()

    def append(self, messages: Sequence[Message]) -> None:
        """Add messages durably, all or none. Raises OSError."""
        data = b"".join(_record(message) for message in messages)
        with self._lock:
            fresh = not self._path.exists()
            if fresh:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._size = 0
            with self._path.open("ab") as file:
                try:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.ftruncate(file.fileno(), self._size)
                    raise
            if fresh:
                sync_folder(self._path.parent)
            self._size += len(data)
            self.pending += len(messages)

    def read(self) -> Iterator[Message]:
        """The messages in the order they were added. Raises OSError."""
        with self._path.open("rb") as file:
            while (payload := _next_payload(file)) is not None:
                yield decode(payload)

    def clear(self) -> None:
        """Forget all messages: they are in the database now. Raises OSError."""
        with self._lock:
            with self._path.open("r+b") as file:
                file.truncate(0)
                os.fsync(file.fileno())
            self._size = 0
            self.pending = 0

    def _inspect(self) -> None:
        """Count what is readable; keep the rest aside, cut it off and say so."""
        with self._path.open("r+b") as file:
            self.pending, self._size = _readable(file)
            file.seek(self._size)
            damaged = file.read()
            if damaged:
                self.cut = len(damaged)
                aside = self._path.with_name(f"{self._path.name}.damaged")
                with aside.open("ab") as kept:
                    kept.write(damaged)
                    os.fsync(kept.fileno())
                file.truncate(self._size)
                os.fsync(file.fileno())
                log.error(
                    "the spool's unreadable end was cut off",
                    spool=str(self._path),
                    readable_messages=self.pending,
                    cut_bytes=self.cut,
                    kept_in=str(aside),
                )


def count_messages(path: Path) -> tuple[int, int]:
    """Messages in a spool file and unreadable bytes at its end. Changes nothing: the file may
    belong to a running process. Raises OSError."""
    with path.open("rb") as file:
        count, size = _readable(file)
        return count, file.seek(0, os.SEEK_END) - size


def _readable(file: BinaryIO) -> tuple[int, int]:
    """How many messages can be read, and the size of the file up to their end."""
    count = size = 0
    while (payload := _next_payload(file)) is not None and _decodes(payload):
        count += 1
        size = file.tell()
    return count, size


def _next_payload(file: BinaryIO) -> bytes | None:
    """The next record's payload; None at the end and where the file cannot be read on."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    marker, length, checksum = _HEAD.unpack(head)
    if marker != _MARKER or length > _LARGEST:
        return None
    payload = file.read(length)
    if len(payload) < length or zlib.crc32(payload) != checksum:
        return None
    return payload


def _record(message: Message) -> bytes:
    payload = encode(message)
    return _HEAD.pack(_MARKER, len(payload), zlib.crc32(payload)) + payload


def _decodes(payload: bytes) -> bool:
    try:
        decode(payload)
    except (ValueError, KeyError, TypeError, struct.error):
        return False
    return True


def encode(message: Message) -> bytes:
    """A message as bytes; `decode` makes an equal one of them."""
    if isinstance(message, CameraHealth):
        return _encode_health(message)
    fields: dict[str, Any] = {
        "camera": message.camera,
        "zone": message.zone,
        "event": message.event_id.hex if message.event_id else None,
        "summary": _summary_fields(message.summary),
        "picture": message.snapshot is not None,
    }
    if isinstance(message, Progress):
        fields |= {"kind": "progress", "seen": _stamp_fields(message.seen)}
    else:
        fields |= {
            "kind": "transition",
            "previous": message.previous,
            "current": message.current,
            "at": _stamp_fields(message.at),
            "confirmed": _stamp_fields(message.confirmed),
            "end_reason": message.end_reason,
            "settings": dict(message.settings),
            "model": message.model_id,
        }
    text = json.dumps(fields, default=str, ensure_ascii=False).encode()
    return _LENGTH.pack(len(text)) + text + (message.snapshot or b"")


def decode(payload: bytes) -> Message:
    """The message of `encode`. Raises ValueError, KeyError, TypeError or struct.error."""
    (length,) = _LENGTH.unpack_from(payload)
    body = _LENGTH.size + length
    fields = json.loads(payload[_LENGTH.size : body])
    if fields["kind"] == "health":
        return _decode_health(fields)
    snapshot = payload[body:] if fields["picture"] else None
    event_id = UUID(fields["event"]) if fields["event"] else None
    summary = Summary(*fields["summary"]) if fields["summary"] else None
    if fields["kind"] == "progress":
        if event_id is None or summary is None:
            raise ValueError("progress without event or summary")
        seen = _stamp(fields["seen"])
        return Progress(event_id, fields["camera"], fields["zone"], seen, summary, snapshot)
    return Transition(
        camera=fields["camera"],
        zone=fields["zone"],
        previous=PresenceState(fields["previous"]),
        current=PresenceState(fields["current"]),
        at=_stamp(fields["at"]),
        confirmed=_stamp(fields["confirmed"]),
        event_id=event_id,
        summary=summary,
        end_reason=EndReason(fields["end_reason"]) if fields["end_reason"] else None,
        snapshot=snapshot,
        settings=fields["settings"],
        model_id=fields["model"],
    )


def _encode_health(health: CameraHealth) -> bytes:
    fields = {
        "kind": "health",
        "id": health.id.hex,
        "camera": health.camera,
        "what": health.kind,
        "at": _stamp_fields(health.at),
        "confirmed": _stamp_fields(health.confirmed),
        "ended": _stamp_fields(health.ended) if health.ended else None,
        "detail": health.detail,
    }
    text = json.dumps(fields, ensure_ascii=False).encode()
    return _LENGTH.pack(len(text)) + text


def _decode_health(fields: dict[str, Any]) -> CameraHealth:
    return CameraHealth(
        id=UUID(fields["id"]),
        camera=fields["camera"],
        kind=HealthKind(fields["what"]),
        at=_stamp(fields["at"]),
        confirmed=_stamp(fields["confirmed"]),
        ended=_stamp(fields["ended"]) if fields["ended"] else None,
        detail=fields["detail"],
    )


def _summary_fields(summary: Summary | None) -> list[float] | None:
    return [summary.peak_score, summary.mean_score, summary.score_count] if summary else None


def _stamp_fields(stamp: Stamp) -> list[Any]:
    return [stamp.monotonic, stamp.utc.isoformat()]


def _stamp(fields: list[Any]) -> Stamp:
    monotonic, utc = fields
    return Stamp(float(monotonic), datetime.fromisoformat(utc))


def default_spool(url: URL) -> Path:
    """Where the spool of a database lies: beside a SQLite file, else `var/events.spool`."""
    file = sqlite_path(url)
    return file.with_name(f"{file.name}.spool") if file else Path("var/events.spool")
