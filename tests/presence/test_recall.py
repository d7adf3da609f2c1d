"""The long memory as text: what is written is read, and what is not ours is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.messages import Light
from monitor.presence.background import Level
from monitor.presence.recall import dump, load

levels = st.builds(
    Level,
    st.floats(-7.0, 7.0),
    st.floats(0.0, 5.0),
    st.floats(0.0, 1e7),
    st.integers(0, 10**6).map(lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s)),
)
slots = st.tuples(st.sampled_from(list(Light)), st.integers(0, 23))
knowledge = st.dictionaries(
    st.tuples(st.text(min_size=1), st.text(min_size=1)),
    st.dictionaries(slots, levels, min_size=1),
)


@given(knowledge)
def test_what_is_written_is_read(known: dict[tuple[str, str], dict[object, Level]]) -> None:
    assert load(dump(known)) == known  # type: ignore[arg-type]


GOOD = {
    "light": "ir",
    "hour": 3,
    "mean": 0.5,
    "spread": 0.1,
    "seconds": 900.0,
    "learned": "2026-03-01T03:00:00+00:00",
}


def text(**changes: object) -> str:
    zone = {"camera": "dock", "zone": "frame", "levels": [GOOD | changes]}
    return json.dumps({"version": 1, "zones": [zone]})


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "[]",
        "null",
        '{"zones": []}',
        '{"version": 2, "zones": []}',
        '{"version": 1, "zones": 3}',
        text(light="moon"),
        text(hour=24),
        text(mean="much"),
        text(mean=float("nan")),
        text(spread=-1.0),
        text(learned="2026-03-01T03:00:00"),
        text(learned=None),
    ],
)
def test_what_is_not_ours_is_refused(bad: str) -> None:
    assert load(text())
    with pytest.raises(ValueError, match=r"."):
        load(bad)
