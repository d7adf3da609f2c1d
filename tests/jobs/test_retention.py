"""Retention: what is too old or too much goes with its files, and nothing else does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from events.conftest import ALL_BACKENDS
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from monitor.alerts.models import AlertRow, DeliveryRow, DoorRow, GrantRow
from monitor.alerts.models import Base as Alerts
from monitor.config import RetentionConfig
from monitor.config.alerts import AlertConfig
from monitor.events.database import writing
from monitor.events.holds import hold, holds, release
from monitor.events.models import CameraHealthRow, Coverage, OccupancyEvent, ScoreMinute
from monitor.events.snapshots import SnapshotStore, snapshot_path
from monitor.jobs import retention, sweeper
from monitor.jobs.limits import Gone, Limits, Why
from monitor.jobs.retention import Report, sweep
from monitor.messages import EndReason, HealthKind
from monitor.storage.audit import find_entries
from monitor.storage.chain import verify

BACKENDS = ALL_BACKENDS

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
JPEG = b"x" * 100


def limits(**changes: Any) -> Limits:
    keep = RetentionConfig(**({"events": "90d", "snapshots": "30d"} | changes))
    return Limits.of(keep, AlertConfig(), NOW)


KEEP = limits()


@pytest.fixture(autouse=True)
def _no_alerts(engine: Engine) -> None:
    with Session(writing(engine)) as session, session.begin():
        for table in reversed(Alerts.metadata.sorted_tables):
            session.execute(delete(table))


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "snapshots")


def remember(
    engine: Engine,
    store: SnapshotStore,
    *days_ago: float,
    lasted: timedelta | None = timedelta(minutes=5),
    zone: str = "gate",
) -> list[UUID]:
    made = []
    with Session(writing(engine)) as session, session.begin():
        for age in days_ago:
            event_id, start = uuid4(), NOW - age * DAY
            path = snapshot_path(event_id, start)
            target = store.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(JPEG)
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
            made.append(event_id)
    return made


def kept(engine: Engine) -> dict[UUID, str | None]:
    with Session(engine) as session:
        rows = session.execute(select(OccupancyEvent.id, OccupancyEvent.snapshot)).all()
    return {row.id: row.snapshot for row in rows}


def files(store: SnapshotStore) -> set[UUID]:
    return {UUID(file.stem) for file in store.folder.rglob("*.jpg")}


def gone(report: Report) -> dict[tuple[str, str], tuple[int, int]]:
    return {(each.kind, each.why.value): (each.rows, each.freed_bytes) for each in report.gone}


def deletions(engine: Engine) -> Counter[tuple[str, str]]:
    """What the audit log says was deleted."""
    total: Counter[tuple[str, str]] = Counter()
    for entry in find_entries(engine, action="delete", limit=10_000):
        details = json.loads(entry.details)
        total[entry.subject, details["why"]] += details["count"]
    return total


def agree(engine: Engine, store: SnapshotStore, what: Limits) -> Report:
    """A dry run changes nothing and foretells what the real one does and writes down."""
    before, lying, noted = kept(engine), files(store), verify(engine).entries
    foretold = sweep(engine, store, what, dry_run=True)
    assert (kept(engine), files(store), verify(engine).entries) == (before, lying, noted)
    already = deletions(engine)
    report = sweep(engine, store, what)
    assert report == foretold
    told = deletions(engine) - already
    assert told == {(each.kind, each.why.value): each.rows for each in report.gone}
    assert verify(engine).fault is None
    return report


@settings(deadline=None)
@given(
    events=st.floats(1, 1e7), snapshots=st.floats(1, 1e7), now=st.datetimes(
        datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001
    )
)  # fmt: skip
def test_snapshots_never_outlive_their_events(
    events: float, snapshots: float, now: datetime
) -> None:
    found = Limits.of(RetentionConfig(events=events, snapshots=snapshots), AlertConfig(), now)
    assert found.events <= found.snapshots < now


def test_old_events_go_whole_and_middle_aged_ones_lose_their_picture(
    engine: Engine, store: SnapshotStore
) -> None:
    _, middle, young = remember(engine, store, 100, 60, 10)
    report = agree(engine, store, KEEP)
    assert gone(report) == {("events", "age"): (1, 100), ("snapshots", "age"): (1, 100)}
    assert set(kept(engine)) == {middle, young}
    assert kept(engine)[middle] is None
    assert files(store) == {young}
    assert agree(engine, store, KEEP) == Report((), 0)


def test_open_events_never_go_and_age_counts_from_the_end(
    engine: Engine, store: SnapshotStore
) -> None:
    (still_open,) = remember(engine, store, 500, lasted=None)
    (long_stay,) = remember(engine, store, 100, lasted=95 * DAY, zone="yard")
    strict = limits(max_events=1, max_disk=1, min_free="100TB")
    assert agree(engine, store, KEEP) == Report((), 0)
    assert files(store) == {still_open, long_stay}
    report = sweep(engine, store, strict)
    assert still_open in kept(engine)
    assert still_open in files(store)
    assert report.lacking_bytes > 0


def test_a_held_event_stays_with_its_picture_whatever_the_limits(
    engine: Engine, store: SnapshotStore
) -> None:
    held, other = remember(engine, store, 400, 399)
    hold(engine, held, who="ann", why="case 7", now=NOW)
    agree(engine, store, limits(max_events=1))
    assert set(kept(engine)) == {held}
    sweep(engine, store, limits(max_events=1, max_disk=1, min_free="100TB"))
    assert set(kept(engine)) == files(store) == {held}
    with pytest.raises(DBAPIError), Session(writing(engine)) as session, session.begin():
        session.execute(delete(OccupancyEvent))  # the database itself refuses
    release(engine, held, who="bob", why="closed", now=NOW)
    agree(engine, store, KEEP)
    assert kept(engine) == {}
    assert other not in files(store)
    words = [
        (entry.action, entry.actor) for entry in find_entries(engine) if entry.actor != "retention"
    ]
    assert words == [("release", "bob"), ("hold", "ann")]


def test_a_hold_that_comes_while_a_batch_is_chosen_wins(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = remember(engine, store, 100, 99)
    choose = sweeper.Sweeper._batch

    def interrupted(self: sweeper.Sweeper, *given: Any) -> Any:
        batch = choose(self, *given)
        if batch and not holds(engine):
            hold(engine, first, who="ann", why="just in time", now=NOW)
        return batch

    monkeypatch.setattr(sweeper.Sweeper, "_batch", interrupted)
    report = sweep(engine, store, KEEP)
    assert gone(report)["events", "age"] == (1, 100)
    assert set(kept(engine)) == files(store) == {first}
    assert second not in kept(engine)


def test_more_than_one_batch(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "BATCH", 7)
    remember(engine, store, *(100 + number % 5 for number in range(20)))  # many share their start
    assert agree(engine, store, KEEP).gone == (Gone("events", Why.AGE, 20, 2000),)
    assert kept(engine) == {}
    assert len(find_entries(engine)) == 3


def test_by_count_the_oldest_go_first(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "BATCH", 3)
    ids = remember(engine, store, 95, *range(20, 10, -1))
    report = agree(engine, store, limits(max_events=4))
    assert gone(report) == {("events", "age"): (1, 100), ("events", "count"): (6, 600)}
    assert set(kept(engine)) == files(store) == set(ids[-4:])


def test_by_disk_the_oldest_pictures_go_until_it_suffices(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "database_bytes", lambda _engine: 0)
    ids = remember(engine, store, *range(20, 10, -1))
    report = agree(engine, store, limits(max_disk=550))
    assert gone(report) == {("snapshots", "disk"): (5, 500)}
    assert files(store) == set(ids[5:])
    assert set(kept(engine)) == set(ids)


def test_count_and_disk_reckon_with_each_other(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "database_bytes", lambda _engine: 0)
    ids = remember(engine, store, 200, 60, *range(20, 10, -1))
    report = agree(engine, store, limits(max_events=8, max_disk=300))
    assert gone(report) == {
        ("events", "age"): (1, 100),
        ("snapshots", "age"): (1, 100),
        ("events", "count"): (3, 200),
        ("snapshots", "disk"): (5, 500),
    }
    assert files(store) == set(ids[-3:])
    assert set(kept(engine)) == set(ids[-8:])


def test_where_pictures_do_not_suffice_scores_go_then_events(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = remember(engine, store, *range(20, 10, -1))
    with Session(writing(engine)) as session, session.begin():
        session.add_all(
            ScoreMinute(camera="dock", zone="gate", minute=NOW - age * DAY, scores=b"s")
            for age in (5.5, 4.5, 3.5)
        )

    def size(_engine: Engine) -> int:
        with Session(engine) as session:
            scores = session.scalar(select(func.count()).select_from(ScoreMinute)) or 0
            events = session.scalar(select(func.count()).select_from(OccupancyEvent)) or 0
        return 50 * scores + 10 * events

    monkeypatch.setattr(retention, "database_bytes", size)
    report = sweep(engine, store, limits(max_disk=200))
    assert gone(report) == {("snapshots", "disk"): (10, 1000), ("score history", "disk"): (1, 0)}
    assert len(kept(engine)) == 10
    report = sweep(engine, store, limits(max_disk=75))
    assert gone(report) == {("score history", "disk"): (2, 0), ("events", "disk"): (3, 0)}
    assert set(kept(engine)) == set(ids[3:])
    assert report.lacking_bytes == 0


def test_a_disk_that_others_fill_costs_no_picture_of_the_last_day(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "free_bytes", lambda _folder: 1000)
    ids = remember(engine, store, 9, 8, 0.5, 0.2)
    report = agree(engine, store, limits(min_free=1150))
    assert gone(report) == {("snapshots", "disk"): (2, 200)}
    assert report.lacking_bytes == 0
    assert files(store) == set(ids[2:])
    report = agree(engine, store, limits(min_free=1150))
    assert report == Report((), 150)
    assert agree(engine, store, limits(min_free=900)) == Report((), 0)


def test_a_file_that_cannot_be_deleted_is_counted_and_taken_as_a_stray_later(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = remember(engine, store, 120, 110)
    delete_file = store.delete

    def refuse(path: str) -> int:
        if str(stuck) in path:
            raise PermissionError(13, "Permission denied")
        return delete_file(path)

    monkeypatch.setattr(store, "delete", refuse)
    report = sweep(engine, store, KEEP)
    assert report.gone[0] == Gone("events", Why.AGE, 2, 100, stuck=1)
    assert files(store) == {stuck}
    assert kept(engine) == {}
    monkeypatch.undo()
    assert gone(sweep(engine, store, KEEP)) == {("stray snapshots", "age"): (1, 100)}
    assert files(store) == set()
    assert other not in files(store)


def test_strays_and_halves_of_old_days_go_those_of_yesterday_stay(
    engine: Engine, store: SnapshotStore
) -> None:
    (named,) = remember(engine, store, 60, lasted=None)
    for name in (
        f"{NOW - 60 * DAY:%Y-%m-%d}/stray.jpg",
        f"{NOW - 60 * DAY:%Y-%m-%d}/.half.jpg.partial",
        f"{NOW - 50 * DAY:%Y-%m-%d}/stray.jpg",
        f"{NOW - 1 * DAY:%Y-%m-%d}/fresh.jpg",
    ):
        (store.folder / name).parent.mkdir(exist_ok=True)
        (store.folder / name).write_bytes(JPEG)
    assert gone(agree_strays(engine, store)) == {("stray snapshots", "age"): (3, 300)}
    left = sorted(file.name for file in store.folder.rglob("*") if file.is_file())
    assert left == sorted([f"{named}.jpg", "fresh.jpg"])
    assert not (store.folder / f"{NOW - 50 * DAY:%Y-%m-%d}").exists()


def agree_strays(engine: Engine, store: SnapshotStore) -> Report:
    foretold = sweep(engine, store, KEEP, dry_run=True)
    report = sweep(engine, store, KEEP)
    assert report == foretold
    return report


def test_a_crash_between_row_and_file_leaves_a_stray_that_the_next_sweep_takes(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(engine, store, 100)

    class Killed(BaseException):
        pass

    def die(_path: str) -> int:
        raise Killed

    monkeypatch.setattr(store, "delete", die)
    with pytest.raises(Killed):
        sweep(engine, store, KEEP)
    assert kept(engine) == {}
    assert len(files(store)) == 1
    monkeypatch.undo()
    assert gone(sweep(engine, store, KEEP)) == {("stray snapshots", "age"): (1, 100)}
    assert files(store) == set()


def test_coverage_and_camera_health_live_as_long_as_events(
    engine: Engine, store: SnapshotStore
) -> None:
    def span(days_ago: float, *, ended: bool) -> Coverage:
        start = NOW - days_ago * DAY
        return Coverage(
            id=uuid4(), camera="dock", zone="gate", started_at=start, last_seen_at=start,
            ended_at=start if ended else None,
        )  # fmt: skip

    def blur(days_ago: float, *, ended: bool) -> CameraHealthRow:
        start = NOW - days_ago * DAY
        return CameraHealthRow(
            id=uuid4(), camera="dock", kind=next(iter(HealthKind)), started_at=start,
            confirmed_at=start, ended_at=start if ended else None, detail="",
        )  # fmt: skip

    with Session(writing(engine)) as session, session.begin():
        session.add_all([span(91, ended=True), span(89, ended=True), span(400, ended=False)])
        session.add_all([blur(91, ended=True), blur(89, ended=True), blur(400, ended=False)])
    assert gone(agree(engine, store, KEEP)) == {
        ("coverage", "age"): (1, 0),
        ("camera health", "age"): (1, 0),
    }
    with Session(engine) as session:
        starts = {row.started_at for row in session.scalars(select(Coverage))}
    assert starts == {NOW - 89 * DAY, NOW - 400 * DAY}


def alert(days_ago: float, event_id: UUID | None = None) -> AlertRow:
    moment = NOW - days_ago * DAY
    return AlertRow(
        id=uuid4(), rule="r", trigger="occupied", severity="high", camera="dock", zone="gate",
        event_id=event_id, at=moment, raised_at=moment, title="t", reasons=[], state="open",
        count=1, parent_id=None, window_until=None, escalate_at=None, updated_at=moment,
    )  # fmt: skip


def delivery(of: AlertRow, state: str) -> DeliveryRow:
    return DeliveryRow(
        alert_id=of.id, channel="mail", key=uuid4(), place="dock/gate", state=state, attempts=1,
        next_attempt_at=of.at, expires_at=of.at, sent_at=None, last_error="", created_at=of.at,
    )  # fmt: skip


def test_alerts_go_with_their_deliveries_unless_owed_or_of_a_held_event(
    engine: Engine, store: SnapshotStore
) -> None:
    (held,) = remember(engine, store, 200)
    hold(engine, held, who="ann", why="case 7", now=NOW)
    told, owed, evidence, young = alert(100), alert(100), alert(100, held), alert(80)
    with Session(writing(engine), expire_on_commit=False) as session, session.begin():
        session.add_all([told, owed, evidence, young])
        session.flush()
        session.add_all([delivery(told, "sent"), delivery(owed, "pending")])
        for age in (100, 80):
            moment = NOW - age * DAY
            session.add(
                DoorRow(id=uuid4(), door="d", kind="opened", subject="", at=moment, source="s",
                        created_at=moment)
            )  # fmt: skip
            session.add(
                GrantRow(id=uuid4(), camera="dock", zone="gate", subject="ann", since=moment,
                         until=moment, single_use=False, used_at=None, revoked_at=None,
                         source="s", created_at=moment)
            )  # fmt: skip
    report = agree(engine, store, KEEP)
    assert gone(report) == {
        ("alerts", "age"): (1, 0), ("door events", "age"): (1, 0), ("grants", "age"): (1, 0)
    }  # fmt: skip
    with Session(engine) as session:
        assert set(session.scalars(select(AlertRow.id))) == {owed.id, evidence.id, young.id}
        assert session.scalars(select(DeliveryRow.alert_id)).all() == [owed.id]


def test_the_score_history_has_an_age_of_its_own(engine: Engine, store: SnapshotStore) -> None:
    with Session(writing(engine)) as session, session.begin():
        session.add_all(
            ScoreMinute(camera="dock", zone="gate", minute=NOW - age * DAY, scores=b"s")
            for age in (40, 35, 25)
        )
    assert gone(agree(engine, store, KEEP)) == {("score history", "age"): (2, 0)}


def test_two_sweeps_at_once_take_everything_once(
    engine: Engine, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job and the command meet in every batch."""
    monkeypatch.setattr(sweeper, "BATCH", 5)
    remember(engine, store, *(100 + number for number in range(20)))
    choose: Callable[..., Any] = sweeper.Sweeper._batch
    inside: list[int] = []

    def interrupted(self: sweeper.Sweeper, *given: Any) -> Any:
        batch = choose(self, *given)
        if batch and not inside:
            inside.append(1)
            sweep(engine, store, KEEP, actor="ann")
            inside.clear()
        return batch

    monkeypatch.setattr(sweeper.Sweeper, "_batch", interrupted)
    sweep(engine, store, KEEP)
    assert kept(engine) == {}
    assert files(store) == set()
    assert deletions(engine) == {("events", "age"): 20}
