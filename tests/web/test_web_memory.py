"""The memory's answers by REST, from a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from monitor.events.models import Coverage, OccupancyEvent
from monitor.messages import EndReason

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def stay(camera: str, start: datetime, end: datetime | None) -> OccupancyEvent:
    return OccupancyEvent(
        id=uuid4(), camera=camera, zone="gate", started_at=start, confirmed_at=start,
        last_seen_at=end or start, ended_at=end, end_reason=EndReason.VACATED if end else None,
        peak_score=0.9, mean_score=0.8, score_count=9, model_id="m", settings={},
        created_at=start, updated_at=start,
    )  # fmt: skip


@pytest.fixture
def engine(empty: Engine) -> Engine:
    """Seen from noon to 18:00; occupied are the dock until 13:00 and since 17:30, and the hall."""
    with Session(empty) as session, session.begin():
        for camera in ("dock", "hall"):
            session.add(
                Coverage(
                    id=uuid4(), camera=camera, zone="gate", started_at=NOON,
                    last_seen_at=NOON + 6 * HOUR, ended_at=NOON + 6 * HOUR,
                )
            )  # fmt: skip
        session.add(stay("dock", NOON, NOON + HOUR))
        session.add(stay("dock", NOON + 5.5 * HOUR, None))
        session.add(stay("hall", NOON + HOUR / 2, NOON + HOUR * 2 / 3))
    return empty


def ask(client: httpx.Client, what: str, **parameters: Any) -> Any:
    answer = client.get(f"/api/memory/{what}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_events_page_by_page(client: httpx.Client) -> None:
    first = ask(client, "events", limit=2)
    rest = ask(client, "events", limit=2, after=first["next"])
    assert [each["camera"] for each in first["events"] + rest["events"]] == ["dock", "hall", "dock"]
    assert rest["next"] is None
    assert rest["events"][0]["duration_s"] == 3600.0
    (only,) = ask(client, "events", open=True)["events"]
    assert only["ended_at"] is None
    at = ask(client, "events", at="2026-03-01 13:35", timezone="Europe/Berlin")["events"]
    assert {each["camera"] for each in at} == {"dock", "hall"}
    assert len(ask(client, "events", ungranted=True, oldest_first=True)["events"]) == 3


def test_zones(client: httpx.Client) -> None:
    found = ask(client, "zones", at="2026-03-01T12:30:00Z")["zones"]
    assert [(zone["camera"], zone["state"]) for zone in found] == [
        ("dock", "occupied"), ("hall", "occupied"),
    ]  # fmt: skip
    assert {zone["state"] for zone in ask(client, "zones")["zones"]} == {"not seen"}


def test_ratio_days_longest_overlaps_and_gaps(client: httpx.Client) -> None:
    span = {"until": "2026-03-01T20:00Z", "camera": "dock"}
    lines = ask(client, "ratio", by="hour", **span)["ratios"]
    assert [line["ratio"] for line in lines] == [1.0, 0.0, 0.0, 0.0, 0.0, 0.5, None, None]
    cut = ask(client, "ratio", by="hour", limit=3, **span)
    assert (len(cut["ratios"]), cut["more"]) == (3, True)
    (day,) = ask(client, "days", **span)["days"]
    assert (day["day"], day["stays"], day["not_seen_s"]) == ("2026-03-01", 2, 7200.0)
    longest = ask(client, "longest", limit=2)["events"]
    assert [each["lasted_s"] for each in longest] == [3600.0, 1800.0]
    (both,) = ask(client, "overlaps", with_camera="hall", camera="dock")["overlaps"]
    assert both["start"] == "2026-03-01T12:30:00+00:00"
    (gap,) = ask(client, "gaps", **span)["gaps"]
    assert gap["start"] == "2026-03-01T18:00:00+00:00"


@pytest.mark.parametrize(
    ("what", "parameters", "said"),
    [
        ("events", {"since": "14:00", "until": "13:00"}, "the span is empty"),
        ("events", {"after": "x"}, "page mark"),
        ("zones", {"at": "soonish"}, "is no moment"),
        ("ratio", {"timezone": "Mars/Olympus"}, "no time zone"),
        ("events", {"limit": 0}, "greater than or equal"),
        ("events", {"camra": "dock"}, "there is no such filter; after, at, camera"),
    ],
)
def test_what_makes_no_sense_is_said(
    client: httpx.Client, what: str, parameters: dict[str, Any], said: str
) -> None:
    answer = client.get(f"/api/memory/{what}", params=parameters)
    assert answer.status_code == 400
    assert set(answer.json()) == {"what", "where", "remedy"}
    assert said in answer.json()["what"]


def test_a_database_that_is_away_is_503_and_tells_no_more(
    client: httpx.Client, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE coverage"))
    answer = client.get("/api/memory/gaps")
    assert (answer.status_code, "coverage" in answer.text) == (503, False)
