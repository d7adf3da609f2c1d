"""From one configuration to another: what has to happen, and what cannot."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import MonitorConfig
from monitor.config.changes import Changes, compare, in_force

CORNER = [[0, 0], [1, 0], [1, 1]]
OTHER = [[0, 0], [1, 0], [0, 1]]
USERS = {"anna": {"password": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"}}
BASE: dict[str, Any] = {
    "cameras": {
        "dock": {
            "source": {"url": "rtsp://user:old@127.0.0.1/1"},
            "zones": {"gate": {"polygon": CORNER}, "yard": {"polygon": OTHER}},
        },
        "lobby": {"source": {"url": "rtsp://127.0.0.1/2"}},
        "attic": {"source": {"url": "rtsp://127.0.0.1/3"}, "enabled": False},
    }
}


def changed(path: str, value: Any) -> MonitorConfig:
    """The base with one key set, or removed when the value is ..."""
    data = deepcopy(BASE)
    *above, last = path.split("/")
    at = data
    for key in above:
        at = at.setdefault(key, {})
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return MonitorConfig.model_validate(data)


BEFORE = MonitorConfig.model_validate(BASE)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("cameras/new", {"source": {"url": "rtsp://127.0.0.1/4"}}, Changes(started=("new",))),
        ("cameras/attic/enabled", True, Changes(started=("attic",))),
        ("cameras/attic", ..., Changes()),
        (
            "cameras/lobby",
            ...,
            Changes(stopped=("lobby",), ended=frozenset({("lobby", "frame")})),
        ),
        (
            "cameras/lobby/enabled",
            False,
            Changes(stopped=("lobby",), ended=frozenset({("lobby", "frame")})),
        ),
        ("cameras/dock/source/url", "rtsp://user:new@127.0.0.1/1", Changes(reopened=("dock",))),
        ("cameras/dock/sample_fps", 2, Changes(reopened=("dock",))),
        ("cameras/dock/presence", {"enter_threshold": 0.8}, Changes(retuned=("dock",))),
        (
            "cameras/dock/zones/gate/presence",
            {"exit_after": "9s"},
            Changes(retuned=("dock",)),
        ),
        ("cameras/dock/guards", {"enabled": False}, Changes(retuned=("dock",))),
        ("cameras/dock/source/snapshot_url", "rtsp://127.0.0.1/9", Changes(retuned=("dock",))),
        (
            "cameras/dock/zones/gate",
            ...,
            Changes(reopened=("dock",), ended=frozenset({("dock", "gate")})),
        ),
        (
            "cameras/dock/zones/gate/polygon",
            OTHER,
            Changes(reopened=("dock",), ended=frozenset({("dock", "gate")})),
        ),
        (
            "cameras/dock/view",
            "stretch",
            Changes(reopened=("dock",), ended=frozenset({("dock", "gate"), ("dock", "yard")})),
        ),
        (
            "cameras/lobby/zones",
            {"door": {"polygon": CORNER}},
            Changes(reopened=("lobby",), ended=frozenset({("lobby", "frame")})),
        ),
        (
            "cameras/lobby/privacy_masks",
            [CORNER],
            Changes(reopened=("lobby",), ended=frozenset({("lobby", "frame")})),
        ),
        ("defaults/presence", {"max_gap": "20s"}, Changes(retuned=("dock", "lobby"))),
        ("logging/level", "debug", Changes(sections=("logging",))),
        ("alerts/timezone", "Europe/Berlin", Changes(sections=("alerts",))),
        ("learning/enabled", True, Changes(sections=("learning",))),
        ("web/port", 9000, Changes(restart=("web.port",))),
        ("web/users", USERS, Changes(sections=("web",))),
        ("web", {"port": 9000, "users": USERS}, Changes(sections=("web",), restart=("web.port",))),
        ("inference/workers", 7, Changes(restart=("inference.workers",))),
        ("database/url", "sqlite:///other.db", Changes(restart=("database.url",))),
    ],
)
def test_each_change_has_its_consequence(path: str, value: Any, expected: Changes) -> None:
    after = changed(path, value)
    assert compare(BEFORE, after) == expected
    assert bool(expected.any) is (compare(BEFORE, in_force(BEFORE, after)) != Changes())


zones = st.dictionaries(
    st.sampled_from(["gate", "yard", "door"]),
    st.fixed_dictionaries(
        {"polygon": st.sampled_from([CORNER, OTHER])},
        optional={"presence": st.fixed_dictionaries({"exit_after": st.sampled_from([3.0, 5.0])})},
    ),
    max_size=3,
)
cameras = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.fixed_dictionaries(
        {"source": st.fixed_dictionaries({"url": st.sampled_from(["rtsp://h/1", "rtsp://h/2"])})},
        optional={
            "enabled": st.booleans(),
            "zones": zones,
            "view": st.sampled_from(["tiles", "stretch"]),
            "presence": st.fixed_dictionaries({"enter_threshold": st.sampled_from([0.7, 0.8])}),
        },
    ),
    min_size=1,
)
configs = st.fixed_dictionaries(
    {"cameras": cameras},
    optional={
        "web": st.fixed_dictionaries(
            {"port": st.sampled_from([8080, 9000]), "users": st.sampled_from([{}, USERS])}
        ),
        "logging": st.fixed_dictionaries({"level": st.sampled_from(["info", "debug"])}),
    },
).map(MonitorConfig.model_validate)


@given(configs)
def test_nothing_changes_from_a_configuration_to_itself(config: MonitorConfig) -> None:
    assert compare(config, config.model_copy(deep=True)) == Changes()


@given(configs, configs)
def test_every_camera_ends_up_read_once_or_not_at_all(
    before: MonitorConfig, after: MonitorConfig
) -> None:
    changes = compare(before, after)
    reading = {name for name, camera in before.cameras.items() if camera.enabled}
    dropped = {*changes.stopped, *changes.reopened}
    assert dropped <= reading
    added = {*changes.started, *changes.reopened}
    assert not added & (reading - dropped)
    on = {name for name, camera in after.cameras.items() if camera.enabled}
    assert (reading - dropped) | added == on
    for name in reading - dropped - {*changes.retuned}:
        assert before.cameras[name] == after.cameras[name]


@given(configs, configs)
def test_what_is_in_force_needs_no_restart_and_is_reached_in_one_step(
    before: MonitorConfig, after: MonitorConfig
) -> None:
    reached = in_force(before, after)
    assert compare(before, reached).restart == ()
    assert (reached.web.port, reached.web.users) == (before.web.port, after.web.users)
    assert reached.cameras == after.cameras
    rest = compare(reached, after)
    assert not rest.any
    assert rest.restart == compare(before, after).restart


@given(configs, configs)
def test_only_zones_of_before_end_and_one_that_stays_as_it_was_does_not(
    before: MonitorConfig, after: MonitorConfig
) -> None:
    ended = compare(before, after).ended
    for name, zone in ended:
        assert before.cameras[name].enabled
        assert zone in (before.cameras[name].zones or {"frame": None})
    for name, camera in before.cameras.items():
        later = after.cameras.get(name)
        if later is None or not (camera.enabled and later.enabled) or camera.view != later.view:
            continue
        for zone, settings in camera.zones.items():
            same = zone in later.zones and later.zones[zone].polygon == settings.polygon
            assert ((name, zone) in ended) is not same
