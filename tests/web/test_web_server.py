"""The port is had, or refused with a remedy, before anything else starts."""

from __future__ import annotations

import errno
import socket
import threading

import httpx
import pytest

from monitor.errors import ServiceError
from monitor.web import WebServer, create_app
from monitor.web.doorkeeper import Doorkeeper

from .fakes import FakeDaemon


def test_port_zero_takes_a_free_one(daemon: FakeDaemon) -> None:
    first, second = WebServer("127.0.0.1", 0), WebServer("127.0.0.1", 0)
    assert first.port != second.port
    assert not first.alive
    assert first.stop()
    assert second.stop()


def test_port_in_use() -> None:
    holder = WebServer("127.0.0.1", 0)
    with pytest.raises(ServiceError) as caught:
        WebServer("127.0.0.1", holder.port)
    holder.stop()
    assert caught.value.exit_code == 69
    assert f"port {holder.port} is in use" in caught.value.what
    assert "web.port" in caught.value.remedy


def test_reserved_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ServiceError, match="reserved") as caught:
        WebServer("127.0.0.1", 80)
    assert "1024" in caught.value.remedy


@pytest.mark.parametrize("host", ["203.0.113.77", "no-such-host.invalid", "a..b"])
def test_host_that_is_not_here(host: str) -> None:
    with pytest.raises(ServiceError, match="cannot listen"):
        WebServer(host, 0)


def test_requests_wait_until_start_and_threads_end(daemon: FakeDaemon, keeper: Doorkeeper) -> None:
    before = threading.active_count()
    server = WebServer("0.0.0.0", 0)
    assert server.url == f"http://127.0.0.1:{server.port}"
    server.start(create_app(daemon, daemon, keeper))
    assert server.alive
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert server.stop()
    assert not server.alive
    assert threading.active_count() <= before
    again = WebServer("127.0.0.1", server.port)  # the port is free at once
    again.stop()


def test_ipv6_loopback(daemon: FakeDaemon, keeper: Doorkeeper) -> None:
    try:
        server = WebServer("::1", 0)
    except ServiceError:
        pytest.skip("this machine has no IPv6")
    server.start(create_app(daemon, daemon, keeper))
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert server.stop()


def test_an_application_that_cannot_start(daemon: FakeDaemon, keeper: Doorkeeper) -> None:
    app = create_app(daemon, daemon, keeper)

    def fail(_app: object) -> None:
        raise RuntimeError("no lifespan today")

    app.router.lifespan_context = fail  # type: ignore[assignment]
    server = WebServer("127.0.0.1", 0)
    with pytest.raises(ServiceError, match="could not start"):
        server.start(app)
    server.stop()
