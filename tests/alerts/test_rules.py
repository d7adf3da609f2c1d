"""The pure parts: armed windows, grants, verdicts; by hand-computed cases and by properties."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.grants import DoorEvent, DoorKind, Grant, inside, match, to_use_up, valid_until
from monitor.alerts.limits import LAST_PAUSE, Breaker, Rate, backoff
from monitor.alerts.rules import Cause, Knowledge, Outcome, in_scope, judge, plan
from monitor.alerts.schedules import Override, arming, window_at
from monitor.alerts.what_if import what_if
from monitor.config.alerts import Trigger
from monitor.config.schedules import MINUTES, ScheduleConfig, Window

from .conftest import NOON, at, configured

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTS = ScheduleConfig(windows=["mon-fri 20:00-06:00", "sat,sun 00:00-24:00"])
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC)
)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("when", "armed"),
    [
        ("2026-03-02T19:59:59", False),  # a Monday
        ("2026-03-02T20:00:00", True),
        ("2026-03-03T05:59:59", True),
        ("2026-03-03T06:00:00", False),
        ("2026-03-07T05:59:59", True),  # Saturday
        ("2026-03-07T12:00:00", True),
        ("2026-03-08T23:59:59", True),
        ("2026-03-09T00:00:00", False),  # Sunday has no window past midnight
        ("2026-12-25T12:00:00", True),  # Friday, a holiday
        ("2026-12-24T12:00:00", False),
    ],
)
def test_windows_pass_midnight_and_know_holidays(when: str, armed: bool) -> None:
    schedule = NIGHTS.model_copy(update={"holidays": [date(2026, 12, 25)]})
    assert bool(window_at(schedule, BERLIN, local(when).astimezone(UTC))) is armed


def test_a_night_is_an_hour_shorter_or_longer_when_the_clocks_change() -> None:
    schedule = ScheduleConfig(windows=["sat 22:00-06:00"])

    def minutes(day: str) -> int:
        start = local(f"{day}T12:00:00").astimezone(UTC)
        steps = (start + timedelta(minutes=step) for step in range(24 * 60))
        return sum(bool(window_at(schedule, BERLIN, moment)) for moment in steps)

    assert minutes("2026-03-28") == 7 * 60  # forward in the night to 29 March
    assert minutes("2026-10-24") == 9 * 60  # back in the night to 25 October
    assert minutes("2026-10-31") == 8 * 60


@given(st.sampled_from(["mon", "tue-thu", "sat,mon", "daily", "fri-mon"]), st.data())
def test_a_window_covers_exactly_its_minutes(days: str, data: st.DataObject) -> None:
    start, end = (data.draw(st.integers(0, MINUTES - 1)) for _ in range(2))
    text = f"{days} {start // 60}:{start % 60:02}-{end // 60}:{end % 60:02}"
    if days == "daily" and (end - start) % MINUTES == 0:
        return
    window = Window(text)
    schedule = ScheduleConfig.model_construct(windows=[text], holidays=[])
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    minute = data.draw(st.integers(0, 7 * MINUTES - 1))
    covered = bool(window_at(schedule, UTC, monday + timedelta(minutes=minute)))
    assert covered is (minute in window.minutes())


@given(MOMENTS, st.lists(st.tuples(MOMENTS, st.booleans(), st.integers(1, 10**6)), max_size=5))
def test_the_latest_override_that_covers_the_moment_wins(
    moment: datetime, spoken: list[tuple[datetime, bool, int]]
) -> None:
    overrides = [
        Override("nights", armed, since, since + timedelta(seconds=seconds), "anna")
        for since, armed, seconds in spoken
    ]
    verdict = arming(["nights"], {"nights": NIGHTS}, overrides, BERLIN, moment)
    covering = [each for each in overrides if each.since <= moment < each.until]  # type: ignore[operator]
    if covering:
        assert verdict.armed is max(covering, key=lambda each: (each.since, each.armed)).armed
    else:
        assert verdict.armed is bool(window_at(NIGHTS, BERLIN, moment))


def test_disarming_everything_stops_rules_without_a_schedule() -> None:
    everything = [Override("", False, NOON, None, "anna")]
    assert arming([], {}, [], UTC, NOON).armed
    assert not arming([], {}, everything, UTC, NOON).armed
    again = [*everything, Override("nights", True, NOON, None, "anna")]
    assert arming(["nights"], {"nights": NIGHTS}, again[::-1], UTC, NOON).armed


@pytest.mark.parametrize(
    "text",
    ["", "mon", "mon 20:00", "moon 20:00-21:00", "mon 25:00-26:00", "mon 24:00-01:00",
     "mon 20:60-21:00", "mon- 20:00-21:00", "20:00-21:00"],
)  # fmt: skip
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write mon-fri"):
        Window(text)


def grant(since: float, until: float, **more: Any) -> Grant:
    return Grant(uuid4(), "b", at(since).utc, at(until).utc, **more)


SECONDS = st.integers(0, 100)


@given(SECONDS, SECONDS, SECONDS, SECONDS, st.none() | SECONDS)
def test_a_grant_matches_when_it_is_valid_for_a_moment_of_the_span(
    since: int, length: int, start: int, span: int, used: int | None
) -> None:
    one = grant(since, since + length, used_at=at(used).utc if used is not None else None)
    found = match([one], at(start).utc, at(start + span).utc)
    ends = min(since + length, used) if used is not None else since + length
    halves = [start + step / 2 for step in range(2 * span + 1)]
    valid = any(since <= moment < ends for moment in halves)
    assert (found is not None) is valid
    assert valid_until(one) == at(ends).utc


def test_leaving_uses_up_the_oldest_single_use_grant_only() -> None:
    lasting, newer, older = (
        grant(0, 90),
        grant(5, 90, single_use=True),
        grant(1, 90, single_use=True),
    )
    assert to_use_up([lasting, newer, older], at(10).utc, at(20).utc) is older
    assert to_use_up([lasting], at(10).utc, at(20).utc) is None


@given(st.lists(st.tuples(st.sampled_from(list(DoorKind)), st.sampled_from(["", "a", "b"]))))
def test_inside_is_who_went_in_last(events: list[tuple[DoorKind, str]]) -> None:
    told = [DoorEvent(kind, who, at(second).utc) for second, (kind, who) in enumerate(events)]
    badges = inside(told)
    for who in ("a", "b"):
        moves = [kind for kind, subject in events if subject == who]
        moves = [kind for kind in moves if kind in (DoorKind.GRANTED, DoorKind.EXIT)]
        assert (who in badges) is (moves[-1:] == [DoorKind.GRANTED])
    assert "" not in badges


CONFIG = configured(
    rules={
        "everywhere": {"on": "occupied", "cooldown": "60s"},
        "gate": {"on": "occupied", "zones": ["dock/gate"]},
        "group": {"on": "occupied", "groups": ["outside"]},
        "lobby": {"on": "occupied", "cameras": ["lobby"]},
        "blind": {"on": "camera_lost", "zones": ["dock/gate"], "after": "5s"},
    },
    groups={"outside": ["dock/yard", "lobby"]},
).alerts
EVENT = UUID(int=7)


def cause(zone: str = "gate", camera: str = "dock", trigger: Trigger = Trigger.OCCUPIED) -> Cause:
    return Cause(trigger, camera, zone, NOON, str(EVENT), EVENT)


@pytest.mark.parametrize(
    ("camera", "zone", "rules"),
    [
        ("dock", "gate", ["everywhere", "gate"]),
        ("dock", "yard", ["everywhere", "group"]),
        ("lobby", "frame", ["everywhere", "group", "lobby"]),
    ],
)
def test_rules_are_about_their_scope_only(camera: str, zone: str, rules: list[str]) -> None:
    assert [watch.rule for watch in plan(CONFIG, cause(zone, camera))] == rules


def test_a_lost_camera_concerns_rules_about_any_of_its_zones() -> None:
    assert in_scope(CONFIG, CONFIG.rules["blind"], "dock", "")
    assert not in_scope(CONFIG, CONFIG.rules["blind"], "lobby", "")


def test_the_same_cause_has_the_same_id_and_others_have_others() -> None:
    ids = [watch.id for watch in plan(CONFIG, cause())]
    assert ids == [watch.id for watch in plan(CONFIG, cause())]
    other = Cause(Trigger.OCCUPIED, "dock", "gate", NOON, str(UUID(int=8)), UUID(int=8))
    assert not set(ids) & {watch.id for watch in plan(CONFIG, other)}


@given(st.integers(-100, 200))
def test_cooldown_records_within_and_tells_after(ago: int) -> None:
    (watch, *_) = plan(CONFIG, cause())
    known = Knowledge(last_told=NOON - timedelta(seconds=ago))
    verdict = judge(CONFIG, watch, known)
    assert verdict.outcome is (Outcome.RECORD if 0 <= ago < 60 else Outcome.TELL)


def test_rules_test_explains_every_rule_without_a_database() -> None:
    config = configured(
        timezone="Europe/Berlin",
        schedules={"nights": {"windows": NIGHTS.windows}},
        rules={"night": {"on": "occupied", "armed": ["nights"], "zones": ["dock/gate"]}},
    )
    (day,) = what_if(config, local("2026-03-03T12:00:00").astimezone(UTC))
    assert (day.outcome, day.reasons) == (Outcome.NOTHING, ("not armed: outside nights",))
    (night,) = what_if(config, local("2026-03-03T22:00:00").astimezone(UTC))
    assert night.outcome is Outcome.TELL
    assert night.reasons == ("armed: nights (mon-fri 20:00-06:00)",)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_grows_to_its_bound_with_jitter(attempts: int, chance: float) -> None:
    pause = backoff(attempts, lambda: chance)
    assert 0.5 <= pause <= LAST_PAUSE
    assert pause <= backoff(attempts + 1, lambda: chance)


def test_the_breaker_opens_waits_and_closes() -> None:
    breaker = Breaker(lambda: 1.0)
    for _ in range(2):
        breaker.failed(0.0)
    assert not breaker.open
    breaker.failed(0.0)
    assert breaker.open
    assert breaker.wait(0.0) == 1.0
    assert breaker.wait(1.0) == 0.0
    breaker.failed(1.0)
    assert breaker.wait(1.0) == 2.0
    assert breaker.succeeded()
    assert not breaker.open
    assert not breaker.succeeded()


@given(st.integers(1, 600), st.lists(st.floats(0, 10), max_size=200))
def test_no_minute_sees_more_than_its_rate_and_burst(per_minute: int, pauses: list[float]) -> None:
    rate, now, taken = Rate(per_minute), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if rate.wait(now) == 0.0:
            taken.append(now)
    for moment in taken:
        within = sum(moment <= other < moment + 60 for other in taken)
        assert within <= per_minute + max(1.0, per_minute / 10) + 1
