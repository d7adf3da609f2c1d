"""Retention: old rows with their files, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from monitor.config import RetentionConfig
from monitor.events.database import open_database
from monitor.events.models import Coverage, OccupancyEvent
from monitor.events.schema import migrate
from monitor.events.snapshots import SnapshotStore, snapshot_path
from monitor.jobs import retention
from monitor.jobs.retention import Swept, cutoffs, sweep
from monitor.messages import EndReason

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEEP = RetentionConfig(events="90d", snapshots="30d")
JPEG = b"x" * 100


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/monitor.db"
    migrate(url)
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "snapshots")


def remember(
    engine: Engine,
    store: SnapshotStore,
    days_ago: float,
    *,
    lasted: timedelta | None = timedelta(minutes=5),
    zone: str = "gate",
) -> UUID:
    event_id, start = uuid4(), NOW - days_ago * DAY
    path = snapshot_path(event_id, start)
    store.write(path, JPEG)
    with Session(engine) as session, session.begin():
        session.add(
            OccupancyEvent(
                id=event_id, camera="dock", zone=zone,
                started_at=start, confirmed_at=start, last_seen_at=start,
                ended_at=None if lasted is None else start + lasted,
                end_reason=None if lasted is None else EndReason.VACATED,
                peak_score=0.9, mean_score=0.8, score_count=5,
                model_id="m", settings={}, snapshot=path,
                created_at=start, updated_at=start,
            )
        )  # fmt: skip
    return event_id


def kept(engine: Engine) -> dict[UUID, str | None]:
    with Session(engine) as session:
        rows = session.execute(select(OccupancyEvent.id, OccupancyEvent.snapshot)).all()
    return {row.id: row.snapshot for row in rows}


def files(store: SnapshotStore) -> set[str]:
    return {file.stem for file in store.folder.rglob("*.jpg")}


@settings(deadline=None)
@given(
    events=st.floats(1, 1e7), snapshots=st.floats(1, 1e7), now=st.datetimes(
        datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001
    )
)  # fmt: skip
def test_snapshots_never_outlive_their_events(
    events: float, snapshots: float, now: datetime
) -> None:
    limits = cutoffs(RetentionConfig(events=events, snapshots=snapshots), now)
    assert limits.events <= limits.snapshots < now


def test_old_events_go_whole_and_middle_aged_ones_lose_their_picture(
    engine: Engine, store: SnapshotStore
) -> None:
    remember(engine, store, 100)
    middle = remember(engine, store, 60)
    young = remember(engine, store, 10)
    assert sweep(engine, store, cutoffs(KEEP, NOW)) == Swept(1, 2, 200, 0)
    assert set(kept(engine)) == {middle, young}
    assert kept(engine)[middle] is None
    assert files(store) == {str(young)}
    assert sweep(engine, store, cutoffs(KEEP, NOW)) == Swept()


def test_open_events_never_go_and_age_counts_from_the_end(
    engine: Engine, store: SnapshotStore
) -> None:
    still_open = remember(engine, store, 500, lasted=None)
    long_stay = remember(engine, store, 100, lasted=95 * DAY, zone="yard")
    assert sweep(engine, store, cutoffs(KEEP, NOW)) == Swept()
    assert set(kept(engine)) == {still_open, long_stay}
    assert files(store) == {str(still_open), str(long_stay)}


def test_more_than_one_batch(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 7)
    for number in range(20):
        remember(engine, store, 100 + number % 5)  # many share their start
    assert sweep(engine, store, cutoffs(KEEP, NOW)).events == 20
    assert kept(engine) == {}


def test_a_file_that_cannot_be_deleted_keeps_its_row_and_stops_nobody(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = remember(engine, store, 120), remember(engine, store, 110)
    delete = store.delete

    def refuse(path: str) -> int:
        if str(stuck) in path:
            raise PermissionError(13, "Permission denied")
        return delete(path)

    monkeypatch.setattr(store, "delete", refuse)
    assert sweep(engine, store, cutoffs(KEEP, NOW)) == Swept(1, 1, 100, 2)
    assert set(kept(engine)) == {stuck}
    assert str(other) not in files(store)
    monkeypatch.undo()
    assert sweep(engine, store, cutoffs(KEEP, NOW)).events == 1


def test_a_file_that_is_gone_already_frees_nothing_and_its_row_goes(
    engine: Engine, store: SnapshotStore
) -> None:
    event_id = remember(engine, store, 100)
    store.delete(snapshot_path(event_id, NOW - 100 * DAY))
    assert sweep(engine, store, cutoffs(KEEP, NOW)) == Swept(1, 1, 0, 0)


def test_coverage_lives_as_long_as_events(engine: Engine, store: SnapshotStore) -> None:
    def span(days_ago: float, *, ended: bool) -> Coverage:
        start = NOW - days_ago * DAY
        return Coverage(
            id=uuid4(), camera="dock", zone="gate", started_at=start, last_seen_at=start,
            ended_at=start if ended else None,
        )  # fmt: skip

    with Session(engine) as session, session.begin():
        session.add_all([span(91, ended=True), span(89, ended=True), span(400, ended=False)])
    sweep(engine, store, cutoffs(KEEP, NOW))
    with Session(engine) as session:
        starts = {row.started_at for row in session.scalars(select(Coverage))}
    assert starts == {NOW - 89 * DAY, NOW - 400 * DAY}
