"""Signing in, out and not at all, over HTTP at the real server and into the real audit log."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from monitor.clock import Stamp, SystemClock
from monitor.config import WebConfig
from monitor.storage import audit, chain
from monitor.web import WebServer, create_app
from monitor.web.attempts import PER_ADDRESS
from monitor.web.credentials import hash_password
from monitor.web.doorkeeper import Doorkeeper
from monitor.web.sessions import Sessions

from .fakes import HASHED, PASSWORD, PEOPLE, TOKEN, FakeDaemon


@dataclass
class Clock:
    """The machine's, ahead by some seconds."""

    ahead: float = 0.0

    def now(self) -> Stamp:
        return SystemClock().now().shifted(self.ahead)


@pytest.fixture
def engine(empty: Engine) -> Engine:
    return empty


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(engine: Engine, tmp_path: Path, clock: Clock) -> Doorkeeper:
    return Doorkeeper(
        WebConfig.model_validate(PEOPLE),
        Sessions(tmp_path / "monitor.db.logins"),
        note=partial(audit.record, engine),
        clock=clock,
    )


Browser = Callable[[], httpx.Client]


@pytest.fixture
def browser(daemon: FakeDaemon, keeper: Doorkeeper, engine: Engine) -> Iterator[Browser]:
    """Makes clients with cookies of their own."""
    server = WebServer("127.0.0.1", 0)
    server.start(create_app(daemon, daemon, keeper, memory=engine, interval=0.05))
    opened: list[httpx.Client] = []

    def make() -> httpx.Client:
        opened.append(httpx.Client(base_url=server.url, timeout=10.0))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
    server.stop()


def sign_in(client: httpx.Client, name: str = "anna", password: str = PASSWORD) -> httpx.Response:
    return client.post("/api/session", json={"name": name, "password": password})


def told(engine: Engine) -> list[tuple[str, str, str]]:
    found = audit.find_entries(engine)
    return [(entry.actor, entry.action, entry.subject) for entry in reversed(found)]


def test_without_a_login_only_health_and_the_sign_in_page_answer(browser: Browser) -> None:
    client = browser()
    for path in ("/healthz", "/readyz", "/login", "/static/login.js", "/api/session"):
        assert client.get(path).status_code == 200, path
    assert client.get("/readyz").json() == {"verdict": "ready", "reasons": []}
    page = client.get("/")
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    spec = client.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    paths = {path for path, methods in spec["paths"].items() if "get" in methods}
    asked = [re.sub(r"\{.*?\}", "00000000-0000-0000-0000-000000000000", path) for path in paths]
    closed = {path for path in [*asked, "/openapi.json"] if client.get(path).status_code == 401}
    assert closed == {*asked, "/openapi.json"} - {"/healthz", "/readyz", "/api/session"}
    refused = client.get("/api/cameras")
    assert set(refused.json()) == {"what", "where", "remedy"}
    assert refused.headers["www-authenticate"].startswith("Bearer")  # no box of the browser


def test_a_session_from_beginning_to_end_is_in_the_audit_log(
    browser: Browser, engine: Engine
) -> None:
    client = browser()
    answer = sign_in(client)
    assert answer.json() == {"closed": True, "name": "anna", "role": "operator", "may_act": True}
    (cookie,) = answer.headers.get_list("set-cookie")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie  # this is plain HTTP
    assert client.get("/api/cameras").status_code == 200
    assert client.get("/login").headers["location"] == "/"
    value = dict(client.cookies)
    assert client.delete("/api/session").status_code == 204
    assert not dict(client.cookies)
    assert client.get("/api/cameras").status_code == 401
    stolen = browser()
    stolen.cookies.update(value)
    assert stolen.get("/api/cameras").status_code == 401
    assert told(engine) == [("anna", "login", ""), ("anna", "logout", "")]
    details = json.loads(audit.find_entries(engine)[0].details)
    assert details == {"address": "127.0.0.1", "by": "dashboard"}
    assert chain.verify(engine).fault is None


