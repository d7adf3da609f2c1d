"""Contacts for sirens, lights and doors: by two HTTP calls, or a relay output of an ONVIF camera.

A contact is switched off again even if that takes several tries, but an alert counts as
delivered once it is on: switching on twice because off failed would sound the siren twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from xml.sax.saxutils import escape

import httpx

from monitor.alerts.channels.http import HttpCaller
from monitor.alerts.notices import Notice, RefusedError, UnavailableError
from monitor.config.channels import OnvifConfig, RelayConfig
from monitor.soap import envelope, security_header
from monitor.telemetry import get_logger

OFF_TRIES, OFF_PAUSE = 5, 1.0
"""How often and how many seconds apart switching off is tried."""

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
        body = relay_call(header, settings.token, state)
        kind = (
            "application/soap+xml; charset=utf-8; "
            'action="http://www.onvif.org/ver10/device/wsdl/SetRelayOutputState"'
        )
        url = settings.url.get_secret_value()
        answer = self._http.call("POST", url, content=body, headers={"Content-Type": kind})
        if b"SetRelayOutputStateResponse" not in answer.content:
            raise UnavailableError("the camera answered something else than ONVIF")


def relay_call(header: str, token: str, state: str) -> bytes:
    """The SOAP message that sets a relay output."""
    body = (
        '<SetRelayOutputState xmlns="http://www.onvif.org/ver10/device/wsdl">'
        f"<RelayOutputToken>{escape(token)}</RelayOutputToken>"
        f"<LogicalState>{state}</LogicalState></SetRelayOutputState>"
    )
    return envelope(header, body)


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
