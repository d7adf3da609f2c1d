"""The coat on the hook and the person who sits still: told apart, and nobody is hidden."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from monitor.clock import Stamp
from monitor.config.camera import CameraConfig, SourceConfig
from monitor.config.guards import BackgroundConfig
from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.messages import Light, PresenceState, Progress, Score, Transition
from monitor.presence.background import (
    FORGOTTEN_AFTER,
    Level,
    Levels,
    Memory,
    known,
    log_odds,
    weigh,
)
from monitor.presence.room import PresenceRoom
from monitor.presence.stillness import Stillness, look

from .scenery import Place, at

UNKNOWN, VACANT, OCCUPIED = PresenceState.UNKNOWN, PresenceState.VACANT, PresenceState.OCCUPIED
HOME = Place()
LEARNING = BackgroundConfig(learn_after=60.0, still_for=20.0)
PRESENCE = PresenceConfig(background=LEARNING)
MODES = [PRESENCE, PRESENCE.model_copy(update={"mode": PresenceMode.EVIDENCE})]
Seen = tuple[float, Place, float]
"""Second, what the camera looks at, and the score."""


class Watching:
    """A room that watches one camera, and the spans it told."""

    def __init__(self, presence: PresenceConfig = PRESENCE) -> None:
        source = SourceConfig(url=SecretStr("rtsp://camera/"))
        self.said: list[Transition] = []
        self.room = PresenceRoom(
            {"dock": CameraConfig(source=source, presence=presence)}, on_message=self.hear
        )

    def know(self, score: float) -> None:
        """An earlier process knew that the empty room scores so much, all day."""
        level = Level(log_odds(score), 0.15, 4000.0, at(0).utc)
        levels = {(Light.COLOUR, hour): level for hour in range(24)}
        self.room.remember({("dock", "frame"): levels, ("gone", "frame"): levels})

    def hear(self, message: Transition | Progress) -> None:
        if isinstance(message, Transition):
            self.said.append(message)

    def see(self, what: Iterable[Seen]) -> None:
        for second, place, score in what:
            frame = place.frame(second)
            self.room.on_score(Score("dock", "frame", score, frame, frame.stamp))

    @property
    def state(self) -> PresenceState:
        return self.room.statuses()[0].state

    def spans(self) -> list[tuple[float, float]]:
        """Start and end of each event that has ended, in seconds."""
        opened = {m.event_id: m.at for m in self.said if m.current is OCCUPIED}
        return [
            (opened[m.event_id].since(at(0)), m.at.since(at(0)))
            for m in self.said
            if m.previous is OCCUPIED
        ]


def scored(
    start: float, end: float, mean: float, place: Place = HOME, fps: float = 1.0
) -> Iterator[Seen]:
    """A place that stands still; its scores tremble with the sensor's noise."""
    rng = np.random.default_rng(round(start))
    for i in range(round((end - start) * fps)):
        odds = log_odds(mean) + rng.normal(0.0, 0.15)
        yield start + i / fps, place, float(1.0 / (1.0 + np.exp(-odds)))


def sitting(start: float, end: float, score: float, every: float = 25.0) -> Iterator[Seen]:
    """Somebody sits, and moves a hand now and then."""
    for second, _, value in scored(start, end, score):
        raised = 12 * (int((second - start) / every) % 2)
        yield second, HOME.but(person=(90, 110), gesture=raised), value


def walking(start: float, end: float, score: float, fps: float = 5.0) -> Iterator[Seen]:
    for i in range(round((end - start) * fps)):
        yield start + i / fps, HOME.but(person=(10 + (i * 5) % 180, 110)), score


@pytest.mark.parametrize("presence", MODES)
def test_a_coat_does_not_keep_a_room_occupied(presence: PresenceConfig) -> None:
    here = Watching(presence)
    here.see(scored(0, 30, 0.02))
    here.see(walking(30, 40, 0.97))
    here.see(scored(40, 200, 0.75))  # the coat stays, its owner does not
    assert here.state is VACANT
    ((start, end),) = here.spans()
    assert start == pytest.approx(30.0, abs=1.0)
    assert end == pytest.approx(40.0, abs=4.0)  # back-dated to the last that moved


@pytest.mark.parametrize("presence", MODES)
@pytest.mark.parametrize("score", [0.75, 0.97])
def test_a_person_who_sits_still_stays(presence: PresenceConfig, score: float) -> None:
    """An hour in the proportions of the defaults: stirs every 25 s, learned after 60 s."""
    here = Watching(presence)
    here.see(scored(0, 30, 0.02))
    here.see(walking(30, 36, 0.97))
    here.see(sitting(36, 900, score))
    assert here.state is OCCUPIED
    assert here.spans() == []
    here.see(walking(900, 905, 0.97))
    here.see(scored(905, 930, 0.02))
    ((start, end),) = here.spans()
    assert start == pytest.approx(30.0, abs=1.0)
    assert end == pytest.approx(905.0, abs=1.5)


