"""Contacts for sirens, lights and doors: by two HTTP calls, or a relay output of an ONVIF camera.

A contact is switched off again even if that takes several tries, but an alert counts as
delivered once it is on: switching on twice because off failed would sound the siren twice.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr

import httpx

from monitor.alerts.channels.http import HttpCaller
from monitor.alerts.notices import Notice, RefusedError, UnavailableError
from monitor.config.channels import OnvifConfig, RelayConfig
from monitor.telemetry import get_logger

OFF_TRIES, OFF_PAUSE = 5, 1.0
"""How often and how many seconds apart switching off is tried."""

_SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_DIGEST = f"{_SECURITY}username-token-profile-1.0#PasswordDigest"
_BASE64 = f"{_SECURITY}soap-message-security-1.0#Base64Binary"

log = get_logger(__name__)


class RelayChannel:
    """Implements `Channel`."""

    def __init__(
        self, settings: RelayConfig, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._http = HttpCaller(settings)
        self._sleep = sleep

    def probe(self) -> None:
        """Whether somebody listens there; nothing is switched."""
        self._http.probe(self._settings.on.get_secret_value())

    def send(self, notice: Notice) -> None:
        """Close the contact, hold it, open it."""
        settings = self._settings
        self._call(settings.on.get_secret_value(), notice)
        if settings.off is not None:
            off = settings.off.get_secret_value()
            self._sleep(settings.hold)
            switch_off(lambda: self._call(off, notice), self._sleep)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _call(self, url: str, notice: Notice) -> None:
        settings = self._settings
        auth: httpx.Auth | None = None
        if settings.username is not None:
            password = settings.password.get_secret_value() if settings.password else ""
            auth = _BasicOrDigest(settings.username, password)
        headers = {"Idempotency-Key": str(notice.key)}
        self._http.call(settings.method, url, headers=headers, auth=auth)


class _BasicOrDigest(httpx.DigestAuth):
    """Answers whichever of the two the device asks for; sends nothing unasked."""

    def __init__(self, username: str, password: str) -> None:
        super().__init__(username, password)
        self._basic = httpx.BasicAuth(username, password)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx.Auth."""
        answer = yield request
        asked = answer.headers.get("www-authenticate", "").lower()
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            return
        if asked.startswith("basic"):
            yield from self._basic.auth_flow(request)
        elif asked.startswith("digest"):
            flow = super().auth_flow(request)
            next(flow)
            yield flow.send(answer)


class OnvifChannel:
    """Implements `Channel` by `SetRelayOutputState` of ONVIF's device service."""

    def __init__(
        self, settings: OnvifConfig, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._http = HttpCaller(settings)
        self._sleep = sleep

    def probe(self) -> None:
        """Whether the camera listens; nothing is switched."""
        self._http.probe(self._settings.url.get_secret_value())

    def send(self, notice: Notice) -> None:
        """Make the relay active, hold it, make it inactive."""
        self._set("active")
        if self._settings.hold:
            self._sleep(self._settings.hold)
            switch_off(lambda: self._set("inactive"), self._sleep)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _set(self, state: str) -> None:
        settings = self._settings
        password = settings.password.get_secret_value() if settings.password else ""
        header = security_header(settings.username, password) if settings.username else ""
        body = envelope(header, settings.token, state)
        kind = (
            "application/soap+xml; charset=utf-8; "
            'action="http://www.onvif.org/ver10/device/wsdl/SetRelayOutputState"'
        )
        url = settings.url.get_secret_value()
        answer = self._http.call("POST", url, content=body, headers={"Content-Type": kind})
        if b"SetRelayOutputStateResponse" not in answer.content:
            raise UnavailableError("the camera answered something else than ONVIF")


def envelope(header: str, token: str, state: str) -> bytes:
    """The SOAP message that sets a relay output."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">'
        f"<s:Header>{header}</s:Header><s:Body>"
        '<SetRelayOutputState xmlns="http://www.onvif.org/ver10/device/wsdl">'
        f"<RelayOutputToken>{escape(token)}</RelayOutputToken>"
        f"<LogicalState>{state}</LogicalState>"
        "</SetRelayOutputState></s:Body></s:Envelope>"
    ).encode()


def security_header(username: str, password: str) -> str:
    """WS-Security: base64(SHA-1(nonce + created + password)), as its UsernameToken profile asks."""
    nonce = os.urandom(16)
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    digest = hashlib.sha1(nonce + created.encode() + password.encode()).digest()  # noqa: S324
    namespace = quoteattr(f"{_SECURITY}wssecurity-secext-1.0.xsd")
    return (
        f"<Security s:mustUnderstand='1' xmlns={namespace}>"
        f"<UsernameToken><Username>{escape(username)}</Username>"
        f"<Password Type={quoteattr(_DIGEST)}>{base64.b64encode(digest).decode()}</Password>"
        f"<Nonce EncodingType={quoteattr(_BASE64)}>{base64.b64encode(nonce).decode()}</Nonce>"
        f"<Created xmlns={quoteattr(_SECURITY + 'wssecurity-utility-1.0.xsd')}>{created}</Created>"
        "</UsernameToken></Security>"
    )


def switch_off(work: Callable[[], None], sleep: Callable[[float], None]) -> None:
    """Try to switch off until it works or has failed OFF_TRIES times, which is logged."""
    for left in reversed(range(OFF_TRIES)):
        try:
            work()
        except (RefusedError, UnavailableError) as error:
            if not left:
                log.error("a relay could not be switched off", reason=str(error))
                return
            sleep(OFF_PAUSE)
        else:
            return
