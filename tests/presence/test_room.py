"""The presence room: which messages leave it, with what in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from math import nan
from threading import Thread
from uuid import UUID

import numpy as np
import pytest
from pydantic import SecretStr

from monitor.clock import Stamp
from monitor.config.camera import CameraConfig, SourceConfig, ZoneConfig
from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.messages import (
    CameraHealth,
    EndReason,
    Frame,
    HealthKind,
    OpenOccupancy,
    Outage,
    OutageReason,
    Photo,
    Picture,
    PresenceState,
    Progress,
    Scene,
    Score,
    Summary,
    Transition,
)
from monitor.presence.machine import Pending
from monitor.presence.room import PresenceRoom, zone_settings

UNKNOWN, VACANT, OCCUPIED = PresenceState.UNKNOWN, PresenceState.VACANT, PresenceState.OCCUPIED
EPOCH = Stamp(500.0, datetime(2026, 3, 1, 3, 0, tzinfo=UTC))
PRESENCE = PresenceConfig(smoothing=0.0, exit_after=2.0)
SOURCE = SourceConfig(url=SecretStr("rtsp://camera/"))
TRIANGLE = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]


def at(second: float) -> Stamp:
    return EPOCH.shifted(second)


def score(second: float, value: float, camera: str = "dock", zone: str = "frame") -> Score:
    """A score whose picture is one pixel: the second, in tenths."""
    picture = np.full((1, 1, 3), round(second * 10) % 256, np.uint8)
    frame = Frame(camera, round(second * 10), at(second), second, (), picture)
    return Score(camera, zone, value, frame, at(second + 0.05))


class Listening:
    """A room with one camera, and all it said."""

    def __init__(self, camera: CameraConfig | None = None, **options: float) -> None:
        self.said: list[Transition | Progress] = []
        self.encoded: list[int] = []
        numbers = count(1)
        self.room = PresenceRoom(
            {"dock": camera or CameraConfig(source=SOURCE, presence=PRESENCE)},
            on_message=self.said.append,
            encode=self.encode,
            model_id="pplcnet:abc",
            new_id=lambda: UUID(int=next(numbers)),
            **options,
        )

    def encode(self, picture: Picture) -> bytes:
        self.encoded.append(int(picture[0, 0, 0]))
        return bytes([picture[0, 0, 0]])

    def see(self, *pairs: tuple[float, float]) -> None:
        for second, value in pairs:
            self.room.on_score(score(second, value))

    def transitions(self) -> list[Transition]:
        return [message for message in self.said if isinstance(message, Transition)]

    def progress(self) -> list[Progress]:
        return [message for message in self.said if isinstance(message, Progress)]


def steady(value: float, start: float, end: float) -> Sequence[tuple[float, float]]:
    return [(start + i / 5, value) for i in range(round((end - start) * 5))]


def found(started: float, seen: float, *, zone: str = "frame", number: int = 77) -> OpenOccupancy:
    """An open occupancy as a database gives it back: its monotonic seconds mean nothing."""
    utc = [Stamp(-1e6, at(second).utc) for second in (started, seen)]
    return OpenOccupancy(UUID(int=number), "dock", zone, *utc, Summary(0.9, 0.85, 10))


def test_a_visit_is_told_with_all_that_an_event_needs() -> None:
    here = Listening()
    here.see(*steady(0.1, 0, 2), (2.0, 0.9), (2.2, 0.96), (2.4, 0.94), (2.6, 0.92))
    here.see((2.8, 0.98), (3.0, 0.5), *steady(0.1, 3.2, 6))
    vacant, opened, closed = here.transitions()
    assert (vacant.current, vacant.event_id, vacant.summary, vacant.snapshot) == (
        VACANT,
        None,
        None,
        None,
    )
    assert (opened.previous, opened.current) == (VACANT, OCCUPIED)
    assert (opened.at, opened.confirmed) == (at(2.0), at(2.6))
    assert opened.event_id == closed.event_id == UUID(int=1)
    assert opened.summary == Summary(0.96, pytest.approx(0.93), 4)
    assert opened.snapshot == bytes([22])
    assert opened.settings == PRESENCE.model_dump(mode="json")
    assert opened.model_id == "pplcnet:abc"
    assert opened.end_reason is None
    assert (closed.current, closed.end_reason) == (VACANT, EndReason.VACATED)
    assert closed.at == at(3.0)
    # The low scores after 3.0 lie after the end: they do not count.
    assert closed.summary == Summary(0.98, pytest.approx(5.2 / 6), 6)
    assert closed.snapshot == bytes([28])


def test_only_a_new_peak_is_encoded_and_only_once_handed_out() -> None:
    here = Listening(progress_every=1.0)
    here.see(*steady(0.9, 0, 3), (3.0, 0.95), *steady(0.9, 3.2, 6))
    assert here.encoded == [0, 30]
    assert [p.snapshot for p in here.progress() if p.snapshot] == [bytes([30])]
    here.room.finish(EndReason.END_OF_MEDIA, at(6))
    assert here.transitions()[-1].snapshot is None


def test_a_rise_that_comes_to_nothing_leaves_no_trace_in_the_next_event() -> None:
    here = Listening()
    here.see((0.0, 0.99), (0.2, 0.1), *steady(0.9, 0.4, 2))
    (opened,) = here.transitions()
    assert (opened.at, opened.snapshot) == (at(0.4), bytes([4]))
    assert opened.summary is not None
    assert opened.summary.peak_score == 0.9


def test_a_rise_before_an_outage_leaves_no_trace_either() -> None:
    here = Listening()
    here.see((0.0, 0.99))
    here.room.on_outage(Outage("dock", at(0.1), OutageReason.TIMEOUT))
    here.see(*steady(0.9, 1, 2))
    (opened,) = here.transitions()
    assert (opened.at, opened.snapshot) == (at(1), bytes([10]))


def test_the_best_picture_may_be_one_of_before_the_first_hit() -> None:
    slow = PresenceConfig(smoothing=1.0)
    here = Listening(CameraConfig(source=SOURCE, presence=slow))
    here.see(*steady(0.0, 0, 1), (1.0, 0.99), *steady(0.97, 1.2, 5))
    opened = here.transitions()[-1]
    assert (opened.current, opened.at, opened.snapshot) == (OCCUPIED, at(1), bytes([10]))
    assert here.encoded == [10]


def test_low_scores_count_once_evidence_follows() -> None:
    here = Listening()
    here.see(*steady(0.9, 0, 1), (1.0, 0.1), (1.2, 0.3), (1.4, 0.9))
    here.room.finish(EndReason.END_OF_MEDIA, at(1.6))
    summary = here.transitions()[-1].summary
    assert summary == Summary(0.9, pytest.approx((6 * 0.9 + 0.4) / 8), 8)


def test_progress_comes_at_most_every_few_seconds() -> None:
    here = Listening(progress_every=2.0)
    here.see(*steady(0.9, 0, 7))
    assert [round(p.seen.since(EPOCH), 3) for p in here.progress()] == [2.6, 4.6, 6.6]
    assert here.progress()[-1].summary == Summary(0.9, pytest.approx(0.9), 34)


def test_without_an_encoder_there_are_no_snapshots() -> None:
    said: list[Transition | Progress] = []
    room = PresenceRoom({"dock": CameraConfig(source=SOURCE)}, on_message=said.append)
    for second, value in steady(0.95, 0, 10):
        room.on_score(score(second, value))
    assert said
    assert {message.snapshot for message in said} == {None}


def test_silence_ends_an_occupancy_by_tick() -> None:
    here = Listening()
    here.see(*steady(0.9, 0, 2))
    here.room.tick(at(11.7))
    assert len(here.transitions()) == 1
    here.room.tick(at(11.9))
    here.room.tick(at(99.0))
    opened, ended = here.transitions()
    assert (ended.current, ended.end_reason, ended.at) == (UNKNOWN, EndReason.SIGNAL_LOST, at(1.8))
    assert (ended.event_id, ended.confirmed) == (opened.event_id, at(11.8))
    assert ended.summary is not None
    (status,) = here.room.statuses()
    assert (status.state, status.score, status.event_id) == (UNKNOWN, None, None)


def test_silence_noticed_by_the_next_score_keeps_that_score_out_of_the_old_event() -> None:
    here = Listening()
    here.see(*steady(0.9, 0, 2), (60.0, 1.0))
    ended = here.transitions()[-1]
    assert ended.end_reason is EndReason.SIGNAL_LOST
    assert ended.summary == Summary(0.9, pytest.approx(0.9), 10)


def test_an_outage_in_time_continues_the_event() -> None:
    here = Listening()
    here.see(*steady(0.9, 0, 2))
    here.room.on_outage(Outage("dock", at(2.0), OutageReason.TIMEOUT))
    assert here.room.statuses()[0].pending is Pending.GAP
    here.room.tick(at(9.0))
    here.see(*steady(0.9, 9.5, 11))
    assert len(here.transitions()) == 1
    assert here.room.statuses()[0].pending is None


def test_a_status_shows_scores_and_what_is_pending() -> None:
    here = Listening()
    here.see((0.0, 0.9), (0.2, 0.85))
    (status,) = here.room.statuses()
    assert (status.camera, status.zone, status.state) == ("dock", "frame", UNKNOWN)
    assert (status.pending, status.score, status.smoothed) == (Pending.ENTERING, 0.85, 0.85)
    assert status.counts == 0.85  # nothing is known of its picture
    assert (status.enter_threshold, status.exit_threshold) == (0.7, 0.4)
    here.see((0.4, 0.9), (0.6, 0.9))
    (status,) = here.room.statuses()
    assert (status.state, status.since, status.seen) == (OCCUPIED, at(0.0), at(0.6))
    assert status.event_id == UUID(int=1)


def test_a_young_occupancy_is_resumed_after_a_restart() -> None:
    here = Listening(progress_every=60.0)
    here.room.restore([found(-300.0, -4.0)], now=at(0))
    (status,) = here.room.statuses()
    assert (status.state, status.pending, status.event_id) == (OCCUPIED, Pending.GAP, UUID(int=77))
    assert status.seen is not None
    assert status.seen.monotonic == pytest.approx(at(-4.0).monotonic)
    here.see(*steady(0.95, 1, 3), *steady(0.1, 3, 6))
    (closed,) = here.transitions()
    assert (closed.event_id, closed.end_reason) == (UUID(int=77), EndReason.VACATED)
    assert closed.summary == Summary(0.95, pytest.approx((10 * 0.85 + 10 * 0.95) / 20), 20)
    assert closed.snapshot == bytes([10])


def test_a_resumed_occupancy_whose_camera_stays_away_ends() -> None:
    here = Listening()
    here.room.restore([found(-300.0, -4.0)], now=at(0))
    here.room.tick(at(6.5))
    (ended,) = here.transitions()
    assert (ended.end_reason, ended.event_id) == (EndReason.SIGNAL_LOST, UUID(int=77))
    assert ended.at.utc == at(-4.0).utc
    assert ended.summary == Summary(0.9, 0.85, 10)


def test_an_old_occupancy_ends_when_it_was_last_seen() -> None:
    here = Listening()
    here.room.restore([found(-300.0, -10.0)], now=at(0))
    (ended,) = here.transitions()
    assert (ended.previous, ended.current) == (OCCUPIED, UNKNOWN)
    assert (ended.end_reason, ended.at.utc) == (EndReason.RESTART, at(-10.0).utc)
    assert (ended.summary, ended.confirmed) == (Summary(0.9, 0.85, 10), at(0))
    assert here.room.statuses()[0].state is UNKNOWN


def test_of_two_open_occupancies_of_a_zone_the_newer_goes_on() -> None:
    here = Listening()
    here.room.restore([found(-90.0, -5.0, number=1), found(-50.0, -5.0, number=2)], now=at(0))
    (ended,) = here.transitions()
    assert (ended.event_id, ended.end_reason) == (UUID(int=1), EndReason.RESTART)
    assert here.room.statuses()[0].event_id == UUID(int=2)


def test_an_occupancy_of_a_zone_that_is_gone_ends_as_changed() -> None:
    here = Listening()
    here.room.restore([found(-90.0, -5.0, zone="gate")], now=at(0))
    (ended,) = here.transitions()
    assert (ended.zone, ended.end_reason) == ("gate", EndReason.CONFIG_CHANGED)


def test_a_wall_clock_set_back_does_not_date_an_end_before_its_start() -> None:
    here = Listening()
    here.room.restore([found(-90.0, 3.0)], now=at(0))
    assert here.room.statuses()[0].seen == at(0)
    for started, seen in [(1.0, 3.0), (-90.0, 10_000.0)]:
        future = Listening()
        future.room.restore([found(started, seen)], now=at(0))
        (ended,) = future.transitions()
        assert (ended.end_reason, ended.at.utc) == (EndReason.RESTART, at(seen).utc)


def test_the_end_of_watching_closes_what_is_open() -> None:
    here = Listening()
    here.see(*steady(0.9, 0, 3))
    here.room.finish(EndReason.END_OF_MEDIA, at(3.1))
    ended = here.transitions()[-1]
    assert (ended.end_reason, ended.at, ended.confirmed) == (
        EndReason.END_OF_MEDIA,
        at(2.8),
        at(3.1),
    )
    here.room.finish(EndReason.END_OF_MEDIA, at(3.2))
    assert len(here.transitions()) == 2


def dwelling(**changes: float) -> CameraConfig:
    presence = PresenceConfig.model_validate({**PRESENCE.model_dump(), **changes})
    return CameraConfig(source=SOURCE, presence=presence)


def test_an_occupancy_told_after_dwelling_counts_from_its_onset() -> None:
    here = Listening(dwelling(min_dwell=3.0))
    here.see((0.0, 0.99), *steady(0.9, 0.2, 2.8))
    (status,) = here.room.statuses()
    assert (status.state, status.pending, status.event_id) == (UNKNOWN, Pending.DWELLING, None)
    here.see((2.8, 0.9), (3.0, 0.9))
    (opened,) = here.transitions()
    assert (opened.at, opened.confirmed, opened.snapshot) == (at(0), at(3), bytes([0]))
    assert opened.summary == Summary(0.99, pytest.approx((0.99 + 15 * 0.9) / 16), 16)


def test_a_stay_too_short_to_tell_leaves_no_trace() -> None:
    here = Listening(dwelling(min_dwell=3.0))
    here.see(*steady(0.99, 0, 2), *steady(0.1, 2, 6), *steady(0.9, 6, 10))
    (opened,) = (t for t in here.transitions() if t.event_id)
    assert (opened.at, opened.snapshot) == (at(6), bytes([60]))


def test_a_merged_occupancy_is_one_event() -> None:
    here = Listening(dwelling(merge_within=8.0), progress_every=99.0)
    here.see(*steady(0.9, 0, 2), *steady(0.1, 2, 5), (5.0, 0.5), (5.2, 0.1))
    (status,) = here.room.statuses()
    assert (status.state, status.pending) == (OCCUPIED, Pending.LINGERING)
    here.see(*steady(0.95, 6, 8), *steady(0.1, 8, 20))
    opened, closed = here.transitions()
    assert (closed.at, closed.event_id) == (at(7.8), opened.event_id)
    scores = [0.9] * 10 + [0.1] * 15 + [0.5, 0.1] + [0.95] * 10
    assert closed.summary == Summary(0.95, pytest.approx(sum(scores) / 37), 37)
    assert closed.snapshot == bytes([60])


def test_what_lies_after_the_end_does_not_count_while_a_return_is_awaited() -> None:
    here = Listening(dwelling(merge_within=8.0))
    here.see(*steady(0.9, 0, 2), *steady(0.1, 2, 5), (5.0, 0.5), *steady(0.1, 5.2, 12))
    here.see(*steady(0.97, 12, 13))
    _, closed, opened = here.transitions()
    assert closed.summary == Summary(0.9, pytest.approx(0.9), 10)
    assert (opened.at, opened.snapshot) == (at(12), bytes([120]))
    assert opened.summary is not None
    assert opened.summary.score_count == 4


def test_zones_are_independent_and_have_their_own_settings() -> None:
    strict = PRESENCE.model_copy(update={"enter_threshold": 0.95})
    camera = CameraConfig(
        source=SOURCE,
        zones={
            "gate": ZoneConfig(polygon=TRIANGLE, presence=PRESENCE),
            "desk": ZoneConfig(polygon=TRIANGLE, presence=strict),
        },
    )
    here = Listening(camera)
    for second, value in steady(0.9, 0, 2):
        here.room.on_score(score(second, value, zone="gate"))
        here.room.on_score(score(second, value, zone="desk"))
    assert [(t.zone, t.current) for t in here.transitions()] == [("gate", OCCUPIED)]
    assert [status.zone for status in here.room.statuses()] == ["gate", "desk"]
    assert zone_settings(camera)["desk"].enter_threshold == 0.95


def test_unknown_names_raise() -> None:
    room = Listening().room
    with pytest.raises(LookupError, match="no camera 'roof'"):
        room.on_score(score(0.0, 0.5, camera="roof"))
    with pytest.raises(LookupError, match="'dock' has no zone 'roof'"):
        room.on_score(score(0.0, 0.5, zone="roof"))
    with pytest.raises(LookupError, match="no camera 'roof'"):
        room.on_outage(Outage("roof", at(0), OutageReason.ENDED))


def test_late_and_invalid_scores_are_counted_and_change_nothing() -> None:
    here = Listening()
    here.see(*steady(0.9, 0, 2), (1.0, 0.0), (1.8, 0.0), (3.0, nan), (3.2, 1.5))
    (status,) = here.room.statuses()
    assert (status.late, status.invalid, status.seen, status.score) == (2, 2, at(1.8), 0.9)


def test_a_listener_may_ask_for_the_statuses() -> None:
    seen: list[PresenceState] = []
    room = PresenceRoom(
        {"dock": CameraConfig(source=SOURCE, presence=PRESENCE)},
        on_message=lambda _: seen.append(room.statuses()[0].state),
    )
    for second, value in steady(0.9, 0, 2):
        room.on_score(score(second, value))
    assert seen == [OCCUPIED]


def test_scores_and_ticks_may_come_from_different_threads() -> None:
    here = Listening()
    pairs = [p for lap in range(50) for p in (*steady(0.9, lap * 20, lap * 20 + 4),)]
    ticking = [True]

    def keep_ticking() -> None:
        while ticking[0]:
            here.room.tick(here.room.statuses()[0].seen or at(0))

    ticker = Thread(target=keep_ticking)
    ticker.start()
    here.see(*pairs)
    ticking[0] = False
    ticker.join()
    here.room.finish(EndReason.END_OF_MEDIA, at(2000))
    told = here.transitions()
    assert [t.current for t in told] == [OCCUPIED, UNKNOWN] * 50
    assert len({t.event_id for t in told}) == 50


def test_a_photo_shows_an_occupancy_while_its_last_score_says_someone() -> None:
    peaks: list[str] = []
    said: list[Transition | Progress] = []
    room = PresenceRoom(
        {"dock": CameraConfig(source=SOURCE, presence=PRESENCE)},
        on_message=said.append,
        on_peak=peaks.append,
        encode=lambda picture: bytes([int(picture[0, 0, 0])]),
    )
    photo = Photo("dock", at(0.0), np.full((1, 1, 3), 77, np.uint8))
    room.on_photo(photo)
    for tenth in range(20):
        room.on_score(score(tenth / 10, 0.9))
    opened = said[-1]
    assert isinstance(opened, Transition)
    assert peaks == ["dock"]
    room.on_photo(photo)
    shown = said[-1]
    assert isinstance(shown, Progress)
    assert (shown.event_id, shown.snapshot) == (opened.event_id, bytes([77]))
    assert peaks == ["dock"]  # a photo asks for no photo
    room.on_score(score(2.1, 0.01))
    before = len(said)
    room.on_photo(photo)  # whoever was there may have left
    assert len(said) == before


DARK_SCENE = Scene(5.0, 1.0, 0.0, 0.0, np.full((56, 56), 5, np.uint8))


def in_the_dark(second: float, value: float) -> Score:
    """A score of a picture that shows nothing."""
    frame = Frame("dock", round(second * 10), at(second), second, (), np.zeros((1, 1, 3), np.uint8))
    return Score("dock", "frame", value, replace(frame, scene=DARK_SCENE), at(second + 0.05))


@pytest.mark.parametrize("mode", list(PresenceMode))
def test_in_the_dark_nobody_is_unknown_and_somebody_is_somebody(mode: PresenceMode) -> None:
    presence = PRESENCE.model_copy(update={"mode": mode})
    here = Listening(CameraConfig(source=SOURCE, presence=presence))
    here.see(*steady(0.02, 0, 10))
    for second, value in steady(0.02, 10, 40):
        here.room.on_score(in_the_dark(second, value))
    here.room.tick(at(40))
    assert here.room.statuses()[0].state is UNKNOWN
    for second, value in steady(0.97, 40, 50):
        here.room.on_score(in_the_dark(second, value))
    assert here.room.statuses()[0].state is OCCUPIED
    (dark,) = here.room.health()
    assert dark.kind is HealthKind.DARK


def test_a_frozen_picture_is_a_span_of_health() -> None:
    told: list[CameraHealth] = []
    room = PresenceRoom(
        {"dock": CameraConfig(source=SOURCE, presence=PRESENCE)},
        on_message=lambda _message: None,
        on_health=told.append,
    )
    room.on_score(score(0, 0.1))
    for _ in range(2):
        room.on_outage(Outage("dock", at(60), OutageReason.FROZEN, "the same for 60 s"))
    room.on_score(score(70, 0.1))
    began, ended = told
    assert began.id == ended.id
    assert (began.kind, began.at, began.ended) == (HealthKind.FROZEN, at(60), None)
    assert ended.ended == at(70)
    assert room.health() == ()
