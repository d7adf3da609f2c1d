"""`db retention`, `db maintain` and `events hold` as people type them, on all databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from events.conftest import ALL_BACKENDS
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from monitor.cli.app import app
from monitor.errors import DatabaseError, MonitorError, UsageError
from monitor.events.snapshots import SnapshotStore
from monitor.storage.audit import find_entries
from monitor.storage.chain import verify
from monitor.storage.ownership import Ownership

from . import test_retention
from .test_retention import files, kept, remember

BACKENDS = ALL_BACKENDS


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "snapshots")


@pytest.fixture
def config(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration file; ages count from the present."""
    monkeypatch.setattr(test_retention, "NOW", datetime.now(UTC))
    monkeypatch.setenv("DATABASE", url)
    file = tmp_path / "monitor.yaml"
    file.write_text(
        "cameras: {dock: {source: {url: 'rtsp://camera/'}}}\n"
        "database: {url: '${DATABASE}'}\n"
        f"snapshots: {{folder: {tmp_path}/snapshots}}\n"
        "retention: {events: 90d, snapshots: 30d, max_events: 3}\n"
    )
    return str(file)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "300"})


def failure(result: Result) -> MonitorError:
    assert isinstance(result.exception, MonitorError), result.output
    return result.exception


def test_a_dry_run_then_the_real_one_beside_a_running_monitor(
    engine: Engine, url: str, store: SnapshotStore, config: str
) -> None:
    ids = remember(engine, store, 100, 60, 5, 4, 3)
    words = ["db", "retention", "--config", config, "--who", "ann", "--format", "json"]
    with Ownership(url):
        dry = run(*words, "--dry-run")
        assert set(kept(engine)) == files(store) == set(ids)
        done = run(*words)
    assert dry.exit_code == done.exit_code == 0, done.output
    assert dry.stdout == done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["kind"], line["why"], line["rows"]) for line in lines] == [
        ("events", "age", 1), ("snapshots", "age", 1), ("events", "count", 1)
    ]  # fmt: skip
    assert set(kept(engine)) == set(ids[2:])
    assert {entry.actor for entry in find_entries(engine)} == {"ann"}
    assert "nothing is beyond the limits" in run("db", "retention", "-c", config).output


def test_limits_that_cannot_be_kept_exit_1(
    engine: Engine, store: SnapshotStore, config: str
) -> None:
    remember(engine, store, 0.1)
    text = Path(config).read_text().replace("max_events: 3", "min_free: 900TB")
    Path(config).write_text(text)
    done = run("db", "retention", "--config", config)
    assert done.exit_code == 1
    assert "too much is left" in done.output
    assert len(files(store)) == 1


def test_hold_and_release(engine: Engine, url: str, store: SnapshotStore, config: str) -> None:
    (old,) = remember(engine, store, 500)
    held = run("events", "hold", str(old), "--why", "case 7", "--who", "ann", "--db", url)
    assert held.output == f"{old} is held\n"
    assert (
        "held already, by ann: case 7"
        in failure(run("events", "hold", str(old), "--why", "again", "--db", url)).what
    )
    line = json.loads(run("events", "held", "--db", url, "-f", "json").stdout)
    assert (line["event"], line["who"], line["why"]) == (str(old), "ann", "case 7")
    run("db", "retention", "--config", config)
    assert set(kept(engine)) == files(store) == {old}
    assert run("events", "release", str(old), "--why", "closed", "--db", url).exit_code == 0
    run("db", "retention", "--config", config)
    assert kept(engine) == {}
    assert [entry.action for entry in find_entries(engine)] == ["delete", "release", "hold"]
    assert verify(engine).fault is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hold", "nonsense", "--why", "x"], "is no event id"),
        (["hold", str(UUID(int=7)), "--why", "x"], "there is no event"),
        (["hold", str(UUID(int=7)), "--why", " "], "needs a reason"),
        (["release", str(UUID(int=7)), "--why", "x"], "is not held"),
    ],
)
def test_slips(url: str, words: list[str], said: str) -> None:
    error = failure(run("events", *words, "--db", url))
    assert isinstance(error, UsageError)
    assert said in error.what


def test_maintenance(url: str, backend: str) -> None:
    done = run("db", "maintain", "--db", url)
    assert done.exit_code == 0, done.output
    assert ("left" if backend == "sqlite" else "analysed") in done.output
    with Ownership(url):
        assert run("db", "maintain", "--db", url).exit_code == 0
        refused = run("db", "maintain", "--rebuild", "--db", url)
        assert isinstance(failure(refused), DatabaseError)
    assert run("db", "maintain", "--rebuild", "--db", url).exit_code == 0
