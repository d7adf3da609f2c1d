"""Snapshot files: whole or absent."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from monitor.events.snapshots import SnapshotStore, snapshot_path

from .builders import JPEG, NOON


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "snapshots")


def test_a_picture_lies_under_its_day_and_is_replaced_whole(store: SnapshotStore) -> None:
    event_id = uuid4()
    path = snapshot_path(event_id, NOON)
    assert path == f"2026-03-01/{event_id}.jpg"
    store.write(path, JPEG)
    store.write(path, JPEG * 2)
    assert (store.folder / path).read_bytes() == JPEG * 2
    assert list(store.paths()) == []  # too fresh to be missed by its row
    os.utime(store.folder / path, (1e9, 1e9))
    assert list(store.paths()) == [path]
    assert [file.name for file in (store.folder / "2026-03-01").iterdir()] == [f"{event_id}.jpg"]


def test_deleting_frees_bytes_once_and_takes_the_empty_folder(store: SnapshotStore) -> None:
    first, second = (snapshot_path(uuid4(), NOON) for _ in range(2))
    store.write(first, JPEG)
    store.write(second, JPEG)
    assert store.delete(first) == len(JPEG)
    assert store.exists(second)
    assert not store.exists(first)
    assert store.delete(first) == 0
    store.delete(second)
    assert list(store.folder.iterdir()) == []


def test_a_failed_write_leaves_the_old_picture_and_no_partial(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = snapshot_path(uuid4(), NOON)
    store.write(path, JPEG)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write(path, b"new")
    assert (store.folder / path).read_bytes() == JPEG
    assert len(list((store.folder / "2026-03-01").iterdir())) == 1
