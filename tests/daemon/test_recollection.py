"""What empty rooms score, over a restart of the daemon."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import make_url

from monitor.clock import Stamp
from monitor.config.camera import CameraConfig, SourceConfig
from monitor.daemon.recollection import SAVE_EVERY, Recollection
from monitor.messages import Light
from monitor.presence import PresenceRoom
from monitor.presence.background import Level

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KNOWN = {("dock", "frame"): {(Light.IR, 3): Level(0.8, 0.1, 4000.0, NOON)}}


def room() -> PresenceRoom:
    source = SourceConfig(url=SecretStr("rtsp://camera/"))
    return PresenceRoom({"dock": CameraConfig(source=source)}, on_message=lambda _message: None)


def recollection(folder: Path, presence: PresenceRoom) -> Recollection:
    return Recollection(presence, make_url(f"sqlite:///{folder}/monitor.db"))


def test_what_was_learned_is_there_after_a_restart(tmp_path: Path) -> None:
    old, new = room(), room()
    old.remember(KNOWN)
    recollection(tmp_path, old).save()
    recollection(tmp_path, new).load()
    assert new.backgrounds() == KNOWN
    assert [path.name for path in tmp_path.iterdir()] == ["monitor.db.background.json"]


def test_it_is_saved_now_and_then(tmp_path: Path) -> None:
    presence = room()
    kept = recollection(tmp_path, presence)
    for second in (0.0, 1.0, SAVE_EVERY - 1.0):
        kept.tick(Stamp(second, NOON))
    assert not kept.path.exists()
    kept.tick(Stamp(SAVE_EVERY, NOON))
    assert kept.path.exists()


def test_no_file_and_a_broken_one_cost_no_more_than_what_was_learned(tmp_path: Path) -> None:
    presence = room()
    kept = recollection(tmp_path, presence)
    kept.load()
    kept.path.write_text('{"version": 1, "zones": [')
    kept.load()
    assert presence.backgrounds() == {("dock", "frame"): {}}


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / ".monitor.db.background.json.partial").mkdir()
    kept = recollection(tmp_path, room())
    kept.save()
    assert not kept.path.exists()
