"""The writer: never blocks, never loses, never writes twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, delete, text

from monitor.clock import SystemClock
from monitor.errors import DatabaseError
from monitor.events import owed as owed_module
from monitor.events import writer as writer_module
from monitor.events.commit import Commit
from monitor.events.models import OccupancyEvent
from monitor.events.restart import open_occupancies
from monitor.events.snapshots import SnapshotStore
from monitor.events.spool import Spool
from monitor.events.writer import EventWriter
from monitor.messages import EndReason

from .builders import JPEG, NOON, at, closing, opening, progress
from .conftest import ALL_BACKENDS, rows

BACKENDS = ALL_BACKENDS

PATIENCE = 60.0
"""Seconds to wait for what takes a tenth of a second on a quiet machine."""

MakeWriter = Callable[[], EventWriter]


def wait_until(condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@contextmanager
def outage(engine: Engine) -> Iterator[None]:
    """Meanwhile the database answers every write with an error."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE occupancy_events RENAME TO away"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO occupancy_events"))


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(writer_module, "LAST_RETRY", 0.1)


def test_a_story_is_written_with_its_picture_and_reported(
    engine: Engine, make_writer: MakeWriter, commits: list[Commit], tmp_path: Path
) -> None:
    writer = make_writer()
    writer.start()
    event_id = uuid4()
    writer.put(opening(event_id, snapshot=JPEG))
    assert writer.flush(PATIENCE)
    (row,) = rows(engine)
    assert row.is_open == 1
    assert row.snapshot == f"2026-03-01/{event_id}.jpg"
    writer.put(closing(event_id, 30, snapshot=JPEG * 3))
    assert writer.flush(PATIENCE)
    (row,) = rows(engine)
    assert row.end_reason is EndReason.VACATED
    assert (tmp_path / "snapshots" / row.snapshot).read_bytes() == JPEG * 3
    assert [commit.message.event_id for commit in commits] == [event_id, event_id]
    stats = writer.stats()
    assert (stats.written, stats.queued, stats.lag, stats.failed) == (2, 0, 0.0, False)


def test_an_event_past_midnight_keeps_one_picture(
    engine: Engine, make_writer: MakeWriter, tmp_path: Path
) -> None:
    writer = make_writer()
    writer.start()
    event_id = uuid4()
    writer.put(opening(event_id, snapshot=JPEG))
    assert writer.flush(PATIENCE)
    writer.put(closing(event_id, 86_400, snapshot=JPEG))
    assert writer.flush(PATIENCE)
    assert len(list((tmp_path / "snapshots").rglob("*.jpg"))) == 1


