"""Logins of cameras on the command line: never as an option, never in the output."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import typer
from pydantic import ValidationError

from monitor.config import SourceConfig, SourceKind, Transport, source_kind
from monitor.config.secrets import SecretError, fill
from monitor.config.urls import check_source
from monitor.errors import UsageError
from monitor.telemetry import redact

PASSWORD_VARIABLE = "CAMERA_PASSWORD"  # noqa: S105 - the name of a variable


class Login(NamedTuple):
    """Who asks a camera. Neither is ever printed."""

    user: str
    password: str


def login_for(user: str | None) -> Login | None:
    """The login of `--user`: its password from CAMERA_PASSWORD, or asked for on a terminal.

    Raises UsageError where there is neither.
    """
    if user is None:
        return None
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        if not sys.stdin.isatty():
            raise UsageError(
                "--user needs a password", remedy=f"set it: read -s {PASSWORD_VARIABLE}; export it"
            )
        password = str(typer.prompt(f"Password of {user}", hide_input=True, err=True))
    return Login(user, password)


def filled(url: str) -> str:
    """`url` with `${NAME}` filled in from the environment. Raises UsageError."""
    try:
        text = fill(url)
        check_source(text)
    except SecretError as error:
        raise UsageError(str(error.args[0]), remedy=str(error.args[-1])) from error
    except ValueError as error:
        raise UsageError(f"this {error}", where=redact(url)) from error
    return text


def is_networked(url: str) -> bool:
    """Whether a host is asked for this stream."""
    return source_kind(url) in (SourceKind.RTSP, SourceKind.MJPEG)


def with_login(url: str, login: Login | None) -> str:
    """`url` with this login, unless it has one of its own."""
    if login is None or not is_networked(url) or "@" in urlsplit(url).netloc:
        return url
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{quote(login.user, safe='')}:{quote(login.password, safe='')}@{rest}"


def login_of(url: str) -> Login | None:
    """The login in a URL, if any."""
    parts = urlsplit(url)
    if not parts.username:
        return None
    return Login(unquote(parts.username), unquote(parts.password or ""))


def source_config(url: str, transport: Transport, timeout: float) -> SourceConfig:
    """How a stream is opened. Raises UsageError for what can be no source."""
    try:
        return SourceConfig.model_validate(
            {
                "url": url,
                "transport": transport,
                "open_timeout": timeout,
                "read_timeout": timeout,
            }
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise UsageError(str(first["msg"]), where=redact(url)) from error