def test_a_coat_that_is_known_is_no_news_after_a_visit_or_a_restart() -> None:
    here = Watching()
    here.see(scored(0, 30, 0.02))
    here.see(scored(30, 4000, 0.75, fps=0.25))  # an hour of coat: beyond doubt
    assert here.state is VACANT
    again = Watching()
    again.room.remember(here.room.backgrounds())
    again.see(scored(4010, 4030, 0.75))
    assert again.state is VACANT
    assert again.said[0].current is VACANT  # never taken for somebody
    again.see(walking(4030, 4040, 0.97))
    assert again.state is OCCUPIED
    again.see(scored(4040, 4080, 0.75))
    assert again.state is VACANT
    ((start, end),) = again.spans()
    assert start == pytest.approx(4030.0, abs=1.0)
    assert end == pytest.approx(4040.0, abs=4.0)


def test_who_enters_a_room_with_a_coat_is_seen_at_once() -> None:
    """By a score above the coat's ceiling, and by motion where the score says no more."""
    for score in (0.95, 0.75):
        here = Watching()
        here.know(0.75)
        here.see(scored(0, 30, 0.75))
        assert here.state is VACANT
        here.see(walking(30, 42, score))
        assert here.state is OCCUPIED
        opened = here.said[-1]
        assert opened.confirmed.since(at(30)) <= (1.0 if score > 0.9 else 5.0)


def test_what_was_learned_in_doubt_is_taken_back_by_a_single_stir() -> None:
    """Somebody sat like a statue for longer than `learn_after`, and then moved a hand."""
    here = Watching()
    statue = HOME.but(person=(90, 110))
    here.see(scored(0, 30, 0.02))
    here.see(walking(30, 36, 0.97))
    here.see(scored(36, 130, 0.8, statue))
    assert here.state is VACANT
    here.see(scored(130, 135, 0.8, statue.but(gesture=12)))
    assert here.state is OCCUPIED
    assert here.room.backgrounds()["dock", "frame"] == {} or all(
        level.mean < 0.0 for level in here.room.backgrounds()["dock", "frame"].values()
    )


def test_a_coat_that_is_taken_away_is_forgotten() -> None:
    here = Watching()
    here.know(0.75)
    here.see(scored(0, 3200, 0.02, fps=0.25))
    level = here.room.backgrounds()["dock", "frame"][Light.COLOUR, at(0).utc.hour]
    assert level.ceiling < log_odds(0.4)


def test_other_light_is_another_background() -> None:
    here = Watching()
    here.know(0.75)
    here.see(scored(0, 30, 0.75))
    assert here.state is VACANT
    here.see(scored(30, 60, 0.985, HOME.but(infrared=True)))
    assert here.state is OCCUPIED  # never seen by infrared: it is taken for what it says
    here.see(scored(60, 400, 0.985, HOME.but(infrared=True)))
    assert here.state is VACANT


def test_switched_off_a_score_is_taken_for_what_it_says() -> None:
    off = PRESENCE.model_copy(update={"background": BackgroundConfig(enabled=False)})
    here = Watching(off)
    here.see(scored(0, 30, 0.02))
    here.see(scored(30, 400, 0.75))
    assert here.state is OCCUPIED


def test_a_level_that_nothing_confirmed_for_weeks_is_not_used() -> None:
    now = at(0).utc
    level = Level(log_odds(0.7), 0.2, 5000.0, now)
    levels: Levels = {(Light.IR, now.hour): level}
    assert known(levels, (Light.IR, now.hour), now, LEARNING) == level
    assert known(levels, (Light.IR, (now.hour + 1) % 24), now, LEARNING) == level
    assert known(levels, (Light.IR, (now.hour + 2) % 24), now, LEARNING) is None
    assert known(levels, (Light.COLOUR, now.hour), now, LEARNING) is None
    late = now + FORGOTTEN_AFTER + timedelta(seconds=1)
    assert known(levels, (Light.IR, now.hour), late, LEARNING) is None


def still_at(second: float, stirred: float, lively: bool = False) -> Stillness:
    bustle = at(stirred - 10.0) if lively else at(stirred)
    return Stillness(seen=at(second), since=at(-1e4), stirred=at(stirred), bustle=bustle)


memories = st.builds(
    lambda mean, spread, standing, doubtful: Memory(
        levels={(Light.COLOUR, 22): Level(mean, spread, 4000.0, at(0).utc)},
        standing=Level(mean, spread, 4000.0, at(0).utc) if standing else None,
        doubtful=doubtful and standing,
        seen=at(99.0),
        light=Light.COLOUR,
    ),
    st.floats(-6.0, 4.0),
    st.floats(0.0, 2.0),
    st.booleans(),
    st.booleans(),
)
states = st.sampled_from([UNKNOWN, VACANT, OCCUPIED])