def test_many_threads_put_without_waiting_and_nothing_is_lost(
    engine: Engine, make_writer: MakeWriter, commits: list[Commit]
) -> None:
    writer = make_writer()
    writer.start()
    slowest = []

    def camera(name: str) -> None:
        worst = 0.0
        for number in range(25):
            event_id = uuid4()
            for message in (
                opening(event_id, 10 * number, camera=name),
                closing(event_id, 10 * number + 5, camera=name),
            ):
                begun = time.perf_counter()
                writer.put(message)
                worst = max(worst, time.perf_counter() - begun)
        slowest.append(worst)

    threads = [threading.Thread(target=camera, args=(f"cam{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(PATIENCE)
    assert len(rows(engine)) == 200
    assert all(row.ended_at is not None for row in rows(engine))
    assert len(commits) == 400
    assert max(slowest) < 2.0


def test_an_outage_spools_then_everything_arrives_once_and_in_order(
    engine: Engine, make_writer: MakeWriter, commits: list[Commit], tmp_path: Path
) -> None:
    writer = make_writer()
    writer.start()
    event_id, second = uuid4(), uuid4()
    writer.put(opening(event_id))
    assert writer.flush(PATIENCE)
    with outage(engine):
        writer.put(closing(event_id, 9))
        wait_until(lambda: writer.stats().spooled == 1)
        writer.put(opening(second, 20))
        wait_until(lambda: writer.stats().spooled == 2)
        stats = writer.stats()
        assert stats.failed
        assert "occupancy_events" in stats.reason
        assert stats.queued == 0
        assert writer.lag() > 0.0
        assert not writer.flush(0.05)
    assert writer.flush(PATIENCE)
    wait_until(lambda: not writer.stats().failed)
    assert Spool(tmp_path / "events.spool").pending == 0
    first_row, second_row = rows(engine)
    assert first_row.ended_at == at(9).utc
    assert second_row.is_open == 1
    assert [c.message.event_id for c in commits] == [event_id, event_id, second]


def test_stopping_in_an_outage_leaves_the_spool_to_the_next_process(
    engine: Engine, make_writer: MakeWriter, tmp_path: Path
) -> None:
    event_id = uuid4()
    with outage(engine):
        writer = make_writer()
        writer.start()
        writer.put(opening(event_id, snapshot=JPEG))
        writer.put(progress(event_id, 8))
        assert writer.stop(timeout=PATIENCE)
    assert rows(engine) == []
    successor = make_writer()
    assert successor.lag() >= 0.0
    assert successor.replay_spool() == 2
    (row,) = rows(engine)
    assert (tmp_path / "snapshots" / f"{row.snapshot}").read_bytes() == JPEG
    (found,) = open_occupancies(engine, [("dock", "gate")], SystemClock().now())
    assert found.event_id == event_id
    assert successor.replay_spool() == 0


def test_stopping_writes_what_is_left_and_takes_no_more(
    engine: Engine, make_writer: MakeWriter
) -> None:
    writer = make_writer()
    writer.start()
    for number in range(100):
        writer.put(opening(camera=f"cam{number}"))
    assert writer.stop(timeout=PATIENCE)
    assert len(rows(engine)) == 100
    with pytest.raises(RuntimeError, match="stopped"):
        writer.put(opening())


def test_neither_database_nor_disk_keeps_all_in_memory_and_says_so(
    engine: Engine, make_writer: MakeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "PICTURES_IN_MEMORY", 2)

    def full(_self: Spool, _messages: object) -> None:
        raise OSError(28, "No space left on device")

    writer = make_writer()
    writer.start()
    event_id = uuid4()
    with outage(engine):
        monkeypatch.setattr(Spool, "append", full)
        writer.put(opening(event_id, snapshot=JPEG))
        for second in range(1, 40):
            writer.put(progress(event_id, second, count=10 + second))
            time.sleep(0.005)
        writer.put(closing(event_id, 50))
        wait_until(lambda: "No space left" in writer.stats().reason)
        wait_until(lambda: writer.stats().queued <= 4)
        assert writer.lag() > 0.0
    assert writer.flush(PATIENCE)
    (row,) = rows(engine)
    assert (row.ended_at, row.score_count) == (at(50).utc, 100)
    wait_until(lambda: not writer.stats().failed)


def test_a_folder_that_cannot_be_written_delays_the_picture_not_the_event(
    engine: Engine, make_writer: MakeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_module, "RETRY_AFTER", 0.2)
    (tmp_path / "snapshots").write_text("in the way")
    writer = make_writer()
    writer.start()
    event_id = uuid4()
    writer.put(opening(event_id, snapshot=JPEG))
    assert writer.flush(PATIENCE)
    (row,) = rows(engine)
    assert row.snapshot is None
    assert writer.stats().reason.startswith("snapshots: ")
    (tmp_path / "snapshots").unlink()
    wait_until(lambda: rows(engine)[0].snapshot is not None)
    assert (tmp_path / "snapshots" / f"{rows(engine)[0].snapshot}").read_bytes() == JPEG
    wait_until(lambda: not writer.stats().failed)


def test_an_event_is_committed_while_its_picture_is_still_being_written(
    engine: Engine,
    make_writer: MakeWriter,
    commits: list[Commit],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow_disk = threading.Event()
    write_all = SnapshotStore.write_all

    def wait_for_the_disk(store: SnapshotStore, pictures: Mapping[str, bytes]) -> None:
        assert slow_disk.wait(PATIENCE)
        write_all(store, pictures)

    monkeypatch.setattr(SnapshotStore, "write_all", wait_for_the_disk)
    writer = make_writer()
    writer.start()
    first, second = uuid4(), uuid4()
    writer.put(opening(first, snapshot=JPEG))
    wait_until(lambda: len(commits) == 1)
    assert not writer.await_snapshot(first, 0.05)
    writer.put(opening(second, camera="two"))
    wait_until(lambda: len(commits) == 2)
    assert [row.snapshot for row in rows(engine)] == [None, None]
    assert writer.await_snapshot(second, 0.05)  # it has none
    assert not writer.flush(0.05)
    slow_disk.set()
    assert writer.await_snapshot(first, PATIENCE)
    named = {row.id: row.snapshot for row in rows(engine)}
    assert named == {first: f"2026-03-01/{first}.jpg", second: None}


def test_stopping_waits_for_pictures(
    engine: Engine, make_writer: MakeWriter, tmp_path: Path
) -> None:
    writer = make_writer()
    writer.start()
    for number in range(40):
        writer.put(opening(camera=f"cam{number}", snapshot=JPEG))
    assert writer.stop(timeout=PATIENCE)
    paths = [row.snapshot for row in rows(engine)]
    assert len(paths) == 40
    assert all((tmp_path / "snapshots" / f"{path}").read_bytes() == JPEG for path in paths)


def test_a_picture_whose_event_was_deleted_meanwhile_does_not_stay(
    engine: Engine, make_writer: MakeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all = SnapshotStore.write_all

    def delete_first(store: SnapshotStore, pictures: Mapping[str, bytes]) -> None:
        with engine.begin() as connection:
            connection.execute(delete(OccupancyEvent))
        write_all(store, pictures)

    writer = make_writer()
    writer.start()
    writer.put(opening())
    assert writer.flush(PATIENCE)
    monkeypatch.setattr(SnapshotStore, "write_all", delete_first)
    writer.put(opening(camera="two", snapshot=JPEG))
    assert writer.flush(PATIENCE)
    assert rows(engine) == []
    assert list((tmp_path / "snapshots").rglob("*.jpg")) == []


def test_what_the_database_refuses_is_set_aside_and_the_rest_goes_on(
    engine: Engine, make_writer: MakeWriter, commits: list[Commit], tmp_path: Path
) -> None:
    writer = make_writer()
    poison = opening(camera="broken")
    object.__setattr__(poison.summary, "peak_score", 7.0)
    good = [opening(camera="one"), opening(camera="two")]
    for message in (good[0], poison, good[1]):
        writer.put(message)
    writer.start()
    assert writer.flush(PATIENCE)
    assert {row.camera for row in rows(engine)} == {"one", "two"}
    assert [commit.message for commit in commits] == good
    assert writer.stats().rejected == 1
    assert list(Spool(tmp_path / "events.spool.rejected").read()) == [poison]


def test_a_listener_that_fails_harms_nobody(engine: Engine, tmp_path: Path) -> None:
    def listener(_commit: Commit) -> None:
        raise ValueError("no")

    writer = EventWriter(
        engine,
        spool=tmp_path / "s",
        snapshots=None,
        clock=SystemClock(),
        on_committed=listener,
    )
    writer.start()
    writer.put(opening(snapshot=JPEG))
    writer.put(opening(camera="two"))
    assert writer.stop(timeout=PATIENCE)
    assert len(rows(engine)) == 2


def test_an_unreadable_spool_is_an_error_with_a_remedy(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "events.spool").mkdir()
    with pytest.raises(DatabaseError, match="spool cannot be opened"):
        EventWriter(engine, spool=tmp_path / "events.spool", snapshots=None, clock=SystemClock())


def test_restart_resumes_what_is_watched_and_ends_what_is_not(
    engine: Engine, make_writer: MakeWriter
) -> None:
    writer = make_writer()
    writer.start()
    watched, gone = uuid4(), uuid4()
    writer.put(opening(watched))
    writer.put(progress(watched, 12, count=60))
    writer.put(opening(gone, camera="sold"))
    writer.put(progress(gone, 4, camera="sold"))
    assert writer.stop(timeout=PATIENCE)

    now = at(20)
    (found,) = open_occupancies(engine, {("dock", "gate"), ("new", "frame")}, now)
    assert found.event_id == watched
    assert now.since(found.started) == pytest.approx(20)
    assert now.since(found.seen) == pytest.approx(8)
    assert found.seen.utc == at(12).utc
    assert found.summary.score_count == 60
    ended = next(row for row in rows(engine) if row.id == gone)
    assert (ended.ended_at, ended.end_reason) == (at(4).utc, EndReason.CONFIG_CHANGED)
    assert ended.started_at == NOON
