"""A worker as its parent sees it: starting it, speaking with it, ending it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection

from monitor.config.inference import PROJECT
from monitor.imaging.slots import Slots
from monitor.inference.batcher import Batch
from monitor.inference.protocol import Answer, Failed, Order, Ready, Task, unpacked

MALLOC = (
    "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:"
    "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1073741824"
)
"""glibc keeps what the network's layers free, in huge pages. Else a batch of 8 takes 3,800 page
faults, a fifth of its processor time, for memory given back and asked for again. Huge pages are
for the first arena only; OpenVINO lays out weights in threads, which would have arenas of their
own."""

KEEP_TENSORS = "-1"
"""Paddle's FLAGS_eager_delete_tensor_gb: below 0 the tensors between the layers stay for the next
batch. Else a thread beside frees them, layer by layer, which costs up to a sixth of the time."""

DEPTH = 2
"""Batches a worker holds at most: the one it computes and the next, so that it never idles."""


class Worker:
    """One worker process and the batches it holds, the one being computed first.

    `ready`: it has passed its self-test. `since`: when it was started or last made progress,
    in monotonic seconds; what a watchdog looks at while `busy`.
    """

    def __init__(self, slots: Slots, task: Task, now: float) -> None:
        """Start the process; it says `Ready` or `Failed` later."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (our own module)
                [
                    *(sys.executable, "-m", "monitor.inference.worker"),
                    *(str(theirs.fileno()), str(slots.fd), str(slots.count)),
                ],
                pass_fds=(theirs.fileno(), slots.fd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # Paddle prints there; the parent's is for data
                env=_environment(),
                process_group=0,  # Ctrl-C is the parent's alone
            )
        self.connection = Connection(ours.detach())
        self.held: deque[Batch] = deque()
        self.ready = False
        self.since = now
        with suppress(BrokenPipeError):  # it may have died already; `receive` tells
            self.connection.send(task)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def busy(self) -> bool:
        """Whether something is expected of it."""
        return not self.ready or bool(self.held)

    def send(self, batch: Batch, now: float) -> None:
        """Hand it `batch`, whose patches lie in their slots. Raises BrokenPipeError if dead."""
        if not self.held:
            self.since = now
        self.held.append(batch)
        self.connection.send_bytes(Order(batch.number, batch.slots).packed())

    def receive(self) -> Ready | Failed | Answer:
        """What it says next. Raises EOFError or ConnectionResetError when it is dead."""
        return unpacked(self.connection.recv_bytes())

    def end(self, grace: float) -> int:
        """Close its socket, give it `grace` seconds to leave, then kill it; its exit code."""
        self.connection.close()
        try:
            return self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def kill(self) -> int:
        """End it at once, hung or not; its exit code."""
        self._process.kill()
        return self.end(grace=10.0)


def _environment() -> dict[str, str]:
    """The parent's environment, one thread for every math library, and this package in reach."""
    paths = [str(PROJECT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "GLIBC_TUNABLES": ":".join(filter(None, (os.environ.get("GLIBC_TUNABLES"), MALLOC))),
        "FLAGS_eager_delete_tensor_gb": KEEP_TENSORS,
        "GLOG_minloglevel": "2",  # errors only; Paddle reports the rest as exceptions
    }
