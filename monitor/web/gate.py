"""The gate before every request: who asks, and may they?

Without users and tokens in the configuration everybody may look and nobody may act, for who
acts has to be known. With them, only health and the sign-in page are open.
"""

from __future__ import annotations

from http.cookies import SimpleCookie
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.config.web import Role
from monitor.telemetry import get_logger
from monitor.web.doorkeeper import Doorkeeper, RefusedError, Visitor
from monitor.web.errors import refusal
from monitor.web.hosts import is_own

SESSION = "/api/session"
_OPEN = {"/healthz", "/readyz", "/login", SESSION}
OWN_TOKEN = {"/api/door-events", "/api/grants"}
"""Of access controllers, which have a token of their own (`monitor.web.intake`)."""

_READING = {"GET", "HEAD", "OPTIONS"}
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="presence monitor"'}
"""Not Basic, which programs send unasked: browsers would ask with a box of their own."""

_MOST_NAMES = 20
"""Foreign names that are logged, each once: whoever asks must not fill the log."""

log = get_logger(__name__)


class Gate:
    """ASGI middleware. Who asks is `request.state.visitor` from here on, None for nobody known."""

    def __init__(self, app: ASGIApp, keeper: Doorkeeper) -> None:
        self._app = app
        self._keeper = keeper
        self._foreign_names: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        visitor, answer = await self._admit(request)
        request.state.visitor = visitor
        if answer is not None:
            await answer(scope, receive, send)
            return
        if visitor is not None and visitor.stale and request.url.path != SESSION:
            await self._app(scope, receive, self._renewing(send, request, visitor))
            return
        await self._app(scope, receive, send)

    async def _admit(self, request: Request) -> tuple[Visitor | None, Response | None]:
        """Who asks, and the answer if they may not."""
        path, reads = request.url.path, request.method in _READING
        if not reads and _foreign(request):
            log.warning("a page of another site asked", path=path, address=address_of(request))
            return None, refusal(
                403,
                "another site's page may not ask this of the monitor",
                remedy="a proxy has to hand on the Host header as it is",
            )
        if path in OWN_TOKEN:
            return None, None
        try:
            visitor = await self._identify(request)
        except RefusedError as refused:
            if path in _OPEN:
                return None, None
            return None, refused_answer(refused)
        if path in _OPEN or path.startswith("/static/"):
            return visitor, None
        return visitor, self._forbid(request, visitor, reads=reads)

    def _misdirected(self, request: Request) -> Response:
        """The answer to whoever asks for the monitor by a name it does not know."""
        name = request.headers.get("Host", "")[:100]
        remedy = "add the name to web.allowed_hosts, or configure web.users"
        if name not in self._foreign_names and len(self._foreign_names) < _MOST_NAMES:
            self._foreign_names.add(name)
            address = address_of(request)
            log.warning("asked for by a foreign name", host=name, address=address, remedy=remedy)
        what = "this monitor goes by another name"
        return refusal(421, what, where=f"Host: {name}", remedy=remedy)

    async def _identify(self, request: Request) -> Visitor | None:
        if not self._keeper.config.closed:
            return None
        header = request.headers.get("Authorization")
        if header is not None:
            return await self._keeper.by_header(header, address_of(request))
        cookie = request.cookies.get(self._keeper.sessions.cookie)
        return self._keeper.by_cookie(cookie) if cookie else None

    def _forbid(self, request: Request, visitor: Visitor | None, *, reads: bool) -> Response | None:
        if not self._keeper.config.closed:
            if not is_own(request.headers.get("Host", ""), self._keeper.config):
                return self._misdirected(request)
            return None if reads else _nobody_acts()
        if visitor is None:
            return self._turn_away(request)
        if reads or visitor.role is Role.OPERATOR:
            return None
        log.warning("a viewer may not act", who=visitor.name, path=request.url.path)
        return refusal(
            403, f"{visitor.name} may look, not act", remedy="role: operator in the configuration"
        )

    def _turn_away(self, request: Request) -> Response | None:
        """Nobody known asks where one has to be."""
        path = request.url.path
        if path == "/metrics" and self._keeper.config.public_metrics:
            return None
        if path == "/":
            return RedirectResponse("/login", 303)
        return refusal(
            401,
            "sign in first",
            remedy=f"POST {SESSION}, or send a token: Authorization: Bearer …",
            headers=_CHALLENGE,
        )

    def _renewing(self, send: Send, request: Request, visitor: Visitor) -> Send:
        """Write the cookie anew with the answer, so that who is at work is not signed out."""

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = session_cookie(request, self._keeper, visitor)
                MutableHeaders(scope=message).append("Set-Cookie", cookie)
            await send(message)

        return with_cookie


def _nobody_acts() -> Response:
    return refusal(
        403,
        "who acts has to be known, and nobody can sign in",
        where="web.users",
        remedy="configure users; `run_monitor.py web password` makes a line",
    )


def refused_answer(refused: RefusedError) -> Response:
    """The answer to credentials that are no good."""
    if refused.wait:
        seconds = str(int(refused.wait) + 1)
        return refusal(
            429,
            "too many wrong passwords",
            remedy=f"wait {seconds} seconds",
            headers={"Retry-After": seconds},
        )
    return refusal(401, "wrong name, password or token", headers=_CHALLENGE)


def session_cookie(request: Request, keeper: Doorkeeper, visitor: Visitor | None) -> str:
    """A Set-Cookie header with the visitor's session, or without one that removes it."""
    jar: SimpleCookie = SimpleCookie()
    name = keeper.sessions.cookie
    jar[name] = keeper.write(visitor.session) if visitor and visitor.session else ""
    lasts = int(keeper.config.sessions.idle) if visitor else 0
    for key, value in (("path", "/"), ("samesite", "Strict"), ("max-age", str(lasts))):
        jar[name][key] = value
    jar[name]["httponly"] = True
    if request.url.scheme == "https":
        jar[name]["secure"] = True
    return jar[name].OutputString()


def address_of(request: Request) -> str:
    """Where the request comes from; behind a trusted proxy, where that says it comes from."""
    return request.client.host if request.client else "unknown"


def _foreign(request: Request) -> bool:
    """Whether a page of another site asks: by what browsers say of it; programs say nothing.

    The rules are those of Go's net/http.CrossOriginProtection.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    source = request.headers.get("Origin")
    if source is None:
        return False
    return urlsplit(source).netloc.lower() != request.headers.get("Host", "").lower()
