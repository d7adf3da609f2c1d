"""Pictures on their way: tried again, bounded, and named only once they are in place."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

import pytest

from monitor.clock import Stamp
from monitor.events import owed as owed_module
from monitor.events.owed import OwedSnapshots
from monitor.events.snapshots import SnapshotStore, snapshot_path

from .builders import JPEG, NOON, at


class HandClock:
    def __init__(self) -> None:
        self.stamp = at(0)

    def now(self) -> Stamp:
        return self.stamp

    def pass_seconds(self, seconds: float) -> None:
        self.stamp = self.stamp.shifted(seconds)


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "snapshots")


def test_a_picture_is_owed_until_its_row_names_it(store: SnapshotStore) -> None:
    owed = OwedSnapshots(store, HandClock())
    event_id = uuid4()
    path = snapshot_path(event_id, NOON)
    assert not owed.pending()
    owed.add(event_id, path, JPEG, named=False)
    assert owed.placed() == {}
    assert owed.owes(event_id)
    owed.place()
    assert owed.placed() == {event_id: path}
    assert (store.folder / path).read_bytes() == JPEG
    assert owed.pending()
    owed.settle([event_id])
    assert not owed.pending()
    assert owed.count == 0


def test_a_picture_whose_row_names_it_already_needs_no_transaction(store: SnapshotStore) -> None:
    owed = OwedSnapshots(store, HandClock())
    event_id = uuid4()
    path = snapshot_path(event_id, NOON)
    owed.add(event_id, path, JPEG, named=True)
    owed.place()
    assert (owed.placed(), owed.count) == ({}, 0)
    assert store.exists(path)


def test_a_newer_picture_takes_the_place_of_the_one_on_its_way(store: SnapshotStore) -> None:
    owed = OwedSnapshots(store, HandClock())
    event_id = uuid4()
    path = snapshot_path(event_id, NOON)
    owed.add(event_id, path, JPEG, named=False)
    owed.place()
    named = owed.placed()
    owed.add(event_id, "2026-03-02/elsewhere.jpg", JPEG * 2, named=False)
    owed.settle(named)  # the transaction that names the first one ends now
    assert owed.count == 1
    owed.place()
    assert owed.count == 0
    assert [file.name for file in store.folder.rglob("*.jpg")] == [f"{event_id}.jpg"]
    assert (store.folder / path).read_bytes() == JPEG * 2


def test_the_picture_of_an_event_that_is_gone_goes_too(store: SnapshotStore) -> None:
    owed = OwedSnapshots(store, HandClock())
    event_id = uuid4()
    owed.add(event_id, snapshot_path(event_id, NOON), JPEG, named=False)
    owed.place()
    for gone, path in owed.placed().items():
        owed.discard(gone, path)
    assert owed.count == 0
    assert list(store.folder.iterdir()) == []


def test_what_cannot_be_written_is_tried_again(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_module, "RETRY_AFTER", 0.2)
    store.folder.write_text("a file where the folder should be")
    clock, changes = HandClock(), list[str]()
    owed = OwedSnapshots(store, clock, on_change=lambda: changes.append(owed.reason))
    owed.start()
    event_id = uuid4()
    owed.add(event_id, snapshot_path(event_id, NOON), JPEG, named=False)
    deadline = time.monotonic() + 30
    while not changes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert changes[0].startswith("snapshots: ")
    assert not owed.pending()  # nobody waits for it
    assert not owed.owes(event_id)
    time.sleep(0.3)
    assert len(changes) == 1  # by the clock it is not yet due
    store.folder.unlink()
    clock.pass_seconds(0.3)
    while not owed.placed() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(owed.placed()) == [event_id]
    assert owed.reason == ""
    owed.stop(10.0)


def test_memory_is_bounded_and_the_loss_counted(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_module, "MOST_OWED", 3 * len(JPEG))
    owed = OwedSnapshots(store, HandClock())
    ids = [uuid4() for _ in range(5)]
    for event_id in ids:
        owed.add(event_id, snapshot_path(event_id, NOON), JPEG, named=False)
    assert owed.lost == 2
    owed.place()
    assert set(owed.placed()) == set(ids[2:])
