"""A score against the zone's own empty self: what is added, what is taken off, what is learned."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import Stamp
from monitor.config.guards import BackgroundConfig
from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.messages import Light, OpenOccupancy, PresenceState, Summary
from monitor.presence import stillness
from monitor.presence.arrival import (
    GAIN,
    LEAST_SPREAD,
    LOSS,
    SPREADS,
    STAYS,
    Acquaintance,
    Empty,
    Evidence,
    Look,
    weigh,
)
from monitor.presence.background import log_odds
from monitor.presence.stillness import Stillness

from .scenery import Place, at
from .test_background import HOME, Watching, scored, sitting, walking

UNKNOWN, VACANT, OCCUPIED = PresenceState.UNKNOWN, PresenceState.VACANT, PresenceState.OCCUPIED
PERSON = HOME.but(person=(90, 110))
MODES = [PresenceConfig(), PresenceConfig(mode=PresenceMode.EVIDENCE)]
unhurried = settings(deadline=None, max_examples=40)


class Zone:
    """A zone that is looked at, without any verdict on it."""

    def __init__(self) -> None:
        self.known, self.still = Acquaintance(), Stillness()

    def look(
        self,
        second: float,
        place: Place,
        score: float,
        *,
        calm: bool = True,
        occupied: bool = False,
        comparable: bool = True,
    ) -> Evidence:
        luma = place.scene(round(second * 10)).luma
        light = Light.IR if place.infrared else Light.COLOUR
        self.still = stillness.look(
            self.still, luma, at(second), comparable=comparable, vacant=not occupied
        )
        look = Look(log_odds(score), luma, light, at(second), calm, occupied, comparable)
        self.known, evidence = weigh(self.known, self.still, look)
        return evidence

    def watch(self, seconds: Iterable[int], place: Place = HOME, score: float = 0.02) -> Evidence:
        return [self.look(second, place, score) for second in seconds][-1]


def test_a_rise_with_a_change_of_the_picture_counts_for_more() -> None:
    zone = Zone()
    zone.watch(range(40))
    evidence = zone.look(40, PERSON, 0.4)
    assert evidence.level == pytest.approx(log_odds(0.02), abs=0.05)
    assert evidence.gain == GAIN
    assert 0.01 < evidence.changed < 0.2


def test_a_rise_alone_and_a_change_alone_count_for_nothing_more() -> None:
    zone = Zone()
    zone.watch(range(40))
    assert zone.look(40, HOME, 0.4).gain == -LOSS
    assert zone.look(41, PERSON, 0.02).gain == 0.0


def test_a_new_zone_takes_scores_for_what_they_say_once_something_moved() -> None:
    zone = Zone()
    assert zone.look(0, HOME, 0.9).gain == -LOSS  # a statue, perhaps
    evidence = zone.look(1, PERSON, 0.9)
    assert evidence.gain == 0.0
    assert evidence.level is None


@pytest.mark.parametrize("presence", MODES)
def test_what_moves_and_scores_little_is_nobody(presence: PresenceConfig) -> None:
    """0.1 is far above the empty room's 0.02, and still what cats score rather than persons."""
    here = Watching(presence)
    here.see(scored(0, 60, 0.02))
    here.see(walking(60, 80, 0.1))
    here.see(scored(80, 100, 0.02))
    assert here.state is VACANT
    assert not here.spans()


@pytest.mark.parametrize("presence", MODES)
def test_who_is_hardly_seen_at_first_came_then(presence: PresenceConfig) -> None:
    """0.2 leaves it open for ten seconds; the event starts when they came."""
    here = Watching(presence)
    here.see(scored(0, 60, 0.02))
    here.see(walking(60, 70, 0.2))
    here.see(walking(70, 80, 0.9))
    here.see(scored(80, 100, 0.02))
    ((start, end),) = here.spans()
    assert abs(start - 60.0) < 1.5
    assert abs(end - 80.0) < 1.5


def test_what_came_and_went_before_is_not_part_of_a_visit() -> None:
    here = Watching()
    here.see(scored(0, 60, 0.02))
    here.see(walking(60, 70, 0.2))
    here.see(scored(70, 75, 0.02))
    here.see(walking(75, 90, 0.9))
    here.see(scored(90, 110, 0.02))
    ((start, _),) = here.spans()
    assert abs(start - 75.0) < 1.5


@pytest.mark.parametrize("presence", MODES)
def test_who_was_told_and_turns_away_stays(presence: PresenceConfig) -> None:
    here = Watching(presence)
    here.see(scored(0, 60, 0.02))
    here.see(walking(60, 65, 0.9))
    here.see(walking(65, 95, 0.15))
    assert here.state is OCCUPIED
    here.see(scored(95, 115, 0.02))
    ((start, end),) = here.spans()
    assert abs(start - 60.0) < 1.5
    assert abs(end - 95.0) < 1.5


