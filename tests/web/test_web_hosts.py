"""By what names the monitor may be asked for while nobody has to sign in."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from monitor.config import WebConfig
from monitor.web import WebServer, create_app
from monitor.web.hosts import is_own

from .fakes import PASSWORD, PEOPLE, FakeDaemon, doorkeeper

MACHINE = socket.gethostname().lower().partition(".")[0]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:8080", True),
        ("192.168.1.5", True),
        ("[::1]:8080", True),
        ("localhost:8080", True),
        ("LOCALHOST.", True),
        ("app.localhost", True),
        (f"{MACHINE}.local:8080", True),
        ("monitor.example.com:443", True),
        ("watch.lan", True),
        ("", True),
        ("evil.example", False),
        ("monitor.example.com.evil.example", False),
        ("localhost.evil.example:8080", False),
        ("127.0.0.1.nip.example", False),
        ("[evil.example]", False),
        ("a b:c:d", False),
    ],
)
def test_names(host: str, *, own: bool) -> None:
    config = WebConfig(host="watch.lan", allowed_hosts=("Monitor.Example.com",))
    assert is_own(host, config) is own
    assert is_own(host, config.model_copy(update={"allowed_hosts": ("*",)}))


@pytest.mark.parametrize("name", ["https://monitor", "monitor:8080", "", "-a", "*.example.com"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is no host name"):
        WebConfig(allowed_hosts=(name,))


def test_a_foreign_name_is_refused_and_logged_once(daemon: FakeDaemon, tmp_path: Path) -> None:
    keeper = doorkeeper(tmp_path)
    server = WebServer("127.0.0.1", 0)
    server.start(create_app(daemon, daemon, keeper))
    rebound = {"Host": "evil.example"}
    with httpx.Client(base_url=server.url, timeout=10.0) as client, capture_logs() as lines:
        assert client.get("/api/cameras").status_code == 200
        for path in ("/", "/api/cameras", "/api/stream", "/metrics"):
            answer = client.get(path, headers=rebound)
            assert (answer.status_code, answer.json()["where"]) == (421, "Host: evil.example")
            assert "web.allowed_hosts" in answer.json()["remedy"]
        assert client.get("/healthz", headers=rebound).status_code == 200
        keeper.reconfigure(WebConfig(allowed_hosts=("evil.example",)))
        assert client.get("/api/cameras", headers=rebound).status_code == 200
        keeper.reconfigure(WebConfig.model_validate(PEOPLE))  # a password belongs to a name
        known = client.get("/api/cameras", headers=rebound, auth=("anna", PASSWORD))
        assert known.status_code == 200
    server.stop()
    warned = [line for line in lines if line["event"] == "asked for by a foreign name"]
    assert [(line["host"], "allowed_hosts" in line["remedy"]) for line in warned] == [
        ("evil.example", True)
    ]
