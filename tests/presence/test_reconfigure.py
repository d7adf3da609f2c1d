"""Other settings while zones are watched: what goes on, what ends, what begins anew."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from monitor.config.camera import CameraConfig, ZoneConfig
from monitor.config.presence import PresenceConfig
from monitor.messages import (
    Attention,
    EndReason,
    Outage,
    OutageReason,
    PresenceState,
    Progress,
    Transition,
)
from monitor.presence.room import PresenceRoom

from .test_room import PRESENCE, SOURCE, TRIANGLE, at, score, steady

OCCUPIED = PresenceState.OCCUPIED
SQUARE = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]


def camera(
    zones: Mapping[str, list[tuple[float, float]]] | None = None,
    presence: PresenceConfig = PRESENCE,
) -> CameraConfig:
    each = {
        name: ZoneConfig(polygon=polygon, presence=presence)
        for name, polygon in (zones or {}).items()
    }
    return CameraConfig(source=SOURCE, presence=presence, zones=each)


class Watching:
    """A room and all it said."""

    def __init__(self, cameras: Mapping[str, CameraConfig]) -> None:
        self.said: list[Transition] = []
        self.attention: list[Attention] = []
        self.room = PresenceRoom(cameras, on_message=self.hear, on_attention=self.attention.append)

    def hear(self, message: Transition | Progress) -> None:
        if isinstance(message, Transition):
            self.said.append(message)

    def see(self, value: float, start: float, end: float, zone: str, name: str = "dock") -> None:
        for second, each in steady(value, start, end):
            self.room.on_score(score(second, each, name, zone))

    def ended(self) -> list[tuple[str, str]]:
        return [
            (each.camera, each.zone)
            for each in self.said
            if each.end_reason is EndReason.CONFIG_CHANGED
        ]


def test_other_thresholds_end_nothing_and_count_from_the_next_score() -> None:
    watching = Watching({"dock": camera()})
    watching.see(0.9, 0, 2, "frame")
    strict = PRESENCE.model_copy(update={"exit_threshold": 0.6})
    watching.room.reconfigure({"dock": camera(presence=strict)}, (), at(2))
    watching.see(0.5, 2, 5, "frame")
    opened, closed = watching.said
    assert opened.current is OCCUPIED
    assert closed.end_reason is EndReason.VACATED
    assert closed.event_id == opened.event_id
    assert opened.settings["exit_threshold"] == PRESENCE.exit_threshold
    assert closed.settings["exit_threshold"] == 0.6


def test_a_zone_that_goes_ends_its_event_and_late_scores_of_it_are_ignored() -> None:
    watching = Watching({"dock": camera({"gate": SQUARE, "yard": SQUARE})})
    for zone in ("gate", "yard"):
        watching.see(0.9, 0, 2, zone)
    watching.room.reconfigure({"dock": camera({"yard": SQUARE})}, {("dock", "gate")}, at(2))
    watching.see(0.9, 2, 4, "gate")
    watching.see(0.9, 2, 4, "yard")
    assert watching.ended() == [("dock", "gate")]
    assert [each.zone for each in watching.room.statuses()] == ["yard"]
    assert watching.room.statuses()[0].state is OCCUPIED
    assert len(watching.said) == 3


def test_a_zone_that_shows_something_else_begins_anew_with_later_pictures() -> None:
    watching = Watching({"dock": camera({"gate": SQUARE})})
    watching.see(0.9, 0, 2, "gate")
    watching.room.reconfigure({"dock": camera({"gate": TRIANGLE})}, {("dock", "gate")}, at(4))
    watching.see(0.9, 2, 4, "gate")  # pictures that were on their way: the old polygon
    assert watching.ended() == [("dock", "gate")]
    assert watching.room.statuses()[0].state is PresenceState.UNKNOWN
    watching.see(0.9, 4.2, 6, "gate")
    assert [each.current for each in watching.said] == [OCCUPIED, PresenceState.UNKNOWN, OCCUPIED]
    assert watching.said[2].event_id != watching.said[0].event_id


def test_a_camera_that_goes_is_forgotten_but_never_an_error() -> None:
    watching = Watching({"dock": camera(), "lobby": camera()})
    watching.see(0.9, 0, 2, "frame", "lobby")
    watching.room.reconfigure({"dock": camera()}, {("lobby", "frame")}, at(2))
    watching.see(0.9, 2, 3, "frame", "lobby")
    watching.room.on_outage(Outage("lobby", OutageReason.TIMEOUT, at(3)))
    watching.room.tick(at(60))
    assert watching.ended() == [("lobby", "frame")]
    assert [each.camera for each in watching.room.statuses()] == ["dock"]
    with pytest.raises(LookupError):
        watching.see(0.9, 2, 3, "frame", "attic")


def test_a_camera_may_come_back() -> None:
    watching = Watching({"dock": camera(), "lobby": camera()})
    watching.room.reconfigure({"dock": camera()}, (), at(1))
    watching.room.reconfigure({"dock": camera(), "lobby": camera()}, (), at(2))
    watching.see(0.9, 3, 5, "frame", "lobby")
    assert [each.current for each in watching.said] == [OCCUPIED]


def test_attention_begins_anew_with_other_zones_and_stays_with_the_same() -> None:
    watching = Watching({"dock": camera({"gate": SQUARE})})
    watching.see(0.9, 0, 0.4, "gate")  # entering
    assert watching.attention == [Attention("dock", dense=True)]
    watching.room.reconfigure({"dock": camera({"gate": SQUARE})}, (), at(0.4))
    assert len(watching.attention) == 1
    both = camera({"gate": SQUARE, "yard": SQUARE})
    watching.room.reconfigure({"dock": both}, (), at(0.4))
    assert watching.attention[1:] == [Attention("dock", dense=False)]
    watching.see(0.9, 0.4, 0.6, "gate")
    assert watching.attention[2:] == [Attention("dock", dense=True)]