def test_what_is_wrong_is_noted_and_never_repeated(
    browser: Browser, engine: Engine, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    client = browser()
    secret = "typed into the wrong field"
    for name, password in (("anna", secret), (secret, "x"), ("nobody", PASSWORD)):
        answer = sign_in(client, name, password)
        assert (answer.status_code, answer.json()["what"]) == (
            401, "wrong name, password or token",
        )  # fmt: skip
    assert told(engine) == [
        ("web", "login failed", "anna"),
        ("web", "login failed", ""),
        ("web", "login failed", ""),
    ]
    broken = client.post("/api/session", json={"name": 7, "password": secret, "x": secret})
    assert broken.status_code == 400
    everything = caplog.text + "".join(capsys.readouterr()) + broken.text + str(
        [entry.details for entry in audit.find_entries(engine)]
    )  # fmt: skip
    assert secret not in everything
    assert PASSWORD not in everything


def test_guessing_ends_soon_and_the_right_password_waits_as_well(
    browser: Browser, clock: Clock, engine: Engine
) -> None:
    client = browser()
    codes = [sign_in(client, f"guess{n}", "wrong").status_code for n in range(PER_ADDRESS + 2)]
    assert codes == [401] * PER_ADDRESS + [429] * 2
    answer = sign_in(client)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 301
    assert client.get("/api/cameras", auth=("anna", PASSWORD)).status_code == 429
    assert len(told(engine)) == PER_ADDRESS  # the log cannot be flooded
    clock.ahead += 301
    assert sign_in(client).status_code == 200


def test_sessions_end_by_idleness_and_by_age(browser: Browser, clock: Clock) -> None:
    client = browser()
    sign_in(client)
    first = dict(client.cookies)
    for _ in range(24):  # every 25 minutes a request, for ten hours
        clock.ahead += 25 * 60
        assert client.get("/api/session").json()["name"] == "anna"
        assert client.get("/api/cameras").status_code == 200
    assert dict(client.cookies) != first
    old = browser()
    old.cookies.update(first)
    assert old.get("/api/cameras").status_code == 401  # idle for ten hours
    for _ in range(5):
        clock.ahead += 25 * 60
        client.get("/api/cameras")
    assert client.get("/api/cameras").status_code == 401  # older than twelve


def test_forged_and_foreign_cookies_are_nobody(
    browser: Browser, keeper: Doorkeeper, tmp_path: Path
) -> None:
    client, name = browser(), keeper.sessions.cookie
    theirs = Sessions(tmp_path / "other.logins")
    value = theirs.write(theirs.begin("anna", HASHED, 0.0), 0.0)
    for forged in (value, "x", ".", '["a"]', "é" * 10, ""):
        answer = client.get("/api/cameras", headers={"Cookie": f"{name}={forged}".encode()})
        assert answer.status_code == 401


def test_a_restart_signs_nobody_out_and_the_key_is_nobodys_to_read(tmp_path: Path) -> None:
    file = tmp_path / "monitor.db.logins"
    before = Sessions(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    stays, gone = before.begin("anna", HASHED, 100.0), before.begin("anna", HASHED, 100.0)
    before.end(gone, 900.0, 100.0)
    file.chmod(0o644)
    after = Sessions(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert after.read(before.write(stays, 100.0), 200.0) == stays
    assert after.read(before.write(gone, 100.0), 200.0) is None
    file.write_text("{")
    assert Sessions(file).read(before.write(stays, 100.0), 200.0) is None


def test_a_reload_counts_at_once(browser: Browser, keeper: Doorkeeper) -> None:
    client = browser()
    sign_in(client)
    with client.stream("GET", "/api/stream") as stream:
        lines = stream.iter_lines()
        next(lines)
        reduced = json.loads(json.dumps(PEOPLE))
        reduced["users"]["anna"]["role"] = "viewer"
        keeper.reconfigure(WebConfig.model_validate(reduced))
        assert client.get("/api/session").json()["may_act"] is False
        del reduced["users"]["anna"]
        keeper.reconfigure(WebConfig.model_validate(reduced))
        for _ in lines:  # the live stream ends as well
            pass
    assert client.get("/api/cameras").status_code == 401
    assert client.get("/api/cameras", auth=("anna", PASSWORD)).status_code == 401
    renewed = json.loads(json.dumps(PEOPLE))
    renewed["users"]["anna"]["password"] = hash_password("another good password")
    keeper.reconfigure(WebConfig.model_validate(renewed))
    assert client.get("/api/cameras").status_code == 401  # begun with the old password


def test_programs_ask_by_password_and_by_token(browser: Browser, engine: Engine) -> None:
    client = browser()
    for _ in range(3):
        assert client.get("/api/cameras", auth=("victor", PASSWORD)).status_code == 200
    assert told(engine) == [("victor", "login", "")]  # the first of them
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/metrics", headers=bearer).status_code == 200
    assert client.get("/api/session", headers=bearer).json()["name"] == "token prometheus"
    for header in ("Bearer nonsense", "Basic !!!", "Basic YQ==", "Digest x", "Bearer", "é"):
        answer = client.get("/metrics", headers={"Authorization": header.encode()})
        assert answer.status_code == 401, header
    assert client.get("/healthz", headers={"Authorization": "Bearer x"}).status_code == 200
    many = [client.get("/metrics", headers={"Authorization": "Bearer x"}) for _ in range(15)]
    assert {each.status_code for each in many} == {401}  # a stale scraper locks nobody out
    assert sign_in(client).status_code == 200


def test_metrics_may_be_public(browser: Browser, keeper: Doorkeeper) -> None:
    client = browser()
    assert client.get("/metrics").status_code == 401
    keeper.reconfigure(WebConfig.model_validate(PEOPLE | {"public_metrics": True}))
    assert client.get("/metrics").status_code == 200
    assert client.get("/api/cameras").status_code == 401


SITES: list[tuple[dict[str, str], int]] = [
    ({}, 200),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"}, 200),
    ({"Sec-Fetch-Site": "none"}, 200),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://monitor.example", "Host": "monitor.example"}, 200),
]


def test_other_sites_cannot_act(browser: Browser) -> None:
    client, who = browser(), {"name": "anna", "password": PASSWORD}
    for headers, status in SITES:
        assert client.post("/api/session", json=who, headers=headers).status_code == status, headers


def test_behind_a_trusted_proxy_the_cookie_is_for_https_only(
    daemon: FakeDaemon, keeper: Doorkeeper, engine: Engine
) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    for trusted, secure, address in (
        (("127.0.0.0/8",), True, "203.0.113.9"), ((), False, "127.0.0.1"),
    ):  # fmt: skip
        server = WebServer("127.0.0.1", 0, trusted_proxies=trusted)
        server.start(create_app(daemon, daemon, keeper))
        with httpx.Client(base_url=server.url, headers=forwarded) as client:
            cookie = sign_in(client).headers["set-cookie"]
        server.stop()
        assert ("Secure" in cookie.split("; ")) is secure
        assert json.loads(audit.find_entries(engine)[0].details)["address"] == address
