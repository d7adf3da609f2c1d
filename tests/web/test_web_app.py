"""The endpoints, asked over HTTP at the real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

import monitor.web.app
from monitor.messages import HealthCategory, HealthKind, PresenceState
from monitor.web import (
    HealthStatus,
    HistoryStatus,
    LearningStatus,
    StatusReport,
    WebServer,
    WriterStatus,
    create_app,
)
from monitor.web.doorkeeper import Doorkeeper

from .fakes import JPEG, NOON, FakeDaemon, camera, dead, event, zone


@pytest.fixture
def client(server: WebServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=5.0) as client:
        yield client


def test_healthy(client: httpx.Client) -> None:
    for path in ("/healthz", "/readyz"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.json() == {"verdict": "ready", "reasons": []}


Change = Callable[[StatusReport], dict[str, Any]]


@pytest.mark.parametrize(
    ("change", "alive", "ready", "verdict", "reason"),
    [
        (
            lambda r: {"writer": replace(r.writer, alive=False)},
            503, 503, "unready", ("writer", "the writer thread has ended"),
        ),
        (
            lambda r: {"workers": replace(r.workers, alive=0)},
            503, 503, "unready", ("workers", "none of 2 workers is alive"),
        ),
        (
            lambda r: {"workers": replace(r.workers, alive=1)},
            200, 200, "degraded", ("workers", "1 of 2 workers are alive"),
        ),
        (
            lambda r: {"writer": replace(r.writer, lag=31.0)},
            200, 503, "unready", ("writer", "events wait 31s for their commit"),
        ),
        (
            lambda r: {"writer": replace(r.writer, trouble="disk full")},
            200, 503, "unready", ("writer", "disk full"),
        ),
        (
            lambda r: {"jobs": (replace(r.jobs[0], trouble="1GB too much"),)},
            200, 200, "degraded", ("job retention", "1GB too much"),
        ),
        (
            lambda r: {"cameras": (camera(), dead(camera("yard")))},
            200, 200, "degraded", ("camera yard", "no frame yet (refused)"),
        ),
        (
            lambda r: {"cameras": (camera(), replace(camera("yard"), frame_age=11.0))},
            200, 200, "degraded", ("camera yard", "no frame for 11s"),
        ),
        (
            lambda r: {"cameras": (camera(), replace(camera("yard"), score_age=None))},
            200, 200, "degraded", ("camera yard", "no score yet"),
        ),
        (
            lambda r: {"cameras": (camera(), replace(dead(camera("off")), enabled=False))},
            200, 200, "ready", None,
        ),
        (
            lambda r: {"cameras": (dead(camera("a")), dead(camera("b")))},
            200, 503, "unready", ("cameras", "no camera is seen"),
        ),
        (
            lambda r: {"cameras": (replace(camera(), score_age=60.0),)},
            200, 503, "unready", ("cameras", "frames come, but none is scored"),
        ),
    ],
)  # fmt: skip
def test_health_is_derived(  # noqa: PLR0917
    client: httpx.Client,
    daemon: FakeDaemon,
    change: Change,
    alive: int,
    ready: int,
    verdict: str,
    reason: tuple[str, str] | None,
) -> None:
    daemon.change(**change(daemon.current))
    assert client.get("/healthz").status_code == alive
    answer = client.get("/readyz")
    assert answer.status_code == ready
    assert answer.json()["verdict"] == verdict
    first = answer.json()["reasons"][:1]
    assert first == ([{"part": reason[0], "what": reason[1]}] if reason else [])


def test_metrics(client: httpx.Client, daemon: FakeDaemon) -> None:
    occupied = replace(zone("desk", PresenceState.OCCUPIED), score=0.97, level=0.99)
    unknown = replace(zone("gate", PresenceState.UNKNOWN), score=None, level=None)
    covered = HealthStatus(HealthKind.COVERED, HealthCategory.TAMPER, NOON, "nothing is left")
    entrance = replace(camera(), zones=(occupied, unknown), health=(covered,))
    daemon.change(cameras=(entrance, dead(camera("yard"))))
    answer = client.get("/metrics")
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    door, desk = ("camera", "door"), ("zone", "desk")
    expected = {
        ("presence_camera_up", (door,)): 1.0,
        ("presence_camera_up", (("camera", "yard"),)): 0.0,
        ("presence_camera_health", (door, ("category", "tamper"), ("kind", "covered"))): 1.0,
        ("presence_camera_health", (door, ("category", "dark"), ("kind", "dark"))): 0.0,
        ("presence_frame_age_seconds", (door,)): 0.2,
        ("presence_score_age_seconds", (door,)): 0.3,
        ("presence_frames_total", (door, ("result", "dropped"))): 3.0,
        ("presence_frames_total", (door, ("result", "scored"))): 97.0,
        ("presence_reconnects_total", (door,)): 1.0,
        ("presence_occupied", (door, desk)): 1.0,
        ("presence_score", (door, desk)): 0.97,
        ("presence_level", (door, desk)): 0.99,
        ("presence_events_total", ()): 7.0,
        ("presence_writer_queue", ()): 2.0,
        ("presence_writer_up", ()): 1.0,
        ("presence_worker_restarts_total", ()): 1.0,
        ("presence_batch_size_mean", ()): 3.5,
        ("presence_latency_seconds", (("quantile", "0.99"),)): 0.09,
        ("presence_jobs_missed_total", (("job", "retention"),)): 1.0,
    }
    assert {key: values.get(key) for key in expected} == expected
    assert ("presence_occupied", (door, ("zone", "gate"))) not in values
    assert ("presence_score", (door, ("zone", "gate"))) not in values
    assert ("presence_level", (door, ("zone", "gate"))) not in values
    assert ("presence_frame_age_seconds", (("camera", "yard"),)) not in values


def test_own_registry_is_scraped_too(daemon: FakeDaemon, keeper: Doorkeeper) -> None:
    registry = CollectorRegistry()
    Gauge("extra", "Counted elsewhere.", registry=registry).set(4)
    server = WebServer("127.0.0.1", 0)
    server.start(create_app(daemon, daemon, keeper, registry=registry))
    text = httpx.get(f"{server.url}/metrics").text
    assert server.stop()
    assert "extra 4.0" in text
    assert "presence_build_info" in text


def test_cameras(client: httpx.Client) -> None:
    data = client.get("/api/cameras").json()
    assert [each["name"] for each in data["cameras"]] == ["door", "yard"]
    first = data["cameras"][0]["zones"][0]
    assert first["state"] == "vacant"
    assert (first["score"], first["counts"], first["level"]) == (0.1, 0.07, 0.05)
    assert (set(first["scores"]), set(first["levels"])) == ({0.1}, {0.05})
    assert first["since"] == NOON.isoformat()
    assert data["health"]["verdict"] == "ready"
    assert data["model_id"] == "person_exists-1"


def test_pictures(client: httpx.Client, daemon: FakeDaemon) -> None:
    answer = client.get("/api/cameras/door/picture.jpg")
    assert (answer.content, answer.headers["content-type"]) == (JPEG, "image/jpeg")
    assert answer.headers["cache-control"] == "no-store"
    missing = client.get("/api/cameras/none/picture.jpg")
    assert (missing.status_code, missing.json()["what"]) == (404, "no picture of camera none")
    daemon.rows = [event(1)]
    kept = client.get(f"/api/events/{event(1).id}/snapshot.jpg")
    assert kept.content == JPEG
    known = {"If-None-Match": kept.headers["etag"]}
    again = client.get(f"/api/events/{event(1).id}/snapshot.jpg", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/api/events/{event(2).id}/snapshot.jpg").status_code == 404
    assert client.get("/api/events/..%2F..%2Fetc/snapshot.jpg").status_code in {400, 404}


def test_events(client: httpx.Client, daemon: FakeDaemon) -> None:
    daemon.rows = [event(1), event(2, "yard"), event(3, is_open=True)]

    def ids(**query: Any) -> list[int]:
        rows = client.get("/api/events", params=query).json()["events"]
        return [int(row["id"].replace("-", ""), 16) for row in rows]

    assert ids() == [3, 2, 1]
    assert ids(limit=1) == [3]
    assert ids(camera="door") == [3, 1]
    assert ids(open=True) == [3]
    assert ids(since="2031-05-04T14:02:00+02:00") == [3, 2]
    naive = client.get("/api/events", params={"since": "2031-05-04T14:02:00"})
    assert (naive.status_code, "time zone" in naive.text) == (400, True)
    assert client.get("/api/events", params={"limit": 0}).status_code == 400


def read_events(client: httpx.Client, wanted: set[str], act: Callable[[], None]) -> dict[str, Any]:
    """The first of each `wanted` message of the live stream; `act` runs after the first one."""
    found: dict[str, Any] = {}
    name = ""
    with client.stream("GET", "/api/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                if name == "cameras" and "cameras" in found:
                    act()
                found.setdefault(name, json.loads(line.removeprefix("data: ")))
                if wanted <= set(found):
                    return found
    return found


def test_stream_tells_changes(client: httpx.Client, daemon: FakeDaemon) -> None:
    daemon.rows = [event(1)]

    def somebody_appears() -> None:
        daemon.change(cameras=(replace(camera(), zones=(zone(state=PresenceState.OCCUPIED),)),))
        daemon.rows = [event(1), event(2, is_open=True)]

    found = read_events(client, {"cameras", "health", "state", "event"}, somebody_appears)
    assert found["cameras"]["cameras"][0]["name"] == "door"
    assert found["health"]["verdict"] == "ready"
    assert found["state"] == {
        "camera": "door",
        "zone": "frame",
        "previous": "vacant",
        "state": "occupied",
        "since": NOON.isoformat(),
    }
    assert found["event"]["id"] == str(event(2).id)  # event 1 was there before


def test_stream_survives_a_status_that_fails(
    server: WebServer, client: httpx.Client, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> StatusReport:
        raise RuntimeError("between two worlds")

    with monkeypatch.context() as broken:
        broken.setattr(daemon, "report", fail)
        assert httpx.get(f"{server.url}/readyz").status_code == 500
    assert "cameras" in read_events(client, {"cameras"}, lambda: None)


def test_stopping_ends_open_streams(daemon: FakeDaemon, keeper: Doorkeeper) -> None:
    server = WebServer("127.0.0.1", 0)
    server.start(create_app(daemon, daemon, keeper, interval=0.05))
    with httpx.stream("GET", f"{server.url}/api/stream", timeout=10.0) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert server.stop()
        for _ in lines:
            pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_writer_trouble_is_a_metric(client: httpx.Client, daemon: FakeDaemon) -> None:
    daemon.change(writer=WriterStatus(True, 1.0, 5, 1, trouble="locked"))
    text = client.get("/metrics").text
    assert "presence_writer_up 0.0" in text
    assert "presence_writer_failed_total 1.0" in text


def test_what_the_diaries_lost_is_told(client: httpx.Client, daemon: FakeDaemon) -> None:
    assert "presence_history" not in client.get("/metrics").text  # it is off
    daemon.change(
        history=HistoryStatus(enabled=True, waiting=4, written=90, dropped=7, trouble="locked"),
        learning=LearningStatus(enabled=True, kept=30, dropped=2, refused=5),
    )
    text = client.get("/metrics").text
    for line in (
        'presence_history_minutes_total{result="written"} 90.0',
        'presence_history_minutes_total{result="dropped"} 7.0',
        "presence_history_waiting 4.0",
        'presence_learning_pictures_total{result="kept"} 30.0',
        'presence_learning_pictures_total{result="dropped"} 2.0',
        'presence_learning_pictures_total{result="refused"} 5.0',
    ):
        assert line in text
    report = client.get("/api/cameras").json()
    assert report["history"]["dropped"] == 7
    assert report["learning"]["refused"] == 5
    health = client.get("/readyz").json()
    assert health["verdict"] == "degraded"
    assert {"part": "history", "what": "locked"} in health["reasons"]


def test_dashboard_is_self_contained(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    links = re.findall(r"""(?:src|href)=["']([^"'#]+)""", page.text)
    assert links
    for link in links:
        assert link.startswith("/"), link
        assert client.get(link).status_code == 200, link
    static = Path(monitor.web.app.__file__).with_name("static")
    for file in sorted(static.iterdir()):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), file
        assert not re.search(r"\b(?:style|on\w+)=[\"']", text), f"{file}: the policy forbids this"


def test_what_describes_the_api_says_how_it_refuses(client: httpx.Client) -> None:
    spec = client.get("/openapi.json").json()
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            assert "422" not in operation["responses"]
            assert "default" in operation["responses"]
            assert ("security" in operation) is (
                path not in {"/healthz", "/readyz", "/api/session"}
            )


def test_headers_keep_the_browser_here_and_answers_out_of_caches(client: httpx.Client) -> None:
    for path, kept in (("/", "no-cache"), ("/static/dom.js", "no-cache"),
                       ("/api/cameras", "no-store"), ("/nothing", "no-store")):  # fmt: skip
        headers = client.get(path).headers
        assert headers["cache-control"] == kept
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
    assert client.head("/healthz").status_code == 200
