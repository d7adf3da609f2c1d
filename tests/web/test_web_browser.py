"""The dashboard in a real browser: signing in, dealing with an alert, marking, signing out."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from monitor.clock import SystemClock
from monitor.config import WebConfig
from monitor.events.models import OccupancyEvent
from monitor.messages import PresenceState
from monitor.storage import audit
from monitor.web import WebServer, create_app
from monitor.web.doorkeeper import Doorkeeper
from monitor.web.sessions import Sessions

from .fakes import NOON, PASSWORD, PEOPLE, FakeDaemon, camera, event, zone
from .test_web_alerts import FIRST, SECOND, alert

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="there is no Chromium: make system-deps"
)
EVENT = event(1)
expect.set_options(timeout=20_000)  # milliseconds: CI machines are busy


@pytest.fixture
def engine(empty: Engine) -> Engine:
    with Session(empty) as session, session.begin():
        session.add_all([alert(FIRST, 0, "closed"), alert(SECOND, 5, "open")])
        session.add(
            OccupancyEvent(
                id=EVENT.id, camera=EVENT.camera, zone=EVENT.zone, started_at=EVENT.started_at,
                confirmed_at=EVENT.started_at, last_seen_at=EVENT.started_at, peak_score=0.9,
                mean_score=0.8, score_count=9, model_id="m", settings={}, created_at=NOON,
                updated_at=NOON,
            )
        )  # fmt: skip
    return empty


@pytest.fixture
def keeper(engine: Engine, tmp_path: Path) -> Doorkeeper:
    sessions = Sessions(tmp_path / "monitor.db.logins")
    note = partial(audit.record, engine)
    return Doorkeeper(WebConfig.model_validate(PEOPLE), sessions, note=note, clock=SystemClock())


@pytest.fixture
def page(daemon: FakeDaemon, keeper: Doorkeeper, engine: Engine) -> Iterator[Page]:
    """A tab at the monitor's address; errors of its scripts fail the test."""
    daemon.rows = [EVENT]
    server = WebServer("127.0.0.1", 0)

    def take(marked: OccupancyEvent) -> None:
        daemon.rows = [replace(EVENT, mark=marked.mark)]

    server.start(create_app(daemon, daemon, keeper, memory=engine, on_mark=take, interval=0.2))
    faults: list[str] = []
    with sync_playwright() as player:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
        browser = player.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(base_url=server.url)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto("/")
        yield page
        browser.close()
    server.stop()
    assert faults == []


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_an_operator_signs_in_and_deals_with_things(page: Page, engine: Engine) -> None:
    sign_in(page, "anna", "not it")
    expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
    sign_in(page, "anna")
    expect(page.locator("#me")).to_contain_text("anna")

    row = page.locator("#alerts tr").first
    row.get_by_role("button", name="Acknowledge").click()
    page.get_by_label("Comment").fill("guard is on the way")
    page.locator("#ask-yes").click()
    expect(row).to_contain_text("Acknowledged")
    expect(row).to_contain_text("guard is on the way")
    expect(row.get_by_role("button", name="Acknowledge")).to_have_count(0)

    event_row = page.locator("#events tr").first
    event_row.get_by_role("button", name="False alarm").click()
    expect(event_row.locator(".mark")).to_have_text("False alarm")
    event_row.get_by_role("button", name="Undo").click()
    expect(event_row.locator(".mark")).to_have_count(0)

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    done = [(entry.actor, entry.action) for entry in reversed(audit.find_entries(engine))]
    assert done == [
        ("web", "login failed"),
        ("anna", "login"),
        ("anna", "acknowledged"),
        ("anna", "mark"),
        ("anna", "mark"),
        ("anna", "logout"),
    ]


def test_a_viewer_sees_no_buttons_and_is_shown_out_when_removed(
    page: Page, keeper: Doorkeeper
) -> None:
    sign_in(page, "victor")
    expect(page.locator("#alerts tr")).to_have_count(2)
    expect(page.locator("#me")).to_contain_text("viewer")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    expect(page.get_by_role("button", name="False alarm")).to_have_count(0)
    users = {"anna": PEOPLE["users"]["anna"]}
    keeper.reconfigure(WebConfig.model_validate({"users": users}))
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_what_the_network_says_and_what_is_held_against_the_limits_have_names(
    page: Page, daemon: FakeDaemon
) -> None:
    faint = replace(zone(state=PresenceState.OCCUPIED), score=0.41, counts=0.93, level=0.88)
    daemon.change(cameras=(replace(camera(), zones=(faint,)),))
    sign_in(page, "victor")
    shown = page.locator("[data-camera=door] .zone")
    expect(shown.locator(".score")).to_have_text("0.41score")
    expect(shown.locator(".level")).to_have_text("level 0.88")
    expect(shown.locator(".score")).to_have_attribute("title", re.compile("counts for 0.93"))
    unknown = replace(faint, state=PresenceState.UNKNOWN, score=None, counts=None, level=None)
    daemon.change(cameras=(replace(camera(), zones=(unknown,)),))
    expect(shown.locator(".score")).to_have_text("–score")
    expect(shown.locator(".level")).to_have_attribute("title", "")
