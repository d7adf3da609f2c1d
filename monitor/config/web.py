"""The web port: where it listens, and who may sign in."""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from monitor.config.base import ConfigModel, Duration
from monitor.config.camera import Name

_PASSWORD = re.compile(r"\$argon2(id|i|d)\$(v=\d+\$)?m=\d+,t=\d+,p=\d+\$[\w+/]+\$[\w+/]+")
_HOST = re.compile(r"\*|[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_TOKEN = re.compile(r"sha256:[0-9a-f]{64}")


class Role(StrEnum):
    """What somebody may do."""

    VIEWER = "viewer"
    """Look at everything."""
    OPERATOR = "operator"
    """Also deal with alerts, mark events, put holds on them, arm and disarm."""


def _password_hash(value: SecretStr) -> SecretStr:
    if not _PASSWORD.fullmatch(value.get_secret_value()):
        raise ValueError(
            "this is no hash of a password; the line that `run_monitor.py web password` prints"
        )
    return value


def _token_hash(value: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError(
            "this is no hash of a token; the line that `run_monitor.py web token` prints"
        )
    return value


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address; an IP address or network, 10.0.0.0/8") from error
    return text


def _host_name(text: str) -> str:
    if not _HOST.fullmatch(text.lower()):
        raise ValueError(
            f"{text!r} is no host name; monitor.example.com, without https:// and port, or *"
        )
    return text.lower()


class UserConfig(ConfigModel):
    """Somebody who signs in on the dashboard, or by HTTP Basic."""

    password: Annotated[SecretStr, AfterValidator(_password_hash)]
    """The password's Argon2 hash, never the password; `run_monitor.py web password` makes it."""

    role: Role = Role.VIEWER
    """viewer looks; operator also acknowledges, marks, arms and disarms."""


class TokenConfig(ConfigModel):
    """A program that asks with `Authorization: Bearer …`."""

    hash: Annotated[SecretStr, AfterValidator(_token_hash)]
    """The token's SHA-256, never the token; `run_monitor.py web token` makes both."""

    role: Role = Role.VIEWER
    """viewer looks; operator also acknowledges, marks, arms and disarms."""


class SessionConfig(ConfigModel):
    """How long somebody stays signed in."""

    idle: Duration = Field(default=3600.0, ge=60.0, le=30 * 86400.0)
    """Signed out after so long without a request; an open dashboard makes some."""

    longest: Duration = Field(default=12 * 3600.0, ge=60.0, le=90 * 86400.0)
    """Signed out after so long whatever happens."""


class TlsConfig(ConfigModel):
    """HTTPS by the monitor itself, without a proxy."""

    certificate: Path
    """PEM file: the certificate, and those between it and the root."""

    key: Path
    """PEM file with its private key, without a passphrase."""


class WebConfig(ConfigModel):
    """Dashboard, API, health and metrics on one port."""

    enabled: bool = True
    """False opens no port."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""

    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port; 0 takes a free one and logs it."""

    tls: TlsConfig | None = None
    """Answer by HTTPS."""

    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks."""

    allowed_hosts: tuple[Annotated[str, AfterValidator(_host_name)], ...] = ()
    """Further names by which browsers may ask for the monitor while nobody has to sign in; * for
    any. Addresses, localhost, `host` and the machine's own name are always allowed."""

    users: dict[Name, UserConfig] = Field(default_factory=dict, max_length=1000)
    """Who may sign in, by name. Without users and tokens everybody may look, nobody may act."""

    tokens: dict[Name, TokenConfig] = Field(default_factory=dict, max_length=1000)
    """Programs that may ask, by name."""

    sessions: SessionConfig = SessionConfig()

    public_metrics: bool = False
    """True: /metrics, which tells what zones are occupied, is answered without a login."""

    @property
    def closed(self) -> bool:
        """Whether one has to say who one is."""
        return bool(self.users or self.tokens)

    @property
    def local(self) -> bool:
        """Whether it listens for this machine only."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @model_validator(mode="after")
    def _tokens_differ(self) -> WebConfig:
        hashes = [token.hash.get_secret_value() for token in self.tokens.values()]
        if len(set(hashes)) < len(hashes):
            raise ValueError("two tokens are the same; a token of its own for each program")
        return self


def exposure(web: WebConfig) -> tuple[str, str] | None:
    """What is dangerous about how the port is open: what, and what would be right."""
    if not web.enabled or web.local:
        return None
    if not web.closed:
        return (
            f"everybody who reaches {web.host}:{web.port} sees all pictures and events: "
            "web.users is empty",
            "web.users (`run_monitor.py web password` makes a line), or web.host: 127.0.0.1",
        )
    if web.tls is None and not web.trusted_proxies:
        return (
            f"passwords cross the network unencrypted to {web.host}:{web.port}",
            "web.tls, or an HTTPS proxy before it that web.trusted_proxies names",
        )
    return None