def test_light_that_changes_everything_is_nobody() -> None:
    zone = Zone()
    zone.watch(range(40))
    zone.look(40, HOME.but(light=1.4), 0.4, comparable=False)
    assert zone.look(41, HOME.but(light=1.4), 0.4).gain <= 0.0


def test_infrared_is_learned_apart() -> None:
    zone = Zone()
    zone.watch(range(40), score=0.02)
    zone.watch(range(40, 80), HOME.but(infrared=True), 0.3)
    assert zone.known.empty[Light.IR].level == pytest.approx(log_odds(0.3), abs=0.1)
    assert zone.known.empty[Light.COLOUR].level == pytest.approx(log_odds(0.02), abs=0.05)


def test_who_stays_is_not_learned() -> None:
    zone = Zone()
    zone.watch(range(40))
    before = zone.known.empty[Light.COLOUR]
    for second in range(40, 400):
        zone.look(second, PERSON, 0.4, calm=False, occupied=True)
    assert zone.known.empty[Light.COLOUR] is before
    assert zone.look(400, PERSON, 0.4, calm=False, occupied=True).gain == STAYS
    assert zone.look(401, HOME, 0.02, calm=False, occupied=True).gain == 0.0


def test_who_stands_unnoticed_is_learned_reluctantly() -> None:
    empty = Empty(-4.0, LEAST_SPREAD, np.zeros((56, 56), np.float32), 300.0)
    zone = Zone()
    zone.watch(range(40))
    zone.known = Acquaintance({Light.COLOUR: empty}, zone.known.seen, Light.COLOUR, at(0))
    zone.watch(range(40, 50), score=0.4)
    assert zone.known.empty[Light.COLOUR].level < -3.9


looks = st.tuples(st.floats(0.0, 1.0), st.booleans(), st.booleans(), st.booleans(), st.booleans())


