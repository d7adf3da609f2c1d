"""Who asks: by a session of the dashboard, by name and password, or by a token.

Who signs in, fails to, and signs out is in the audit log. No password and no token goes
anywhere, and neither does a name that is not a user's: it might be a password that was typed
into the wrong field.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread

from monitor.clock import Clock
from monitor.config.web import Role, WebConfig
from monitor.errors import DatabaseError
from monitor.telemetry import get_logger
from monitor.web.attempts import Attempts
from monitor.web.credentials import DECOY, hash_token, verify_password
from monitor.web.sessions import RENEW_EVERY, Session, Sessions

AT_ONCE = 2
"""Passwords that are hashed at a time: it takes 19 MiB and a processor."""

_REMEMBERED = 100
"""Names and passwords that were right lately, so that programs need not wait for a hash."""

_HEADER = 4000
"""Characters of an Authorization header that are looked at."""

Note = Callable[..., Any]
"""`monitor.storage.audit.record` on the monitor's database: actor, action, subject, details."""

log = get_logger(__name__)


class RefusedError(Exception):
    """These credentials are no good. `wait`: seconds until others may be tried, 0 at once."""

    def __init__(self, wait: float = 0.0) -> None:
        super().__init__("wait" if wait else "wrong")
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody known. `name`: as the audit log has it; `session`: of the dashboard, if it is one.

    `stale`: the session's cookie is to be written anew.
    """

    name: str
    role: Role
    session: Session | None = None
    stale: bool = False


class Doorkeeper:
    """Knows the users and tokens of a configuration. For the web server's event loop;
    `reconfigure` may be called from elsewhere.
    """

    def __init__(self, config: WebConfig, sessions: Sessions, *, note: Note, clock: Clock) -> None:
        self._config = config
        self._note = note
        self._clock = clock
        self._attempts = Attempts(lambda: clock.now().monotonic)
        self._hashing: CapacityLimiter | None = None
        self._secret = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, str] = OrderedDict()
        self.sessions = sessions

    @property
    def config(self) -> WebConfig:
        """The configuration in force."""
        return self._config

    def reconfigure(self, config: WebConfig) -> None:
        """Go by other users and tokens at once; sessions of those who are gone are over."""
        self._config, self._right = config, OrderedDict()

    async def sign_in(self, name: str, password: str, address: str) -> Visitor:
        """Begin a session. Raises RefusedError."""
        await self._check(name, password, address)
        await self._record("login", name, address, by="dashboard")
        user = self._config.users.get(name)
        if user is None:  # gone by a reload meanwhile
            raise RefusedError
        session = self.sessions.begin(name, user.password.get_secret_value(), self._time())
        return Visitor(name, user.role, session)

    async def sign_out(self, session: Session, address: str) -> None:
        """End a session before its time."""
        now = self._time()
        self.sessions.end(session, session.began + self._config.sessions.longest, now)
        await self._record("logout", session.user, address, by="dashboard")

    def write(self, session: Session) -> str:
        """The session as the value of a cookie that is used now."""
        return self.sessions.write(session, self._time())

    def by_cookie(self, value: str) -> Visitor | None:
        """Whose session a cookie is; None if it is over."""
        now = self._time()
        session = self.sessions.read(value, now)
        if session is None or session.seen < now - self._config.sessions.idle:
            return None
        user = self._config.users.get(session.user)
        if user is None or not self.lasts(session):
            return None
        return Visitor(session.user, user.role, session, stale=session.seen < now - RENEW_EVERY)

    def lasts(self, session: Session) -> bool:
        """Whether a session has not ended but by idleness, which only its cookie knows."""
        now, user = self._time(), self._config.users.get(session.user)
        if user is None or session.began < now - self._config.sessions.longest:
            return False
        proof = self.sessions.proof(user.password.get_secret_value())
        return hmac.compare_digest(proof, session.proof) and self.sessions.lasts(session, now)

    def welcome(self, visitor: Visitor | None) -> bool:
        """Whether somebody who was let in would be now: for answers that never end."""
        if visitor is None:
            return not self._config.closed
        if visitor.session is not None:
            return self.lasts(visitor.session)
        kind, _, name = visitor.name.rpartition(" ")
        return name in (self._config.tokens if kind else self._config.users)

    async def by_header(self, header: str, address: str) -> Visitor:
        """Who an Authorization header says asks. Raises RefusedError."""
        kind, _, given = header[:_HEADER].strip().partition(" ")
        if kind.lower() == "bearer":
            return self._by_token(given.strip())
        if kind.lower() != "basic":
            raise RefusedError
        try:
            text = base64.b64decode(given.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise RefusedError from error
        name, _, password = text.partition(":")
        digest = hmac.digest(self._secret, text.encode(), hashlib.sha256)
        right = self._right  # of this configuration: a reload begins another
        if right.get(digest) != name:
            await self._check(name, password, address)
            await self._record("login", name, address, by="basic")
            right[digest] = name
            while len(right) > _REMEMBERED:
                right.popitem(last=False)
        user = self._config.users.get(name)
        if user is None:
            raise RefusedError
        return Visitor(name, user.role)

    def _by_token(self, token: str) -> Visitor:
        given = hash_token(token)
        for name, known in self._config.tokens.items():
            if hmac.compare_digest(known.hash.get_secret_value(), given):
                return Visitor(f"token {name}", known.role)
        raise RefusedError

    async def _check(self, name: str, password: str, address: str) -> None:
        """Raises RefusedError unless that is the user's password. Unknown users take as long."""
        if wait := self._attempts.wait(address, name):
            log.warning("too many wrong passwords", address=address)
            raise RefusedError(wait)
        self._attempts.begin(address, name)
        hashed = self._password(name)
        if self._hashing is None:
            self._hashing = CapacityLimiter(AT_ONCE)
        right = await to_thread.run_sync(
            verify_password, hashed or DECOY, password, limiter=self._hashing
        )
        if right and hashed and hashed == self._password(name):
            self._attempts.forgive(address, name)
            return
        known = name if hashed else ""
        log.warning("login failed", user=known or "unknown", address=address)
        await self._record("login failed", "web", address, subject=known)
        raise RefusedError

    def _password(self, name: str) -> str:
        user = self._config.users.get(name)
        return user.password.get_secret_value() if user else ""

    async def _record(
        self, action: str, actor: str, address: str, *, subject: str = "", by: str = ""
    ) -> None:
        details = {"address": address} | ({"by": by} if by else {})
        try:
            await to_thread.run_sync(
                partial(self._note, actor=actor, action=action, subject=subject, details=details)
            )
        except DatabaseError as error:  # who watches must be let in all the more
            log.error("the audit log does not know of this", action=action, reason=str(error))

    def _time(self) -> float:
        return self._clock.now().utc.timestamp()
