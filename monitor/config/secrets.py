"""Secrets from outside the file: `${NAME}` from the environment, `${file:PATH}` from files.

`$${` stands for a literal `${`. A secret in the login part of a URL is percent-encoded on the
way in, so passwords may hold any character and are kept outside exactly as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

_PLACE = re.compile(r"\$\$\{|\$\{(?P<name>[^{}]*)(?P<end>\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL_START = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MAX_BYTES = 65536


class SecretError(ValueError):
    """A placeholder cannot be filled: `args` are what is wrong and what is allowed."""


def has_placeholder(text: str) -> bool:
    """Whether `fill` would change `text`."""
    return "${" in text


def fill(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """`text` with its placeholders filled in; raises SecretError, which never holds a value."""
    login = _login_span(text)

    def secret(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "${"
        if not match["end"]:
            raise SecretError("'${' is never closed", "write ${NAME}, or $${ for a plain ${")
        value = _look_up(match["name"].strip(), environment)
        in_login = login[0] <= match.start() < login[1]
        return quote(value, safe="") if in_login else value

    return _PLACE.sub(secret, text)


def _login_span(text: str) -> tuple[int, int]:
    """Where the user and password of a URL stand, found without looking into placeholders."""
    start = _URL_START.match(text)
    if not start:
        return 0, 0
    blind = _PLACE.sub(lambda match: "x" * len(match[0]), text)
    end = re.search(r"[/?#]", blind[start.end() :])
    authority = blind[: start.end() + end.start()] if end else blind
    return start.end(), authority.rfind("@")


def _look_up(name: str, environment: Mapping[str, str]) -> str:
    if name.startswith("file:"):
        return _read(Path(name.removeprefix("file:").strip()))
    if not _NAME.fullmatch(name):
        raise SecretError("'${…}' holds no name", "write ${NAME} or ${file:/run/secrets/name}")
    value = environment.get(name)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise SecretError(
            f"environment variable {name} {state}", f"set it before the start: export {name}=…"
        )
    return value


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
        value = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SecretError(f"secret file {path} is no UTF-8 text", "one line of text") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no usable path"
        raise SecretError(
            f"secret file {path} cannot be read: {reason}", "a readable file that holds the secret"
        ) from error
    if not value or len(raw) > _MAX_BYTES:
        size = "is too long for a secret" if value else "is empty"
        raise SecretError(f"secret file {path} {size}", "one line of text")
    return value
