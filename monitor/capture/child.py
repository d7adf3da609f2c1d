"""A capture process: a CaptureRoom whose frames leave through shared memory.

Started as `python -m monitor.capture.child`, it speaks over two sockets, one for messages and
one for pictures that people want to see, and ends when the first one closes: it never outlives
the process that started it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np

from monitor.capture.protocol import (
    Added,
    Ask,
    Dropped,
    Freed,
    Shown,
    Sighted,
    Standing,
    Task,
)
from monitor.capture.room import CaptureRoom
from monitor.clock import SystemClock
from monitor.config import LoggingConfig
from monitor.errors import ConfigError
from monitor.imaging.slots import Slots
from monitor.messages import Attention, Frame, Outage
from monitor.telemetry import configure_logging, get_logger

log = get_logger(__name__)

SAY_EVERY = 0.5
"""Seconds between two reports of how the readers stand."""


class Child:
    """Sends what its room gives, and does what it is told."""

    def __init__(self, line: Connection, pictures: Connection, slots: Slots, task: Task) -> None:
        self._line = line
        self._pictures = pictures
        self._slots = slots
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._free = list(range(slots.count))
        self._kept: dict[tuple[str, int], Frame] = {}
        self._room = CaptureRoom(
            task.cameras,
            on_frame=self._on_frame,
            on_outage=self._send,
            clock=SystemClock(),
            max_side=task.max_side,
        )
        for attention in task.attention:
            self._room.attend(attention)

    def serve(self) -> None:
        """Read cameras until the parent closes the line."""
        self._room.start()
        for work in (self._report, self._show):
            threading.Thread(target=work, daemon=True).start()
        with suppress(EOFError, ConnectionResetError):
            while True:
                self._obey(self._line.recv())
        self._room.stop(1.0)  # cameras allow few viewers: take leave of them

    def _obey(self, command: Any) -> None:
        match command:
            case Freed(slots, frames):
                for key in frames:
                    self._kept.pop(key, None)
                with self._changed:
                    self._free.extend(slots)
                    self._changed.notify_all()
            case Attention():
                self._room.attend(command)
            case Added(cameras):
                with suppress(ConfigError):  # the parent has looked at them
                    self._room.add(cameras)
            case Dropped(cameras):
                self._room.drop(cameras)
            case LoggingConfig():
                configure_logging(command)

    def _on_frame(self, frame: Frame) -> None:
        """In the camera's thread; it waits while there are no free slots."""
        zones = tuple((cut.zone, len(cut.patches)) for cut in frame.cuts)
        count = sum(number for _, number in zones)
        slots: tuple[int, ...] = ()
        patches = None
        if count > self._slots.count:
            patches = np.concatenate([cut.patches for cut in frame.cuts])
        else:
            slots = self._take(count)
            places = iter(slots)
            for cut in frame.cuts:
                for patch in cut.patches:
                    self._slots.patches[next(places)] = patch
        key = (frame.camera, frame.sequence)
        self._kept[key] = Frame(*key, frame.stamp, frame.pts, (), frame.shown)
        self._send(Sighted(*key, frame.stamp, frame.pts, zones, slots, patches, frame.scene))

    def _take(self, count: int) -> tuple[int, ...]:
        with self._changed:
            self._changed.wait_for(lambda: len(self._free) >= count)
            return tuple(self._free.pop() for _ in range(count))

    def _send(self, message: Sighted | Standing | Outage) -> None:
        with self._sending, suppress(OSError):  # the parent is gone: `serve` ends
            self._line.send(message)

    def _report(self) -> None:
        pause = threading.Event()
        while not pause.wait(SAY_EVERY):
            self._send(Standing(self._room.stats()))

    def _show(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                ask: Ask = self._pictures.recv()
                frame = self._kept.get((ask.camera, ask.sequence))
                self._pictures.send(Shown(ask.ticket, frame.picture if frame else None))


def main() -> None:
    """Serve on the descriptors named on the command line: line, pictures, slots, their number."""
    # Ctrl-C and a service manager's SIGTERM reach the whole group; the parent decides when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(1)
    line, pictures, slots, count = (int(argument) for argument in sys.argv[1:])
    connection = Connection(line)
    with suppress(EOFError, ConnectionResetError):  # the parent is gone
        task: Task = connection.recv()
        configure_logging(task.logging)
        Child(connection, Connection(pictures), Slots(slots, count), task).serve()
    os._exit(0)  # threads that wait for a dead camera do not hold it up


if __name__ == "__main__":
    main()