@settings(deadline=None, max_examples=200)
@given(memories, st.floats(0.0, 1.0), st.floats(0.0, 1.0), states, st.floats(0.0, 100.0))
def test_a_higher_score_never_counts_for_less(
    memory: Memory, one: float, other: float, presence: PresenceState, stirred: float
) -> None:
    still = still_at(100.0, stirred)

    def counts(score: float) -> float:
        return weigh(
            memory,
            score,
            still,
            at(100.0),
            light=Light.COLOUR,
            presence=presence,
            quiet=0.05,
            settings=LEARNING,
        ).score

    low, high = sorted((one, other))
    assert counts(low) <= counts(high)
    assert counts(high) in (high, min(high, 0.05))


@settings(deadline=None, max_examples=200)
@given(memories, st.floats(0.0, 1.0), states)
def test_while_something_keeps_moving_nothing_is_explained(
    memory: Memory, score: float, presence: PresenceState
) -> None:
    weighed = weigh(
        memory,
        score,
        still_at(100.0, 100.0, lively=True),
        at(100.0),
        light=Light.COLOUR,
        presence=presence,
        quiet=0.05,
        settings=LEARNING,
    )
    assert weighed.score == score
    assert weighed.recanted is None
    assert weighed.memory.standing is None
    assert weighed.memory.levels == memory.levels


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0.5, 1.0), st.floats(0.1, 5.0)), max_size=60),
    st.floats(5.0, 19.0),
)
def test_an_occupied_zone_that_stirs_in_time_is_never_explained(
    scores: list[tuple[float, float]], pause: float
) -> None:
    """Whatever it scores: with a stir at least every `still_for` a zone that is occupied stays."""
    memory = Memory(levels={(Light.COLOUR, 22): Level(6.0, 1.0, 9000.0, at(0).utc)})
    now, stirred = 0.0, 0.0
    for score, gap in scores:
        now += gap
        stirred = now if now - stirred >= pause else stirred
        weighed = weigh(
            memory,
            score,
            still_at(now, stirred),
            at(now),
            light=Light.COLOUR,
            presence=OCCUPIED,
            quiet=0.05,
            settings=LEARNING,
        )
        memory = weighed.memory
        assert weighed.score == score


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-7.0, 7.0), st.floats(0.0, 5.0)), min_size=1, max_size=80))
def test_a_level_stays_within_what_it_saw(scores: list[tuple[float, float]]) -> None:
    level = Level(scores[0][0], 0.0, 0.0, at(0).utc)
    for odds, seconds in scores:
        level = level.followed(odds, seconds, at(1).utc)
    seen = [odds for odds, _ in scores]
    assert min(seen) - 1e-6 <= level.mean <= max(seen) + 1e-6
    assert level.spread <= 2.0 * (max(seen) - min(seen)) + 1e-6
    assert level.mean + 1.0 - 1e-9 <= level.ceiling <= level.mean + 2.5 + 1e-9


@pytest.mark.parametrize("noise", [1.0, 4.0, 8.0])
def test_noise_is_no_motion_and_a_raised_hand_is(noise: float) -> None:
    still, stirs = Stillness(), []
    somebody = HOME.but(person=(90, 110), noise=noise)
    timeline = [(i / 2, somebody) for i in range(120)]
    timeline += [(60.0, somebody.but(gesture=12)), (60.5, somebody.but(gesture=12))]
    for second, place in timeline:
        scene = place.scene(round(second * 10))
        still = look(still, scene.luma, at(second), comparable=True, vacant=False)
        if still.stirs:
            stirs.append(second)
    assert stirs == [60.0]
    assert not still.lively


def test_one_who_walks_is_lively_and_leaves_that_move_are_not_after_a_while() -> None:
    still = Stillness()
    for second, place, _ in walking(0, 6, 0.9):
        still = look(still, place.scene(0).luma, at(second), comparable=True, vacant=False)
    assert still.lively
    rng = np.random.default_rng(4)
    base = HOME.scene(0).luma
    still, late = Stillness(), []
    for i in range(2400):
        leaves = base.copy()
        leaves[10:16, 10:16] = np.clip(100 + rng.normal(0, 12, (6, 6)), 0, 255)
        still = look(still, leaves, at(i * 0.5), comparable=True, vacant=True)
        if i > 1900:
            late.append(still.stirs)
    assert np.mean(late) < 0.02


def test_a_stamp_in_the_past_of_the_zone_is_no_trouble() -> None:
    """The wall clock may step; only the hour is read off it."""
    early = Stamp(at(0).monotonic, at(0).utc - timedelta(days=400))
    weighed = weigh(
        Memory(),
        0.4,
        Stillness(),
        early,
        light=Light.DARK,
        presence=UNKNOWN,
        quiet=0.05,
        settings=LEARNING,
    )
    assert weighed.score == 0.4