@unhurried
@given(st.lists(looks, min_size=1, max_size=40), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_within_one_memory_a_higher_score_never_counts_for_less(
    past: list[tuple[float, bool, bool, bool, bool]], one: float, other: float
) -> None:
    zone = Zone()
    for second, (score, there, calm, occupied, comparable) in enumerate(past):
        place = PERSON if there else HOME
        evidence = zone.look(
            second, place, score, calm=calm, occupied=occupied, comparable=comparable
        )
        assert -LOSS <= evidence.gain <= (STAYS if occupied else GAIN)
    known, still = zone.known, zone.still
    _, there, calm, occupied, comparable = past[-1]
    counts = []
    for score in sorted((one, other)):
        zone.known, zone.still = known, still
        place = PERSON if there else HOME
        evidence = zone.look(len(past), place, score, occupied=occupied, comparable=comparable)
        counts.append(evidence.odds + evidence.gain)
    assert counts[0] <= counts[1]


@unhurried
@given(st.lists(st.floats(0.001, 0.999), min_size=60, max_size=200), st.integers(1, 5))
def test_level_and_spread_are_bounded_by_what_was_seen(scores: list[float], fps: int) -> None:
    zone = Zone()
    for number, score in enumerate(scores):
        zone.look(number / fps, HOME, score)
    empty = zone.known.empty[Light.COLOUR]
    odds = [log_odds(score) for score in scores]
    assert min(odds) - 1e-9 <= empty.level <= max(odds) + 1e-9
    assert empty.spread >= LEAST_SPREAD
    assert empty.rise(empty.level + SPREADS * empty.spread) == pytest.approx(0.0, abs=1e-9)


def test_two_and_ten_frames_a_second_learn_the_same() -> None:
    levels = []
    for fps in (2, 10):
        zone = Zone()
        rng = np.random.default_rng(3)
        for number in range(120 * fps):
            odds = -3.0 + rng.normal(0.0, 0.5)
            zone.look(number / fps, HOME, float(1.0 / (1.0 + np.exp(-odds))))
        empty = zone.known.empty[Light.COLOUR]
        levels.append((empty.level, empty.spread))
    (slow, narrow), (fast, wide) = levels
    assert abs(slow - fast) < 0.2
    assert abs(narrow - wide) < 0.15


@pytest.mark.parametrize("presence", MODES)
def test_a_faint_person_is_found_where_the_empty_room_is_known(presence: PresenceConfig) -> None:
    here = Watching(presence)
    here.see(scored(0, 60, 0.02))
    here.see(walking(60, 90, 0.35))
    assert here.state is OCCUPIED
    here.see(scored(90, 120, 0.02))
    ((start, end),) = here.spans()
    assert abs(start - 60.0) < 1.5
    assert abs(end - 90.0) < 1.5


@pytest.mark.parametrize("presence", MODES)
def test_a_faint_person_who_sits_still_stays(presence: PresenceConfig) -> None:
    here = Watching(presence)
    here.see(scored(0, 60, 0.02))
    here.see(walking(60, 70, 0.35))
    here.see(sitting(70, 3670, 0.35))
    assert here.state is OCCUPIED
    assert not here.spans()


@pytest.mark.parametrize("presence", MODES)
def test_a_faint_coat_is_learned_and_makes_nobody_of_who_has_left(
    presence: PresenceConfig,
) -> None:
    """It scores 0.35 in a room that scored 0.02: nobody is there once its owner has left."""
    coat = HOME.but(person=(150, 60))
    here = Watching(presence)
    here.see(scored(0, 60, 0.02))
    here.see(walking(60, 70, 0.9))
    here.see(scored(70, 1600, 0.35, coat))
    assert here.state is VACANT
    assert len(here.spans()) == 1


@pytest.mark.parametrize("presence", MODES)
def test_what_scores_high_from_the_first_look_on_and_never_moves_is_a_thing(
    presence: PresenceConfig,
) -> None:
    here = Watching(presence)
    here.see(scored(0, 120, 0.85))
    assert here.state is VACANT
    here.see(walking(120, 130, 0.85))
    assert here.state is OCCUPIED


def test_one_who_sits_there_from_the_first_look_on_is_told_at_the_first_stir() -> None:
    here = Watching(PresenceConfig())
    here.see(sitting(0, 24, 0.85))
    here.see(sitting(25, 60, 0.85, every=5.0))
    assert here.state is OCCUPIED


def test_nearly_certain_scores_need_no_motion() -> None:
    here = Watching(PresenceConfig())
    here.see(scored(0, 20, 0.99))
    assert here.state is OCCUPIED


def test_switched_off_nothing_is_added() -> None:
    off = PresenceConfig(background=BackgroundConfig(enabled=False))
    here = Watching(off)
    here.see(scored(0, 60, 0.02))
    here.see(walking(60, 90, 0.35))
    assert here.state is VACANT


def test_a_moved_camera_begins_anew() -> None:
    zone = Zone()
    zone.watch(range(40))
    zone.known = Acquaintance(seen=zone.known.seen)
    assert zone.look(41, PERSON, 0.4).level is None


def test_order_of_time_is_kept_over_a_gap() -> None:
    zone = Zone()
    zone.watch(range(40))
    evidence = zone.look(4000, HOME, 0.02)
    assert evidence.level is not None
    assert zone.known.seen == Stamp(at(4000).monotonic, at(4000).utc)


@pytest.mark.parametrize("presence", MODES)
def test_two_and_ten_frames_a_second_tell_the_same_faint_visit(presence: PresenceConfig) -> None:
    spans = []
    for fps in (2.0, 10.0):
        here = Watching(presence)
        here.see(scored(0, 60, 0.02, fps=fps))
        here.see(walking(60, 80, 0.35, fps=fps))
        here.see(scored(80, 100, 0.02, fps=fps))
        spans += here.spans()
    (slow_start, slow_end), (fast_start, fast_end) = spans
    assert abs(slow_start - fast_start) <= 0.6
    assert abs(slow_end - fast_end) <= 0.6


def test_a_restart_forgets_no_faint_person() -> None:
    here = Watching(PresenceConfig())
    here.know(0.02)
    open_one = OpenOccupancy(UUID(int=1), "dock", "frame", at(-60), at(-1), Summary(0.4, 0.35, 100))
    here.room.restore([open_one], at(0))
    here.see(sitting(0, 120, 0.35))
    assert here.state is OCCUPIED
    here.see(scored(120, 140, 0.02))
    assert here.state is VACANT


def test_a_gap_leaves_what_is_known_of_the_empty_zone() -> None:
    here = Watching(PresenceConfig())
    here.see(scored(0, 60, 0.02))
    here.see(scored(3000, 3003, 0.02))
    here.see(walking(3003, 3020, 0.35))
    assert here.state is OCCUPIED


def test_a_wall_clock_that_steps_changes_nothing() -> None:
    told = []
    for step in (0.0, -5000.0):
        zone = Zone()
        zone.watch(range(40))
        luma = PERSON.scene(400).luma
        moment = Stamp(at(40).monotonic, at(40 + step).utc)
        zone.still = stillness.look(zone.still, luma, moment, comparable=True, vacant=True)
        look = Look(log_odds(0.4), luma, Light.COLOUR, moment, True, False, True)
        told.append(weigh(zone.known, zone.still, look)[1])
    assert told[0] == told[1]


def test_it_remembers_no_more_than_the_lights_there_are() -> None:
    zone = Zone()
    rng = np.random.default_rng(5)
    for second in range(3000):
        place = HOME.but(infrared=bool(second // 100 % 2), light=1.0 + 0.05 * (second // 700))
        zone.look(second, place, float(rng.uniform(0.0, 0.2)))
    assert set(zone.known.empty) <= set(Light)
    for empty in zone.known.empty.values():
        assert empty.picture.shape == (56, 56)
        assert LEAST_SPREAD <= empty.spread < 3.0
