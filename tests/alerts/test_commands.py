"""`alerts`, `rules`, `grants`, `arm` and `disarm` as people type them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.registry import CollectorRegistry
from ruamel.yaml import YAML
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from monitor.cli.app import app
from monitor.daemon.voice import alert_status
from monitor.errors import MonitorError, ServiceError, UsageError
from monitor.web.metrics import StatusCollector

from .conftest import Line, came, configured, deliveries_in, hook_channel, until
from .receivers import Hook


@pytest.fixture
def file(tmp_path: Path, url: str, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration on the test's database."""
    monkeypatch.delenv("PRESENCE_DB", raising=False)
    monkeypatch.chdir(tmp_path)
    corner = [[0, 0], [1, 0], [1, 1]]
    dock = {"source": {"url": "rtsp://127.0.0.1/1"}, "zones": {"gate": {"polygon": corner}}}
    rule = {"on": "occupied", "channels": ["hook"], "armed": ["nights"]}
    alerts = {
        "timezone": "Europe/Berlin",
        "schedules": {"nights": {"windows": ["daily 20:00-06:00"]}},
        "rules": {"night": rule},
        "channels": {"hook": hook_channel(hook)},
    }
    path = tmp_path / "monitor.yaml"
    YAML().dump({"database": {"url": url}, "cameras": {"dock": dock}, "alerts": alerts}, path)
    return str(path)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def rows(*words: str) -> list[dict[str, Any]]:
    result = run(*words, "--format", "json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def failure(result: Result) -> MonitorError:
    assert isinstance(result.exception, MonitorError), result.output
    return result.exception


def test_an_alert_is_listed_acknowledged_commented_closed_and_audited(
    line: Callable[..., Line], engine: Engine, hook: Hook, file: str
) -> None:
    rules = {"someone": {"on": "occupied", "channels": ["hook"]}}
    line(configured(rules=rules, channels={"hook": hook_channel(hook)})).tell(came("a"))
    until(lambda: deliveries_in(engine)[0].state == "sent")
    (alert,) = rows("alerts", "list", "-c", file)
    assert alert["title"] == "dock/gate: somebody is here"
    short = alert["id"][:8]
    for words in (["ack", short, "-m", "on it"], ["comment", short, "a fox"], ["close", short]):
        assert run("alerts", *words, "--who", "anna", "-c", file).exit_code == 0
    (shown,) = rows("alerts", "show", short, "-c", file)
    assert shown["state"] == "closed"
    assert shown["deliveries"][0]["channel"] == "hook"
    assert [(each["who"], each["action"], each["comment"]) for each in shown["actions"]] == [
        ("anna", "acknowledged", "on it"),
        ("anna", "comment", "a fox"),
        ("anna", "closed", ""),
    ]
    assert len(rows("alerts", "audit", "-c", file)) == 3
    assert rows("alerts", "list", "--state", "open", "-c", file) == []
    assert "somebody is here" in run("alerts", "show", short, "-c", file).output
    assert isinstance(failure(run("alerts", "show", "zz", "-c", file)), UsageError)


def test_dead_letters_are_listed_and_sent_again(
    line: Callable[..., Line], engine: Engine, hook: Hook, file: str
) -> None:
    hook.status = 410
    rules = {"someone": {"on": "occupied", "channels": ["hook"]}}
    line(configured(rules=rules, channels={"hook": hook_channel(hook)})).tell(came("a"))
    until(lambda: deliveries_in(engine)[0].state == "dead")
    (letter,) = rows("alerts", "dead", "-c", file)
    assert "HTTP 410" in letter["said"]
    assert isinstance(failure(run("alerts", "redrive", "-c", file)), UsageError)
    hook.status = 200
    assert "1 deliveries" in run("alerts", "redrive", "--all", "--who", "me", "-c", file).output


def test_a_channel_is_tried_with_a_marked_notice(hook: Hook, file: str) -> None:
    assert run("alerts", "test", "hook", "-c", file).exit_code == 0
    assert hook.bodies[0]["title"].startswith("[TRIAL]")
    hook.status = 500
    assert isinstance(failure(run("alerts", "test", "hook", "-c", file)), ServiceError)
    assert isinstance(failure(run("alerts", "test", "nobody", "-c", file)), UsageError)


def test_rules_are_explained_and_switched_by_hand(file: str, engine: Engine) -> None:
    def verdict(at: str) -> tuple[str, str]:
        (row,) = rows("rules", "test", "--at", at, "-c", file)
        return row["would"], row["why"]

    assert verdict("2026-03-03T12:00") == ("nothing", "not armed: outside nights")
    assert verdict("2026-03-03T23:00") == ("tell", "armed: nights (daily 20:00-06:00)")
    assert [row["rule"] for row in rows("rules", "list", "-c", file)] == ["night"]
    assert run("disarm", "--for", "2h", "--who", "anna", "-c", file).exit_code == 0
    assert verdict("now")[0] == "nothing"
    assert "disarmed by anna until" in verdict("now")[1]
    assert run("arm", "nights", "--who", "ben", "-c", file).exit_code == 0
    assert verdict("now") == ("tell", "armed by ben")
    day = "2026-03-03T12:00"
    assert run("as-scheduled", "nights", "--who", "ben", "-c", file).exit_code == 0
    assert "disarmed by anna until" in verdict("now")[1]  # which is about everything
    assert "everything is as scheduled" in run("as-scheduled", "--who", "ben", "-c", file).output
    assert verdict(day) == ("nothing", "not armed: outside nights")
    assert "by" not in verdict("now")[1]
    assert isinstance(failure(run("arm", "days", "-c", file)), UsageError)
    assert isinstance(failure(run("arm", "--for", "soon", "-c", file)), UsageError)


def test_grants_are_added_listed_and_revoked(file: str, engine: Engine) -> None:
    add = run("grants", "add", "dock/gate", "--for", "2h", "--subject", "courier", "-c", file)
    assert add.exit_code == 0, add.output
    (grant,) = rows("grants", "list", "-c", file)
    assert (grant["zone"], grant["subject"], grant["source"]) == (
        "dock/gate",
        "courier",
        "operator",
    )
    assert run("grants", "revoke", grant["id"], "-c", file).exit_code == 0
    assert rows("grants", "list", "-c", file) == []
    assert len(rows("grants", "list", "--all", "-c", file)) == 1
    failure(run("grants", "add", "dock/nowhere", "-c", file))
    failure(run("grants", "add", "dock/gate", "--for", "never", "-c", file))


def test_the_channels_are_in_metrics_and_health(line: Callable[..., Line], hook: Hook) -> None:
    from web.fakes import NOON, FakeDaemon

    from monitor.web import StatusReport, WorkerStatus, WriterStatus
    from monitor.web.health import readiness

    rules = {"someone": {"on": "occupied", "channels": ["hook"]}}
    running = line(configured(rules=rules, channels={"hook": hook_channel(hook)}))
    running.tell(came("a"))
    until(lambda: running.room.stats().channels[0][0].sent)

    def report() -> StatusReport:
        writer, workers = WriterStatus(True, 0.0, 0, 0), WorkerStatus(1, 1, 0, 0, 0, 0, 0)
        status = alert_status(running.room)
        return StatusReport(NOON, "m", (), writer, workers, (), 0, alerts=status)

    registry = CollectorRegistry()
    registry.register(StatusCollector(FakeDaemon(report())))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"presence_alert_{name}", {"channel": "hook", **labels})

    assert value("deliveries_total", result="sent") == 1.0
    assert value("channel_up") == 1.0
    latency = value("latency_seconds", quantile="0.99")
    assert latency is not None
    assert readiness(report()).ok
