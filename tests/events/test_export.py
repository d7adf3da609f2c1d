"""Exports: every event with every field, in a whole file or none."""

from __future__ import annotations

import builtins
import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from monitor.errors import InputError, UsageError
from monitor.events import export as export_module
from monitor.events.export import export_events
from monitor.events.models import OccupancyEvent
from monitor.events.queries import EventFilter
from monitor.events.records import FIELDS
from monitor.storage.audit import find_entries

from .conftest import ALL_BACKENDS
from .test_commands import run
from .test_queries import fill, row

BACKENDS = ALL_BACKENDS


@pytest.fixture
def thirty(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Thirty events, read in pages of seven; the last one is open."""
    monkeypatch.setattr(export_module, "LARGEST_PAGE", 7)
    values = [row("dock", "gate", 10.25 * i, 10.25 * i + 5 + i / 1e3) for i in range(29)]
    values.append(row("dock", "gate", 400, None))
    for value in values:
        value["settings"] = {"enter_threshold": 0.8, "note": "a, b"}
    values[3]["peak_score"] = 0.9999976
    fill(engine, values)
    return values


def test_csv(engine: Engine, thirty: list[dict[str, Any]], tmp_path: Path) -> None:
    pages: list[int] = []
    assert export_events(engine, EventFilter(), tmp_path / "e.csv", on_page=pages.append) == 30
    assert pages == [7, 14, 21, 28, 30]
    with (tmp_path / "e.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == list(FIELDS)
    assert [line["id"] for line in found] == [str(value["id"]) for value in thirty]
    assert float(found[3]["peak_score"]) == 0.9999976
    assert datetime.fromisoformat(found[2]["ended_at"]) == thirty[2]["ended_at"]
    assert json.loads(found[0]["settings"]) == thirty[0]["settings"]
    assert found[-1]["ended_at"] == ""


def test_json(engine: Engine, thirty: list[dict[str, Any]], tmp_path: Path) -> None:
    export_events(engine, EventFilter(open_only=True), tmp_path / "e.jsonl")
    (found,) = (json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines())
    assert found["id"] == str(thirty[-1]["id"])
    assert found["settings"] == thirty[-1]["settings"]
    assert found["duration_s"] is None


def test_parquet(engine: Engine, thirty: list[dict[str, Any]], tmp_path: Path) -> None:
    export_events(engine, EventFilter(), tmp_path / "e.parquet")
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.column_names == list(FIELDS)
    found = table.to_pylist()
    assert [line["started_at"] for line in found] == [value["started_at"] for value in thirty]
    assert [line["peak_score"] for line in found] == [value["peak_score"] for value in thirty]
    assert found[-1]["ended_at"] is None


def test_a_file_is_whole_or_not_there(
    engine: Engine, thirty: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "e.csv").write_text("the export of yesterday")

    def stop(count: int) -> None:
        if count > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_events(engine, EventFilter(), tmp_path / "e.csv", on_page=stop)
    assert (tmp_path / "e.csv").read_text() == "the export of yesterday"
    assert list(tmp_path.glob(".e*")) == []


def test_what_cannot_be_exported_is_said(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="what kind of file"):
        export_events(engine, EventFilter(), tmp_path / "events.xlsx")
    with pytest.raises(UsageError, match="no folder"):
        export_events(engine, EventFilter(), tmp_path / "gone" / "e.csv")
    (tmp_path / "e.csv").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        export_events(engine, EventFilter(), tmp_path / "e.csv")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="Parquet needs pyarrow") as raised:
        export_events(engine, EventFilter(), tmp_path / "e.parquet")
    assert "pip install" in raised.value.remedy


def test_the_command_tells_the_audit_log(
    url: str, engine: Engine, thirty: list[dict[str, Any]], tmp_path: Path
) -> None:
    target = tmp_path / "dock.jsonl"
    done = run("events", "export", "--to", str(target), "--db", url, "--who", "anna")
    assert done.exit_code == 0, done.output
    assert f"{target}: 30 events" in done.stdout
    (entry,) = find_entries(engine, action="export")
    assert (entry.actor, entry.subject) == ("anna", "dock.jsonl")
    assert json.loads(entry.details)["rows"] == 30
    with Session(engine) as session:
        assert len(session.scalars(select(OccupancyEvent)).all()) == 30
