"""HTTPS for real: by the monitor itself, and by nginx before it, as docs/operators.md has it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import trustme
from sqlalchemy import Engine

from monitor.clock import SystemClock
from monitor.config import WebConfig
from monitor.config.web import TlsConfig
from monitor.errors import ServiceError
from monitor.storage import audit
from monitor.web import WebServer, create_app
from monitor.web.doorkeeper import Doorkeeper
from monitor.web.sessions import Sessions

from .fakes import JPEG, PASSWORD, PEOPLE, FakeDaemon, event

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
NAME, MANUAL = "monitor.example", Path(__file__).parents[2] / "docs" / "operators.md"


class Certified:
    """A certificate for NAME and this machine, and who believes it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert(NAME, "localhost", "127.0.0.1")
        self.certificate, self.key = folder / "monitor.pem", folder / "monitor.key"
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(self.certificate), append=number > 0)
        issued.private_key_pem.write_to_path(str(self.key))
        self.context = ssl.create_default_context()
        authority.configure_trust(self.context)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return Certified(tmp_path_factory.mktemp("certified"))


@pytest.fixture
def keeper(empty: Engine, tmp_path: Path) -> Doorkeeper:
    note, sessions = partial(audit.record, empty), Sessions(tmp_path / "monitor.db.logins")
    return Doorkeeper(WebConfig.model_validate(PEOPLE), sessions, note=note, clock=SystemClock())


def use(client: httpx.Client, origin: str) -> None:
    """Sign in and do what a browser's dashboard does; its session's cookie is for HTTPS only."""
    told = {"Origin": origin}
    who = {"name": "anna", "password": PASSWORD}
    signed = client.post("/api/session", json=who, headers=told)
    assert signed.status_code == 200, signed.text
    parts = signed.headers["set-cookie"].split("; ")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(parts)
    assert client.get("/").status_code == 200
    assert client.get(f"/api/events/{event(1).id}/snapshot.jpg").content == JPEG
    with client.stream("GET", "/api/stream") as answer:
        names = (line for line in answer.iter_lines() if line.startswith("event: "))
        begun = time.monotonic()
        assert [next(names) for _ in range(4)][:2] == ["event: cameras", "event: health"]
        assert time.monotonic() - begun < 10.0  # nothing on the way gathers it
    foreign = client.delete("/api/session", headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert client.delete("/api/session", headers=told).status_code == 204
    assert client.get("/api/cameras").status_code == 401


def test_the_monitor_speaks_https(
    daemon: FakeDaemon, keeper: Doorkeeper, certified: Certified
) -> None:
    daemon.rows = [event(1)]
    tls = TlsConfig(certificate=certified.certificate, key=certified.key)
    server = WebServer("127.0.0.1", 0, tls=tls)
    assert server.url == f"https://127.0.0.1:{server.port}"
    server.start(create_app(daemon, daemon, keeper, interval=0.05))
    with httpx.Client(base_url=server.url, verify=certified.context, timeout=20.0) as client:
        use(client, server.url)
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url)  # who does not know the authority
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{server.port}/healthz")
    assert server.stop()


def test_a_key_of_another_certificate_is_refused(
    daemon: FakeDaemon, keeper: Doorkeeper, certified: Certified, tmp_path: Path
) -> None:
    other = Certified(tmp_path)
    server = WebServer(
        "127.0.0.1", 0, tls=TlsConfig(certificate=certified.certificate, key=other.key)
    )
    with pytest.raises(ServiceError, match="no use") as caught:
        server.start(create_app(daemon, daemon, keeper))
    assert "belong together" in caught.value.remedy
    server.stop()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def proxied(
    daemon: FakeDaemon, keeper: Doorkeeper, certified: Certified, tmp_path: Path
) -> Iterator[int]:
    """The manual's nginx before the monitor; the port of the former."""
    if NGINX is None:
        if os.environ.get("CI"):
            pytest.fail("there is no nginx: make system-deps")
        pytest.skip("there is no nginx: make system-deps")
    server = WebServer("127.0.0.1", 0, trusted_proxies=("127.0.0.1",))
    server.start(create_app(daemon, daemon, keeper, interval=0.05))
    port = free_port()
    (block,) = re.findall(r"```nginx\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:8080", f"127.0.0.1:{server.port}"),
        ("/etc/nginx/monitor.pem", str(certified.certificate)),
        ("/etc/nginx/monitor.key", str(certified.key)),
    ):
        assert old in block
        block = block.replace(old, new)
    kept = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{each}_temp_path {tmp_path}/{each};" for each in kept)
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr;"
        f"events {{}} http {{ access_log off; {folders} {block} }}"
    )
    proxy = subprocess.Popen([NGINX, "-e", "stderr", "-p", tmp_path, "-c", config])
    deadline = time.monotonic() + 10.0
    while proxy.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port
    proxy.terminate()
    proxy.wait(10.0)
    server.stop()


def test_nginx_before_the_monitor(
    proxied: int, daemon: FakeDaemon, certified: Certified, empty: Engine
) -> None:
    daemon.rows = [event(1)]
    origin = f"https://{NAME}:{proxied}"
    way = httpx.HTTPTransport(verify=certified.context, local_address="127.0.0.2")
    lies = {"Host": f"{NAME}:{proxied}", "X-Forwarded-For": "203.0.113.9"}
    with httpx.Client(
        base_url=f"https://127.0.0.1:{proxied}", transport=way, headers=lies, timeout=20.0
    ) as client:
        use(client, origin)
    login = next(each for each in audit.find_entries(empty) if each.action == "login")
    assert json.loads(login.details)["address"] == "127.0.0.2"
