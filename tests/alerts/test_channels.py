"""Mail, syslog, commands and relays against real counterparts."""

from __future__ import annotations

import email
import hashlib
import json
import re
import socket
import ssl
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from monitor.alerts.channels.command import CommandChannel
from monitor.alerts.channels.relay import OnvifChannel, RelayChannel
from monitor.alerts.channels.smtp import SmtpChannel
from monitor.alerts.channels.syslog import SyslogChannel
from monitor.alerts.channels.webhook import WebhookChannel
from monitor.alerts.notices import Notice, RefusedError, UnavailableError
from monitor.alerts.trial import send_trial
from monitor.config.channels import (
    ChannelConfig,
    CommandConfig,
    OnvifConfig,
    RelayConfig,
    SmtpConfig,
    SyslogConfig,
    WebhookConfig,
)
from monitor.errors import ServiceError

from .broker import free_port
from .conftest import NOON, until
from .receivers import Hook

NOTICE = Notice(
    id=UUID(int=1),
    key=UUID(int=2),
    rule="night",
    trigger="occupied",
    severity="critical",
    camera="dock",
    zone="gate",
    at=NOON,
    title='dock/gate: "somebody" <is> here]',
    reasons=("armed: nights",),
    members=("dock/gate",),
    picture=lambda: b"\xff\xd8jpeg",
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


class Mailbox:
    """aiosmtpd's handler: keeps mails, or refuses recipients with `refuse`."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse = ""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append(email.message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def serve_mail(mailbox: Mailbox, ending: ExitStack) -> Callable[..., int]:
    def serve(**options: Any) -> int:
        controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        ending.callback(controller.stop)
        return int(controller.port)

    return serve


def mail_to(port: int, **more: Any) -> SmtpConfig:
    return SmtpConfig.model_validate(
        {
            "host": "127.0.0.1",
            "port": port,
            "sender": "monitor@example.org",
            "to": ["guard@example.org"],
            "timeout": 5,
            **more,
        }
    )


def test_a_mail_carries_the_picture_inline(
    serve_mail: Callable[..., int], mailbox: Mailbox
) -> None:
    channel = SmtpChannel(mail_to(serve_mail(), security="none"))
    channel.probe()
    channel.send(NOTICE)
    (mail,) = mailbox.mails
    assert mail["Subject"] == '[critical] dock/gate: "somebody" <is> here]'
    assert mail["Message-ID"] == f"<{NOTICE.key}@example.org>"
    html = mail.get_body(("html",)).get_content()
    assert "cid:snapshot" in html
    assert "&lt;is&gt;" in html
    (image,) = [part for part in mail.walk() if part.get_content_type() == "image/jpeg"]
    assert image["Content-ID"] == "<snapshot>"
    assert image.get_content() == b"\xff\xd8jpeg"


def test_a_mail_goes_by_starttls_with_a_login(
    serve_mail: Callable[..., int],
    mailbox: Mailbox,
    server_tls: ssl.SSLContext,
    ca_file: Path,
) -> None:
    logins: list[tuple[bytes, bytes]] = []

    def check(
        _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
    ) -> AuthResult:
        logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)

    port = serve_mail(
        tls_context=server_tls, require_starttls=True, authenticator=check, auth_required=True
    )
    login = {"username": "me", "ca_file": ca_file}
    SmtpChannel(mail_to(port, password="right", **login)).send(NOTICE)
    assert len(mailbox.mails) == 1
    with pytest.raises(UnavailableError, match="login is refused") as caught:
        SmtpChannel(mail_to(port, password="wrong", **login)).send(NOTICE)
    assert "wrong" not in str(caught.value)
    with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        SmtpChannel(mail_to(port)).send(NOTICE)


def test_a_mail_server_refuses_now_or_for_good(
    serve_mail: Callable[..., int], mailbox: Mailbox
) -> None:
    channel = SmtpChannel(mail_to(serve_mail(), security="none"))
    mailbox.refuse = "550 no such user"
    with pytest.raises(RefusedError, match="550"):
        channel.send(NOTICE)
    mailbox.refuse = "451 greylisted"
    with pytest.raises(UnavailableError, match="451"):
        channel.send(NOTICE)
    with pytest.raises(UnavailableError, match="refused"):
        SmtpChannel(mail_to(free_port())).probe()


class LogServer:
    """Takes octet-counted frames over TCP, or TLS with a context; hangs up when told."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.frames: list[bytes] = []
        self.connections: list[socket.socket] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
                if self._context:
                    link = self._context.wrap_socket(link, server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            self.connections.append(link)
            threading.Thread(target=self._read, args=(link,), daemon=True).start()

    def _read(self, link: socket.socket) -> None:
        with link, link.makefile("rb") as stream:
            while digits := _until_blank(stream):
                self.frames.append(stream.read(int(digits)))

    def hang_up(self) -> None:
        for link in self.connections:
            link.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._listener.close()
        for link in self.connections:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)


def _until_blank(stream: Any) -> bytes:
    digits = b""
    try:
        while (byte := stream.read(1)) not in (b" ", b""):
            digits += byte
    except OSError:
        return b""
    return digits


FRAME = re.compile(
    r"<106>1 2026-03-01T12:00:00\.000Z \S+ presence-monitor \d+ occupied "
    r'\[alert@32473 id="[-0-9]+" key="[-0-9]+" rule="night" severity="critical" camera="dock" '
    r'zone="gate" count="1" event="" trial="false"\] \ufeff'
    r'dock/gate: "somebody" <is> here\] \(armed: nights\)'
)


@pytest.mark.parametrize("tls", [True, False])
def test_syslog_frames_arrive_and_survive_a_restart_of_the_server(
    tls: bool, server_tls: ssl.SSLContext, ca_file: Path, ending: ExitStack
) -> None:
    server = ending.enter_context(closing(LogServer(server_tls if tls else None)))
    settings = SyslogConfig(host="127.0.0.1", port=server.port, tls=tls, ca_file=ca_file)
    channel = ending.enter_context(closing(SyslogChannel(settings)))
    channel.send(NOTICE)
    until(lambda: server.frames)
    assert FRAME.fullmatch(server.frames[0].decode())
    if not tls:
        server.hang_up()
        time.sleep(0.1)
    channel.send(NOTICE)
    until(lambda: len(server.frames) == 2)


def test_syslog_believes_no_strange_certificate(
    server_tls: ssl.SSLContext, ending: ExitStack
) -> None:
    server = ending.enter_context(closing(LogServer(server_tls)))
    channel = SyslogChannel(SyslogConfig(host="127.0.0.1", port=server.port))
    with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        channel.send(NOTICE)


def test_cef_escapes_what_it_must(ending: ExitStack) -> None:
    server = ending.enter_context(closing(LogServer()))
    settings = SyslogConfig(host="127.0.0.1", port=server.port, tls=False, format="cef")
    channel = ending.enter_context(closing(SyslogChannel(settings)))
    odd = replace(NOTICE, title="a|b\\c\nd", reasons=("x=1\ny",))
    channel.send(odd)
    until(lambda: server.frames)
    text = server.frames[0].decode().partition("\ufeff")[2]
    assert text.startswith("CEF:0|Presence monitor|presence-monitor|")
    assert "|occupied|a\\|b\\\\c d|10|" in text
    assert text.endswith("msg=x\\=1 y")


def run(code: str, *arguments: str, timeout: float = 10.0) -> CommandChannel:
    return CommandChannel(
        CommandConfig(argv=[sys.executable, "-c", code, *arguments], timeout=timeout)
    )


def test_a_command_gets_arguments_as_they_are_and_json(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    code = (
        "import sys, json; json.dump([sys.argv[1:], json.load(sys.stdin)], open(sys.argv[1], 'w'))"
    )
    channel = run(code, str(target), "{{ title }}; $(touch /tmp/x) `id`")
    channel.probe()
    channel.send(NOTICE)
    arguments, given = json.loads(target.read_text())
    assert arguments[1] == 'dock/gate: "somebody" <is> here]; $(touch /tmp/x) `id`'
    assert given["key"] == str(NOTICE.key)


def test_a_command_may_refuse_fail_hang_or_be_missing() -> None:
    with pytest.raises(RefusedError, match="ended with 65"):
        run("raise SystemExit(65)").send(NOTICE)
    with pytest.raises(UnavailableError, match="ended with 3: no siren"):
        run("import sys; sys.stderr.write('no siren'); sys.exit(3)").send(NOTICE)
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="took longer"):
        # the grandchild keeps the pipe open, and has to go, too
        run(
            "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], "
            "stdin=subprocess.PIPE); import time; time.sleep(60)",
            timeout=0.5,
        ).send(NOTICE)
    assert time.monotonic() - started < 5
    with pytest.raises(UnavailableError, match="no program"):
        CommandChannel(CommandConfig(argv=["/no/such/program"])).probe()


def test_a_relay_is_switched_on_and_off_again(hook: Hook) -> None:
    base = f"http://127.0.0.1:{hook.port}"
    held: list[float] = []
    settings = RelayConfig(on=f"{base}/on", off=f"{base}/off", hold=3.0, allow=["127.0.0.0/8"])
    channel = RelayChannel(settings, sleep=held.append)
    channel.send(NOTICE)
    channel.close()
    assert [(method, path) for method, path, _, _ in hook.requests] == [
        ("GET", "/on"),
        ("GET", "/off"),
    ]
    assert held == [3.0]


def test_a_relay_that_does_not_switch_off_is_tried_but_not_switched_on_twice(hook: Hook) -> None:
    base = f"http://127.0.0.1:{hook.port}"
    settings = RelayConfig(on=f"{base}/on", off="http://127.0.0.1:1/off", allow=["127.0.0.1"])
    pauses: list[float] = []
    channel = RelayChannel(settings, sleep=pauses.append)
    channel.send(NOTICE)
    channel.close()
    assert len(hook.requests) == 1
    assert len(pauses) == 5


class Camera:
    """An ONVIF camera that checks the digest of the password as the profile asks."""

    def __init__(self, password: str) -> None:
        self.states: list[tuple[str, str]] = []
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                nonce = b64decode(_between(text, "Nonce"))
                expected = hashlib.sha1(
                    nonce + _between(text, "Created").encode() + password.encode()
                ).digest()
                good = b64decode(_between(text, "Password")) == expected
                if good:
                    state = _between(text, "LogicalState")
                    camera.states.append((_between(text, "RelayOutputToken"), state))
                body = b"<s><SetRelayOutputStateResponse/></s>" if good else b"<fault/>"
                self.send_response(200 if good else 400)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/onvif/device_service"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _between(text: str, tag: str) -> str:
    found = re.search(rf"<{tag}\b[^>]*>([^<]*)</{tag}>", text)
    assert found, tag
    return found[1]


def test_an_onvif_relay_is_set_with_a_digest_never_with_the_password(ending: ExitStack) -> None:
    camera = ending.enter_context(closing(Camera("geheim<&>")))
    settings = {"url": camera.url, "token": "Relay<1>", "allow": ["127.0.0.1"], "username": "u"}
    good = OnvifConfig.model_validate({**settings, "password": "geheim<&>"})
    ending.enter_context(closing(OnvifChannel(good, sleep=lambda _: None))).send(NOTICE)
    assert camera.states == [("Relay&lt;1&gt;", "active"), ("Relay&lt;1&gt;", "inactive")]
    bad = OnvifConfig.model_validate({**settings, "password": "falsch"})
    channel = ending.enter_context(closing(OnvifChannel(bad)))
    with pytest.raises(RefusedError, match="400"):
        channel.send(NOTICE)


def test_a_webhook_believes_certificates_by_name_though_it_connects_by_address(
    server_tls: ssl.SSLContext, authority: trustme.CA, ca_file: Path, hook: Hook
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    hook._server.socket = context.wrap_socket(hook._server.socket, server_side=True)
    url = f"https://localhost:{hook.port}/hook"
    channel = WebhookChannel(WebhookConfig(url=url, allow=["localhost"], ca_file=ca_file))
    channel.send(NOTICE)
    assert hook.requests[0][2]["Host"] == f"localhost:{hook.port}"
    channel.close()
    by_address = f"https://127.0.0.1:{hook.port}/hook"
    strange = WebhookChannel(WebhookConfig(url=by_address, allow=["127.0.0.1"], ca_file=ca_file))
    with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        strange.send(NOTICE)
    strange.close()


def test_a_trial_is_marked_and_says_what_went_wrong(hook: Hook) -> None:
    good = {"webhook": {"url": hook.url, "allow": ["127.0.0.1"]}}
    send_trial("hook", ChannelConfig.model_validate(good), NOON)
    assert hook.bodies[0]["trial"] is True
    assert hook.bodies[0]["title"].startswith("[TRIAL]")
    bad = {"webhook": {"url": "http://127.0.0.1:1/", "allow": ["127.0.0.1"]}}
    with pytest.raises(ServiceError, match="Connect") as caught:
        send_trial("hook", ChannelConfig.model_validate(bad), NOON)
    assert caught.value.where == "alerts.channels.hook"
