"""Patches in shared memory: numbered slots that the processes of a room can read and write.

The memory is an anonymous file (memfd) whose descriptor is handed to each process. It has no
name in /dev/shm: nothing can be left behind, however a process dies, and the small /dev/shm of
containers does not limit it. All of it is reserved at start, so that a machine without the
memory says so then instead of dying of a bus error later (Frigate issues 1354, 261, 528, 142).
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ServiceError
from monitor.imaging.preprocess import SIDE

PATCH_BYTES: Final = SIDE * SIDE * 3


class Slots:
    """`count` slots of one RGB uint8 patch (224, 224, 3) each, in memory behind `fd`."""

    def __init__(self, fd: int, count: int) -> None:
        """Map the memory behind `fd`; the descriptor now belongs to this object."""
        self.fd = fd
        self.count = count
        self._map = mmap.mmap(fd, count * PATCH_BYTES)
        self.patches: NDArray[np.uint8] = np.frombuffer(self._map, dtype=np.uint8).reshape(
            count, SIDE, SIDE, 3
        )

    @classmethod
    def create(cls, count: int, *, room: str, remedy: str) -> Slots:
        """Reserve memory for `count` patches.

        Raises ServiceError, which names the `room` and the `remedy`, if there is not enough.
        """
        needed = count * PATCH_BYTES
        available = _available_bytes()
        if needed > available:
            raise ServiceError(
                _too_little(count, needed, f"{available:,} are available"),
                where=room,
                remedy=remedy,
            )
        fd = _anonymous_file()
        try:
            os.posix_fallocate(fd, 0, needed)
            return cls(fd, count)
        except OSError as error:
            os.close(fd)
            raise ServiceError(
                _too_little(count, needed, str(error.strerror)), where=room, remedy=remedy
            ) from error

    def close(self) -> None:
        """Give the memory back; views of `patches` must not be used any more."""
        del self.patches
        self._map.close()
        os.close(self.fd)


def _too_little(count: int, needed: int, why: str) -> str:
    return f"cannot reserve {needed:,} bytes of shared memory for {count} patches: {why}"


def _available_bytes() -> int:
    """Memory that can be had without swapping (Linux), or all there is (elsewhere)."""
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _anonymous_file() -> int:
    """A descriptor of a file without a name: it vanishes with the last process that has it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("presence-monitor-patches")
    with tempfile.TemporaryFile() as file:  # systems other than Linux
        return os.dup(file.fileno())
