"""Pictures to learn from: which are kept, how many, and that nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from monitor.clock import Stamp
from monitor.config import CameraConfig, LearningConfig
from monitor.config.presence import PresenceConfig
from monitor.imaging import jpeg
from monitor.learning import Kind, LearningFolder, LearningRoom
from monitor.learning.doubts import GIVEN_UP, Reason, ZoneDoubts
from monitor.messages import EndReason, Frame, PresenceState, Score, Summary, Transition

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GREY = np.full((40, 60, 3), 90, np.uint8)
SOURCE = {"source": {"url": "clip.mp4"}}
CAMERA = CameraConfig.model_validate(SOURCE)


def at(seconds: float) -> Stamp:
    return Stamp(seconds, NOON + timedelta(seconds=seconds))


def score(seconds: float, value: float, zone: str = "frame", shown: object = GREY) -> Score:
    frame = Frame("dock", 0, at(seconds), None, (), shown)  # type: ignore[arg-type]
    return Score("dock", zone, value, frame, at(seconds))


def scored(
    seconds: float, value: float, zone: str = "frame", shown: object = GREY
) -> tuple[Score, float]:
    """A score that counts for what it says."""
    return score(seconds, value, zone, shown), value


def change(seconds: float, current: PresenceState, event_id: object, **more: object) -> Transition:
    return Transition(
        "dock",
        "frame",
        PresenceState.VACANT,
        current,
        at(seconds),
        at(seconds),
        event_id,  # type: ignore[arg-type]
        summary=Summary(0.8, 0.7, 3),
        **more,  # type: ignore[arg-type]
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.jpg"))


@pytest.fixture
def config(tmp_path: Path) -> LearningConfig:
    return LearningConfig(enabled=True, folder=tmp_path / "learning", max_pictures=10, every=10.0)


def test_scores_near_the_thresholds_are_doubtful_now_and_then() -> None:
    zone = ZoneDoubts(PresenceConfig(), every=10.0)
    sure = [zone.on_score(*scored(float(second), 0.1)) for second in range(5)]
    assert not any(sure)
    assert [reason for reason, _ in zone.on_score(*scored(5.0, 0.6))] == [Reason.UNSURE]
    assert zone.on_score(*scored(6.0, 0.6)) == []
    assert zone.on_score(*scored(14.9, 0.5)) == []
    assert len(zone.on_score(*scored(15.0, 0.5))) == 1


def test_where_the_weighing_says_something_else_than_the_score_is_doubtful() -> None:
    zone = ZoneDoubts(PresenceConfig(), every=10.0)
    assert zone.on_score(score(0.0, 0.2), 0.2) == []
    assert [reason for reason, _ in zone.on_score(score(1.0, 0.2), 0.95)] == [Reason.UNSURE]
    (came_to_nothing, best), (reason, _) = zone.on_score(score(20.0, 0.9), 0.05)
    assert (came_to_nothing, best.value) == (Reason.UNCONFIRMED, 0.2)
    assert reason is Reason.UNSURE


def test_what_came_to_nothing_is_kept_by_its_best_picture() -> None:
    zone = ZoneDoubts(PresenceConfig(), every=10.0)
    for second, value in ((0.0, 0.95), (0.2, 0.99), (0.4, 0.96)):
        assert zone.on_score(*scored(second, value)) == []
    assert zone.on_score(*scored(2.0, 0.1)) == []
    [(reason, best)] = zone.on_score(*scored(0.4 + GIVEN_UP, 0.1))
    assert reason is Reason.UNCONFIRMED
    assert best.value == 0.99


def test_what_became_an_event_did_not_come_to_nothing() -> None:
    zone = ZoneDoubts(PresenceConfig(), every=10.0)
    zone.on_score(*scored(0.0, 0.95))
    zone.on_occupied(occupied=True)
    zone.on_score(*scored(1.0, 0.95))
    zone.on_occupied(occupied=False)
    assert zone.on_score(*scored(60.0, 0.1)) == []


def test_the_lists_are_what_training_reads(config: LearningConfig) -> None:
    folder = LearningFolder(config)
    data = jpeg.encode(GREY)
    folder.keep(Kind.NOBODY, "dock", "a", data)
    folder.keep(Kind.SOMEONE, "dock", "b", data)
    folder.keep(Kind.DOUBTFUL, "yard", "c", data)
    assert folder.write_lists() == {Kind.NOBODY: 1, Kind.SOMEONE: 1, Kind.DOUBTFUL: 1}
    from monitor.training.lists import read_list

    root = config.folder
    entries = read_list(root / "labelled.txt", root)
    assert [(entry.name, entry.label) for entry in entries] == [
        ("nobody/dock/a.jpg", 0),
        ("someone/dock/b.jpg", 1),
    ]
    [doubtful] = read_list(root / "doubtful.txt", root, unlabelled=True)
    assert (doubtful.name, doubtful.label) == ("doubtful/yard/c.jpg", -1)
    # Sorted by hand, it is labelled with the next list.
    (root / "nobody" / "yard").mkdir()
    (root / "doubtful/yard/c.jpg").rename(root / "nobody/yard/c.jpg")
    folder.write_lists()
    assert len(read_list(root / "labelled.txt", root)) == 3


def test_another_verdict_moves_the_picture(config: LearningConfig) -> None:
    folder = LearningFolder(config)
    folder.keep(Kind.NOBODY, "dock", "event", b"jpeg")
    folder.keep(Kind.SOMEONE, "dock", "event", b"jpeg")
    assert [path.parts[-3] for path in config.folder.rglob("*.jpg")] == ["someone"]
    assert folder.drop("dock", "event")
    assert names(config.folder) == []
    assert not folder.drop("dock", "event")


def test_the_number_is_bounded_and_the_fullest_camera_makes_way(config: LearningConfig) -> None:
    folder = LearningFolder(config)
    for number in range(8):
        folder.keep(Kind.DOUBTFUL, "noisy", f"n{number}", b"jpeg")
        time.sleep(0.002)
    folder.keep(Kind.DOUBTFUL, "quiet", "q0", b"jpeg")
    folder.keep(Kind.SOMEONE, "quiet", "q1", b"jpeg")
    for number in range(8, 12):
        assert folder.keep(Kind.DOUBTFUL, "noisy", f"n{number}", b"jpeg")
    kept = names(config.folder)
    assert len(kept) == config.max_pictures
    assert "q0.jpg" in kept
    assert "n0.jpg" not in kept
    assert "n11.jpg" in kept


def test_the_weight_is_bounded_and_labelled_ones_make_way_for_nothing(tmp_path: Path) -> None:
    folder = LearningFolder(LearningConfig(folder=tmp_path, max_megabytes=1.0))
    for number in range(4):
        assert folder.keep(Kind.NOBODY, "dock", f"{number}", bytes(300_000)) is None or number < 3
    again = LearningFolder(LearningConfig(folder=tmp_path, max_megabytes=1.0))
    assert again.keep(Kind.DOUBTFUL, "dock", "x", bytes(300_000)) is None
    assert names(tmp_path) == ["0.jpg", "1.jpg", "2.jpg"]


def test_the_room_keeps_doubtful_pictures_and_short_events(config: LearningConfig) -> None:
    room = LearningRoom(config, {"dock": CAMERA}, wait=True)
    room.start()
    room.on_score(*scored(1.0, 0.6))
    event = uuid4()
    shot = jpeg.encode(GREY)
    room.on_message(change(20.0, PresenceState.OCCUPIED, event, snapshot=shot))
    room.on_message(change(21.0, PresenceState.VACANT, event, end_reason=EndReason.VACATED))
    long_stay = uuid4()
    room.on_message(change(40.0, PresenceState.OCCUPIED, long_stay, snapshot=shot))
    room.on_message(change(90.0, PresenceState.VACANT, long_stay, end_reason=EndReason.VACATED))
    room.stop(10.0)
    assert names(config.folder) == [
        "20260301T120001.000Z-frame-unsure-0.600.jpg",
        "20260301T120020.000Z-frame-short-0.800.jpg",
    ]
    assert (config.folder / "doubtful.txt").read_text().count(" -1\n") == 2
    assert room.stats().kept == 2


def test_a_marked_event_is_kept_until_the_mark_is_taken_back(config: LearningConfig) -> None:
    shot, place = jpeg.encode(GREY), ("dock", "frame")
    for kind, kept in ((Kind.NOBODY, ["event.jpg"]), (None, [])):
        room = LearningRoom(config, {"dock": CAMERA}, wait=True)
        room.start()
        room.on_mark(kind, place, "event", shot if kind else None)
        room.on_mark(Kind.SOMEONE, place, "pictureless", None)
        room.stop(10.0)
        assert names(config.folder) == kept
        assert (config.folder / "labelled.txt").read_text().count(" 0\n") == len(kept)


def test_of_a_zone_its_own_part_is_kept(config: LearningConfig) -> None:
    polygon = [(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)]
    camera = CameraConfig.model_validate(
        {"source": {"url": "clip.mp4"}, "zones": {"gate": {"polygon": polygon}}}
    )
    room = LearningRoom(config, {"dock": camera}, wait=True)
    room.start()
    room.on_score(*scored(1.0, 0.6, zone="gate"))
    room.on_score(*scored(1.0, 0.6, zone="nowhere"))
    room.stop(10.0)
    [path] = config.folder.rglob("*.jpg")
    assert jpeg.read_picture(path).shape == (40, 30, 3)


def test_nobody_waits_for_a_slow_disk(
    config: LearningConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LearningFolder, "keep", lambda *_args: time.sleep(0.3), raising=True)
    room = LearningRoom(config.model_copy(update={"every": 0.0}), {"dock": CAMERA})
    room.start()
    started = time.monotonic()
    for second in range(50):
        room.on_score(*scored(float(second), 0.6))
    assert time.monotonic() - started < 0.25
    assert room.stats().dropped >= 40


def test_a_full_disk_is_told_and_survived(
    config: LearningConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    room = LearningRoom(config, {"dock": CAMERA}, wait=True)
    room.start()
    with monkeypatch.context() as patched:
        patched.setattr(LearningFolder, "keep", full)
        room.on_score(*scored(1.0, 0.6))
        deadline = time.monotonic() + 5.0
        while room._queue.qsize() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
    room.on_score(*scored(60.0, 0.6))
    room.stop(10.0)
    assert len(names(config.folder)) == 1


def running(config: LearningConfig, camera: CameraConfig = CAMERA) -> LearningRoom:
    room = LearningRoom(config, {"dock": camera}, wait=True)
    room.start()
    return room


def test_it_is_off_unless_asked_for(config: LearningConfig) -> None:
    room = running(config.model_copy(update={"enabled": False}))
    room.on_score(*scored(1.0, 0.6))
    room.on_mark(Kind.NOBODY, ("dock", "frame"), "event", jpeg.encode(GREY))
    room.stop(10.0)
    assert not config.folder.exists()


def test_it_is_turned_on_and_off_while_it_runs(config: LearningConfig) -> None:
    off = config.model_copy(update={"enabled": False})
    room = running(off)
    event = uuid4()
    room.on_message(change(0.5, PresenceState.OCCUPIED, event))
    room.reconfigure(config, {"dock": CAMERA})
    assert room.stats().enabled
    room.on_score(*scored(1.0, 0.6))
    ended = {"end_reason": EndReason.VACATED, "snapshot": jpeg.encode(GREY)}
    room.on_message(change(90.0, PresenceState.VACANT, event, **ended))  # began unheard
    until(lambda: room.stats().kept == 1)
    room.reconfigure(off, {"dock": CAMERA})
    room.on_score(*scored(100.0, 0.6))
    room.stop(10.0)
    assert names(config.folder) == ["20260301T120001.000Z-frame-unsure-0.600.jpg"]
    assert (config.folder / "doubtful.txt").read_text().count("\n") == 1


def test_another_folder_and_another_pace_hold_at_once(
    config: LearningConfig, tmp_path: Path
) -> None:
    room = running(config)
    room.on_score(*scored(1.0, 0.6))
    until(lambda: room.stats().kept == 1)
    room.reconfigure(
        config.model_copy(update={"folder": tmp_path / "other", "every": 1.0}), {"dock": CAMERA}
    )
    room.on_score(*scored(2.0, 0.6))
    room.on_score(*scored(3.5, 0.6))
    room.stop(10.0)
    assert len(names(config.folder)) == 1
    assert (config.folder / "doubtful.txt").read_text().count("\n") == 1
    assert len(names(tmp_path / "other")) == 2


def test_other_thresholds_and_zones_are_heard_of(config: LearningConfig) -> None:
    room = running(config)
    room.on_score(*scored(1.0, 0.9))
    assert room.stats().kept == 0
    strict = {"presence": {"enter_threshold": 0.95, "exit_threshold": 0.6}}
    room.reconfigure(config, {"dock": CameraConfig.model_validate(SOURCE | strict)})
    room.on_score(*scored(2.0, 0.9))
    until(lambda: room.stats().kept == 1)
    polygon = [(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)]
    zones = {"zones": {"gate": {"polygon": polygon}}}
    room.reconfigure(config, {"dock": CameraConfig.model_validate(SOURCE | zones)})
    room.on_score(*scored(100.0, 0.6))  # of the whole picture: it was on its way
    room.on_score(*scored(101.0, 0.6, zone="gate"))
    room.on_mark(Kind.NOBODY, ("dock", "frame"), "event", jpeg.encode(GREY))
    room.stop(10.0)
    kept = names(config.folder)
    assert [name.split("-")[1] for name in kept] == ["frame", "gate"]
    assert room.stats().trouble == ""


def test_pictures_sorted_by_hand_are_listed_soon(
    config: LearningConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.learning.room.LISTS_EVERY", 0.05)
    room = running(config)
    room.on_score(*scored(1.0, 0.6))
    root = config.folder
    until(lambda: (root / "doubtful.txt").is_file() and (root / "doubtful.txt").read_text())
    (root / "nobody" / "dock").mkdir(parents=True)
    (root / "doubtful/dock" / names(root)[0]).rename(root / "nobody/dock" / names(root)[0])
    until(lambda: (root / "labelled.txt").read_text().endswith(" 0\n"))
    until(lambda: (root / "doubtful.txt").read_text() == "")
    room.stop(10.0)


def until(what: Callable[[], object], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)
