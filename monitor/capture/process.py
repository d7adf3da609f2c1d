"""A capture process as its parent sees it: one running child, and what is said to it."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection

from monitor.capture.protocol import Added, Ask, Dropped, Freed, Shown, Sighted, Standing, Task
from monitor.config import LoggingConfig
from monitor.config.inference import PROJECT
from monitor.imaging.slots import Slots
from monitor.messages import Attention, Outage, Picture

PICTURE_TIMEOUT = 2.0
"""Seconds a picture for people may take."""


class Process:
    """One run of a child; when it has ended, another one takes its place."""

    def __init__(self, slots: Slots, task: Task) -> None:
        ours, theirs = socket.socketpair()
        pictures, their_pictures = socket.socketpair()
        with theirs, their_pictures:
            handed = (theirs.fileno(), their_pictures.fileno(), slots.fd)
            self._child = subprocess.Popen(  # noqa: S603  (our own module)
                [
                    *(sys.executable, "-m", "monitor.capture.child"),
                    *(*map(str, handed), str(slots.count)),
                ],
                pass_fds=handed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": _python_path()},
                process_group=0,  # Ctrl-C is the parent's alone
            )
        self._line = Connection(ours.detach())
        self._pictures = Connection(pictures.detach())
        self._sending = threading.Lock()
        self._asking = threading.Lock()
        self._tickets = itertools.count()
        self._forgotten: deque[tuple[str, int]] = deque()
        self._ended = False
        self.tell(task)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._child.pid

    def hear(self, timeout: float) -> Sighted | Standing | Outage | None:
        """What it says next; None if it says nothing within `timeout` seconds.

        Raises EOFError or OSError when it is dead.
        """
        if not self._line.poll(timeout):
            return None
        message = self._line.recv()
        assert isinstance(message, Sighted | Standing | Outage)
        return message

    def tell(self, message: Task | Freed | Added | Dropped | Attention | LoggingConfig) -> None:
        """Say something to it; to the dead, in vain."""
        with self._sending, suppress(OSError):
            if not self._ended:
                self._line.send(message)

    def free(self, slots: tuple[int, ...]) -> None:
        """These slots may be written again."""
        frames = []
        with suppress(IndexError):
            while True:
                frames.append(self._forgotten.popleft())
        self.tell(Freed(slots, tuple(frames)))

    def forget(self, camera: str, sequence: int) -> None:
        """Nobody can ask for this frame's picture any more; told with the next slots."""
        self._forgotten.append((camera, sequence))

    def picture(self, camera: str, sequence: int) -> Picture | None:
        """The picture for people of a frame; None if the process is dead or does not answer."""
        deadline = time.monotonic() + PICTURE_TIMEOUT
        with self._asking, suppress(OSError, EOFError):
            if self._ended:
                return None
            ticket = next(self._tickets)
            self._pictures.send(Ask(ticket, camera, sequence))
            while self._pictures.poll(max(0.0, deadline - time.monotonic())):
                answer = self._pictures.recv()
                assert isinstance(answer, Shown)
                if answer.ticket == ticket:  # else one that came too late
                    return answer.picture
        return None

    def end(self, grace: float) -> int:
        """Close its lines, give it `grace` seconds to leave, then kill it; its exit code."""
        with self._sending, self._asking:
            self._ended = True
            self._line.close()
            self._pictures.close()
        try:
            return self._child.wait(grace)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()


def _python_path() -> str:
    """This package in reach, wherever the process was started."""
    paths = [str(PROJECT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.pathsep.join(path for path in paths if path)
