"""Who is signed in: cookies that are signed, and a file with the key and what was ended early.

A cookie says who, since when, and when it was last used; nobody can change it without the key.
So the monitor may restart without signing anybody out, and needs no table of sessions. What is
kept are the sessions that were signed out before their time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer

from monitor.storage.files import whole_file
from monitor.telemetry import get_logger

RENEW_EVERY = 60.0
"""Seconds after which a cookie that is used is written anew."""

_SKEW = 60.0
"""Seconds a cookie may come from the future, after the clock was set back."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in. `began`, `seen`: Unix time; `proof`: of which password."""

    id: str
    user: str
    proof: str
    began: float
    seen: float


class Sessions:
    """Makes and reads cookies. `file` is made with mode 0600; without one that can be written,
    everybody has to sign in again after a restart. For one thread.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._key, self._ended = self._load()
        self._serializer = URLSafeSerializer(
            self._key,
            salt="session",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
        digest = hashlib.sha256(f"cookie {self._key}".encode()).hexdigest()
        self.cookie = f"presence_{digest[:8]}"
        """The cookie's name: two monitors on one host do not sign each other's people out."""

    def proof(self, password_hash: str) -> str:
        """What a session keeps of the password it began with: another one ends it."""
        return hashlib.sha256(f"{self._key} {password_hash}".encode()).hexdigest()[:16]

    def begin(self, user: str, password_hash: str, now: float) -> Session:
        """A new session."""
        return Session(secrets.token_urlsafe(12), user, self.proof(password_hash), now, now)

    def write(self, session: Session, now: float) -> str:
        """The session as the value of a cookie that was used at `now`."""
        used = replace(session, seen=now)
        value = self._serializer.dumps([used.id, used.user, used.proof, used.began, used.seen])
        return value if isinstance(value, str) else value.decode()

    def read(self, value: str, now: float) -> Session | None:
        """The session of a cookie; None if it is not ours, or was signed out.

        Whether it is too old, and its user still there, is for the caller to say.
        """
        try:
            session = Session(*self._serializer.loads(value))
        except (BadSignature, TypeError):
            return None
        return session if self.lasts(session, now) else None

    def lasts(self, session: Session, now: float) -> bool:
        """Whether it has not been signed out."""
        return session.id not in self._ended and session.began <= now + _SKEW

    def end(self, session: Session, until: float, now: float) -> None:
        """Sign out: the cookie is void from now on. `until`: when it would have been anyway."""
        self._ended = {each: at for each, at in self._ended.items() if at > now}
        self._ended[session.id] = until
        try:
            self._save()
        except OSError as error:
            log.error("who signed out is forgotten at the next start", file=str(self._file),
                      reason=error.strerror)  # fmt: skip

    def _load(self) -> tuple[str, dict[str, float]]:
        try:
            self._file.chmod(0o600)
            return _parse(json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the key of the sign-ins is made anew: everybody has to sign in again",
                        file=str(self._file), reason=type(error).__name__)  # fmt: skip
        self._key, self._ended = secrets.token_hex(32), {}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._save()
        except OSError as error:
            log.warning("the key of the sign-ins cannot be kept: they end with this process",
                        file=str(self._file), reason=error.strerror)  # fmt: skip
        return self._key, self._ended

    def _save(self) -> None:
        text = json.dumps({"key": self._key, "ended": self._ended})
        with whole_file(self._file, private=True) as file:
            file.write(text.encode())


def _parse(data: Any) -> tuple[str, dict[str, float]]:
    key, ended = str(data["key"]), {str(each): float(at) for each, at in data["ended"].items()}
    if len(key) < 64:
        raise ValueError
    return key, ended
