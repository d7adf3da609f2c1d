"""The audit log knows which configuration was in force, and no secret of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from monitor.config import MonitorConfig
from monitor.daemon.record import note_configuration
from monitor.events.schema import migrate
from monitor.storage.audit import find_entries
from monitor.storage.chain import verify
from monitor.storage.database import open_database


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/monitor.db"
    migrate(url)
    engine = open_database(url)
    yield engine
    engine.dispose()


def configured(url: str = "rtsp://ann:geheim@cam-1/main", **more: Any) -> MonitorConfig:
    cameras = {"dock": {"source": {"url": url}}, "yard": {"source": {"url": "rtsp://cam-2/"}}}
    return MonitorConfig.model_validate({"cameras": cameras, **more})


def test_the_first_configuration_and_every_other_one_is_recorded_once(engine: Engine) -> None:
    first, second = configured(), configured(retention={"events": "7d"})
    assert note_configuration(engine, first, how="start")
    assert note_configuration(engine, first, how="start") == []
    assert note_configuration(engine, second, how="reload", actor="ann") == ["retention"]
    assert note_configuration(engine, second, how="start") == []
    newest, oldest = find_entries(engine)
    assert (newest.actor, newest.action, newest.subject) == ("ann", "config", "reload")
    assert json.loads(newest.details)["changed"] == ["retention"]
    assert (oldest.actor, json.loads(oldest.details)["changed"]) == ("monitor", ["all"])
    assert verify(engine).fault is None


def test_cameras_are_parts_of_their_own(engine: Engine) -> None:
    note_configuration(engine, configured(), how="start")
    moved = configured("rtsp://ann:geheim@cam-9/main")
    assert note_configuration(engine, moved, how="start") == ["cameras.dock"]
    fewer = MonitorConfig.model_validate({"cameras": {"dock": moved.cameras["dock"].model_dump()}})
    assert note_configuration(engine, fewer, how="start") == ["cameras.yard"]


def test_a_password_is_neither_kept_nor_guessable(engine: Engine) -> None:
    note_configuration(engine, configured(), how="start")
    assert note_configuration(engine, configured("rtsp://ann:other@cam-1/main"), how="start") == []
    assert "geheim" not in find_entries(engine)[0].details
