"""Scene guards: each is seen, none is seen where there is none, and none hides anybody for long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.guards import GuardConfig
from monitor.messages import HealthKind, Light
from monitor.presence.guards import Change, Guarded, GuardState, Sight, guard

from .scenery import Place, at

Timeline = Iterable[tuple[float, Place]]
HOME = Place()
NIGHT = HOME.but(infrared=True)
GUARDS = GuardConfig()


def lasting(
    place: Place, start: float, end: float, fps: float = 2.0
) -> Iterator[tuple[float, Place]]:
    for i in range(round((end - start) * fps)):
        yield start + i / fps, place


def watch(timeline: Timeline, config: GuardConfig = GUARDS) -> list[tuple[float, Guarded]]:
    state, seen = GuardState(), []
    for second, place in timeline:
        result = guard(state, place.scene(round(second * 10)), at(second), config)
        state = result.state
        seen.append((second, result))
    return seen


def told(seen: Iterable[tuple[float, Guarded]]) -> list[Change]:
    return [change for _, result in seen for change in result.changes]


def kinds(seen: Iterable[tuple[float, Guarded]]) -> list[HealthKind]:
    return [change.kind for change in told(seen) if change.ended is None]


def walking(start: float, end: float, place: Place = HOME) -> Iterator[tuple[float, Place]]:
    for i in range(round((end - start) * 2)):
        yield start + i / 2, place.but(person=(10 + (i * 9) % 180, 110))


@pytest.mark.parametrize("place", [HOME, NIGHT, HOME.but(noise=8.0), NIGHT.but(noise=10.0)])
def test_a_quiet_place_with_people_who_come_and_go_raises_nothing(place: Place) -> None:
    timeline = [
        *lasting(place, 0, 40),
        *walking(40, 70, place),
        *lasting(place, 70, 90),
        *lasting(place.but(person=(90, 100)), 90, 130),
    ]
    seen = watch(timeline)
    assert told(seen) == []
    assert all(not r.sight.hold_entries and not r.sight.hold_exits for _, r in seen)


@pytest.mark.parametrize(
    ("after", "kind", "within"),
    [
        (HOME.but(cover=1.0), HealthKind.COVERED, 6.0),
        (HOME.but(cover=0.85), HealthKind.COVERED, 6.0),
        (HOME.but(shift=90), HealthKind.MOVED, 11.0),
        (HOME.but(blur=4.0), HealthKind.DEFOCUSED, 11.0),
        (HOME.but(light=0.03), HealthKind.DARK, 4.0),
    ],
)
def test_what_somebody_does_to_a_camera_is_told_in_time(
    after: Place, kind: HealthKind, within: float
) -> None:
    seen = watch([*lasting(HOME, 0, 40), *lasting(after, 40, 70), *lasting(HOME, 70, 90)])
    changes = [change for change in told(seen) if change.kind is kind]
    assert [change.ended is not None for change in changes] == [False, True]
    began, ended = changes
    assert began.at.monotonic - at(0).monotonic == pytest.approx(40.0, abs=2.5)
    assert began.confirmed.monotonic - at(40).monotonic <= within + 2.5
    assert ended.ended is not None
    assert ended.ended.monotonic - at(0).monotonic == pytest.approx(70.0, abs=2.5)
    lights = {HealthKind.LIGHT_SWITCHED, HealthKind.IR_SWITCHED}  # a grey cover has no colours
    assert {change.kind for change in told(seen)} - lights == {kind}


def test_while_a_camera_is_dark_or_covered_it_is_blind_and_otherwise_not() -> None:
    for after in (HOME.but(cover=1.0), HOME.but(light=0.03)):
        seen = watch([*lasting(HOME, 0, 30), *lasting(after, 30, 50), *lasting(HOME, 50, 60)])
        blind = [second for second, result in seen if result.sight.blind]
        assert 30 < min(blind) <= 38
        assert 49 <= max(blind) <= 54
    seen = watch([*lasting(HOME, 0, 30), *lasting(HOME.but(blur=4.0), 30, 60)])
    assert not any(result.sight.blind for _, result in seen)


def test_switched_light_holds_both_ways_until_it_is_steady_and_is_told() -> None:
    for before, after, kind in (
        (HOME.but(light=0.4), HOME, HealthKind.LIGHT_SWITCHED),
        (HOME, NIGHT, HealthKind.IR_SWITCHED),
        (NIGHT, HOME, HealthKind.IR_SWITCHED),
    ):
        seen = watch([*lasting(before, 0, 30, 5), *lasting(after, 30, 60, 5)])
        held = [second for second, result in seen if result.sight.hold_entries]
        assert held[0] == 30.0
        assert held[-1] <= 31.5
        assert kinds(seen) == [kind]
        assert seen[-1][1].sight == Sight(Light.IR if after.infrared else Light.COLOUR)


def test_lamps_that_go_on_and_off_all_night_are_no_tampering() -> None:
    lamps = [HOME, HOME.but(light=0.5), NIGHT, HOME.but(light=0.7)]
    timeline = [each for i in range(8) for each in lasting(lamps[i % 4], 25.0 * i, 25.0 * i + 25.0)]
    assert set(kinds(watch(timeline))) <= {HealthKind.LIGHT_SWITCHED, HealthKind.IR_SWITCHED}


def test_somebody_before_the_lens_for_a_moment_is_no_tampering() -> None:
    seen = watch(
        [*lasting(HOME, 0, 30), *lasting(HOME.but(cover=0.9), 30, 34), *lasting(HOME, 34, 60)]
    )
    assert HealthKind.COVERED not in kinds(seen)


def test_a_moved_camera_gets_used_to_its_new_view() -> None:
    new = HOME.but(shift=90)
    seen = watch([*lasting(HOME, 0, 30, 1), *lasting(new, 30, 220, 1), *lasting(HOME, 220, 250, 1)])
    moved = [change for change in told(seen) if change.kind is HealthKind.MOVED]
    assert [(change.ended is not None, change.accepted) for change in moved] == [
        (False, False),
        (True, True),
        (False, False),
    ]


def test_rain_and_insects_on_infrared_are_clutter() -> None:
    state = GuardState()
    changes: list[Change] = []
    rng = np.random.default_rng(3)
    for second, place in lasting(NIGHT, 0, 160):
        scene = place.scene(round(second * 10))
        if 20 <= second < 80:
            luma = scene.luma.copy()
            for y, x in rng.integers(0, 52, (14, 2)):
                luma[y : y + 3, x] = 250
            scene = replace(scene, luma=luma)
        result = guard(state, scene, at(second), GUARDS)
        state = result.state
        changes += result.changes
        assert result.sight.hold_entries is False
    assert [(c.kind, c.ended is not None) for c in changes] == [
        (HealthKind.CLUTTER, False),
        (HealthKind.CLUTTER, True),
    ]


places = st.builds(
    Place,
    light=st.sampled_from([0.03, 0.4, 1.0]),
    infrared=st.booleans(),
    shift=st.sampled_from([0, 90]),
    blur=st.sampled_from([0.0, 4.0]),
    cover=st.sampled_from([0.0, 1.0]),
)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(places, st.integers(1, 30)), min_size=1, max_size=8),
    st.sampled_from([0.2, 0.5, 2.0]),
    st.sampled_from([1.0, 5.0]),
)
def test_no_hold_lasts_longer_than_the_bound(
    stretches: list[tuple[Place, int]], step: float, bound: float
) -> None:
    """Whatever happens to the picture: never held for longer than the bound at a stretch."""
    state, second, since, open_ones = GuardState(), 0.0, None, set()
    for place, count in stretches:
        for _ in range(count):
            second += step
            scene = place.scene(round(second * 10) % 4)
            result = guard(state, scene, at(second), GuardConfig(bound=bound))
            state = result.state
            sight = result.sight
            if sight.hold_entries or sight.hold_exits:
                since = second if since is None else since
                assert second - since < bound
            else:
                since = None
            for change in result.changes:
                if change.ended is None:
                    assert change.kind not in open_ones
                    open_ones.add(change.kind)
                else:
                    open_ones.remove(change.kind)
                    assert change.at <= change.ended <= change.confirmed
            assert open_ones == set(state.active)
            assert sum(map(len, state.views.values())) <= 12


def test_light_that_flickers_for_ever_hides_nobody_for_ever() -> None:
    flicker = [(30.0 + 0.5 * i, HOME if i % 2 else HOME.but(light=0.4)) for i in range(240)]
    seen = watch([*lasting(HOME, 0, 30), *flicker], GuardConfig(bound=10.0))
    free = [second for second, r in seen if second >= 30 and not r.sight.hold_entries]
    assert min(free) <= 40.5
    assert len(free) > 100


def test_pictures_out_of_order_change_nothing() -> None:
    (_, first), *_ = watch(lasting(HOME, 10, 11))
    again = guard(first.state, HOME.but(cover=1.0).scene(1), at(9.0), GUARDS)
    assert again.state is first.state
    assert again.changes == ()
