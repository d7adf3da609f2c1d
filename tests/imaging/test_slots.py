from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import ServiceError
from monitor.imaging.slots import PATCH_BYTES, Slots


def test_what_one_maps_the_other_reads() -> None:
    ours = Slots.create(3, room="room", remedy="less of it")
    theirs = Slots(os.dup(ours.fd), 3)
    ours.patches[1] = 7
    assert (theirs.patches[1] == 7).all()
    assert not theirs.patches[0].any()
    assert theirs.patches.shape == (3, 224, 224, 3)
    theirs.close()
    ours.close()


def test_memory_that_is_not_there_is_refused_with_the_bytes_needed() -> None:
    with pytest.raises(ServiceError, match=rf"{10**9 * PATCH_BYTES:,} bytes") as caught:
        Slots.create(10**9, room="room", remedy="less of it")
    assert (caught.value.where, caught.value.remedy) == ("room", "less of it")


def test_memory_that_cannot_be_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(ServiceError, match="No space left on device"):
        Slots.create(1, room="room", remedy="less of it")
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_works_without_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    slots = Slots.create(2, room="room", remedy="less of it")
    slots.patches[:] = np.uint8(5)
    assert slots.patches.sum() == 5 * 2 * PATCH_BYTES
    slots.close()
