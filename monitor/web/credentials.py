"""Passwords and tokens: how they are made, hashed and compared.

People choose passwords, so those get Argon2id, slow on purpose. Tokens are 256 random bits that
nobody guesses, so one SHA-256 is enough, and every request can afford it.
"""

from __future__ import annotations

import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from monitor.errors import UsageError

SHORTEST = 10
"""Characters of a password."""

LONGEST = 1000
"""Characters of a password that are looked at: more is no password, but an attack."""

_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""OWASP's password storage cheat sheet: 19 MiB, two passes, one lane; about 30 ms."""


def hash_password(password: str) -> str:
    """Argon2id with a random salt, in its usual `$argon2id$…` form. Raises UsageError."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(
            f"the password has {len(password)} characters",
            remedy=f"{SHORTEST} to {LONGEST}; several words are easy to keep in mind",
        )
    return _HASHER.hash(password)


def verify_password(hashed: str, password: str) -> bool:
    """Whether `password` is the one that was hashed; as slow for a wrong one as for the right."""
    try:
        return _HASHER.verify(hashed, password[: LONGEST + 1])
    except (VerificationError, InvalidHashError):
        return False


DECOY = _HASHER.hash(secrets.token_urlsafe())
"""Nobody's hash: what is compared with when there is no user of that name."""


def new_token() -> str:
    """256 random bits as text."""
    return f"pm_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> str:
    """`sha256:` and the digest in hexadecimal digits."""
    return f"sha256:{hashlib.sha256(token.encode('utf-8', 'replace')).hexdigest()}"
