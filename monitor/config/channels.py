"""The channels by which alerts leave the house: one small model a kind."""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from monitor.config.base import ConfigModel, Duration
from monitor.config.templates import check_template


def _check_http(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is no http:// or https:// address; https://host/path")
    return url


HttpUrl = Annotated[SecretStr, AfterValidator(_check_http)]
"""An http(s) URL; secret, for many services put their key into it."""


class WebhookBody(StrEnum):
    """What a webhook is sent."""

    JSON = "json"
    """All values of the alert as one JSON object."""
    SLACK = "slack"
    """What Slack, Mattermost and Rocket.Chat take at an incoming webhook."""
    TEAMS = "teams"
    """An adaptive card, as Microsoft Teams' workflows take it."""


class Outward(ConfigModel):
    """A channel that opens connections to an address of the configuration."""

    allow: list[str] = Field(default_factory=list, max_length=64)
    """Hosts (`hooks.lan`) and networks (`192.168.1.0/24`) that may be reached although they are
    private; public addresses always may, the others never (SSRF)."""

    timeout: Duration = Field(default=10.0, gt=0.0, le=120.0)
    """How long one try may take."""

    ca_file: Path | None = None
    """PEM file of the authority that signed the server's certificate, beside the system's."""

    @field_validator("allow")
    @classmethod
    def _hosts_or_networks(cls, allow: list[str]) -> list[str]:
        for entry in allow:
            if "/" in entry or re.fullmatch(r"[\d.]+|[0-9a-fA-F:]*:[0-9a-fA-F:]*", entry):
                try:
                    ip_network(entry)
                except ValueError as error:
                    raise ValueError(f"{error}; a host, an address or a network") from error
        return allow


class WebhookConfig(Outward):
    """HTTP POST of an alert, signed."""

    url: HttpUrl
    """Where to; redirects are not followed."""

    secret: SecretStr | None = None
    """Key of the HMAC-SHA256 signature in `X-Presence-Signature`."""

    headers: dict[str, SecretStr] = Field(default_factory=dict, max_length=32)
    """Further headers, such as Authorization."""

    body: WebhookBody = WebhookBody.JSON
    """json, slack or teams."""

    template: str | None = Field(default=None, max_length=16384)
    """Jinja2 template of a JSON body, instead of `body`."""

    snapshot: bool = False
    """True puts the picture into the JSON body, base64."""

    @field_validator("template")
    @classmethod
    def _usable(cls, template: str | None) -> str | None:
        if template is not None:
            check_template(template, as_json=True)
        return template


class MqttConfig(ConfigModel):
    """An MQTT 5 broker: alerts, the retained state of every zone, Home Assistant's discovery."""

    host: str
    """Name or address of the broker."""

    port: int = Field(default=1883, ge=1, le=65535)
    """1883, or 8883 with TLS."""

    username: str | None = None
    """Login, if the broker asks for one."""

    password: SecretStr | None = None
    """Its password."""

    tls: bool = False
    """True encrypts, and checks the broker's certificate."""

    ca_file: Path | None = None
    """PEM file of the authority that signed the broker's certificate, beside the system's."""

    client_id: str = Field(default="presence-monitor", min_length=1, max_length=64)
    """Name at the broker; one monitor each."""

    topic: str = Field(default="presence", pattern=r"^[^+#\s]+$", max_length=128)
    """Where all topics begin."""

    states: bool = True
    """True publishes the state of every zone and camera, retained."""

    discovery: str | None = Field(default="homeassistant", pattern=r"^[^+#\s]+$")
    """Home Assistant's discovery prefix; null announces nothing."""

    doors: bool = False
    """True takes door events from TOPIC/doors and grants from TOPIC/grants."""

    timeout: Duration = Field(default=10.0, gt=0.0, le=120.0)
    """How long the broker may take to confirm an alert."""


class SmtpSecurity(StrEnum):
    """How mail is encrypted on its way."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class SmtpConfig(ConfigModel):
    """E-mail with the snapshot inline."""

    host: str
    """Mail server."""

    port: int = Field(default=587, ge=1, le=65535)
    """587 with starttls, 465 with tls, 25 with none."""

    security: SmtpSecurity = SmtpSecurity.STARTTLS
    """starttls, tls, or none."""

    ca_file: Path | None = None
    """PEM file of the authority that signed the server's certificate, beside the system's."""

    username: str | None = None
    """Login, if the server asks for one."""

    password: SecretStr | None = None
    """Its password."""

    sender: str
    """From."""

    to: list[str] = Field(min_length=1, max_length=64)
    """Recipients."""

    snapshot: bool = True
    """False sends no pictures."""

    timeout: Duration = Field(default=20.0, gt=0.0, le=120.0)
    """How long one step of the conversation may take."""

    @field_validator("sender", "to")
    @classmethod
    def _addresses(cls, value: str | list[str]) -> str | list[str]:
        for address in [value] if isinstance(value, str) else value:
            if not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", address):
                raise ValueError(f"{address[:80]!r} is no mail address; name@example.org")
        return value


class SyslogFormat(StrEnum):
    """What a log server is sent."""

    RFC5424 = "rfc5424"
    CEF = "cef"
    """ArcSight's Common Event Format in an RFC 5424 frame."""


class SyslogConfig(ConfigModel):
    """A log server or SIEM over TCP or TLS (RFC 5424, octet-counted frames)."""

    host: str
    """Name or address of the server."""

    port: int = Field(default=6514, ge=1, le=65535)
    """6514 with TLS, 601 or 514 without."""

    tls: bool = True
    """False sends in the clear."""

    ca_file: Path | None = None
    """PEM file of the authority that signed the server's certificate, beside the system's."""

    format: SyslogFormat = SyslogFormat.RFC5424
    """rfc5424 or cef."""

    facility: int = Field(default=13, ge=0, le=23)
    """13 is "log audit"."""

    timeout: Duration = Field(default=10.0, gt=0.0, le=120.0)
    """How long connecting and sending may take."""


class CommandConfig(ConfigModel):
    """A program of this machine; it gets the alert as JSON on its input, never through a shell."""

    argv: list[str] = Field(min_length=1, max_length=64)
    """The program and its arguments; `{{ zone }}` and the like are filled in, each argument by
    itself."""

    timeout: Duration = Field(default=10.0, gt=0.0, le=600.0)
    """When it is killed."""

    @field_validator("argv")
    @classmethod
    def _usable(cls, argv: list[str]) -> list[str]:
        for argument in argv:
            check_template(argument, as_json=False)
        if "{{" in argv[0] or "{%" in argv[0]:
            raise ValueError("the program itself is a template; templates only as arguments")
        return argv


class RelayConfig(Outward):
    """A contact that is closed for a while: siren, light or door, by two HTTP calls."""

    on: HttpUrl
    """Called with `method` to close the contact."""

    off: HttpUrl | None = None
    """Called after `hold`; without it the device opens the contact by itself."""

    method: str = Field(default="GET", pattern="^(GET|POST|PUT)$")
    """GET, POST or PUT."""

    username: str | None = None
    """Login, if the device asks for one (Basic or Digest)."""

    password: SecretStr | None = None
    """Its password."""

    hold: Duration = Field(default=5.0, ge=0.0, le=60.0)
    """How long the contact stays closed."""


class OnvifConfig(Outward):
    """A relay output of an ONVIF camera."""

    url: HttpUrl
    """Its device service, such as http://192.168.1.20/onvif/device_service."""

    token: str = Field(min_length=1, max_length=64)
    """The relay output's token."""

    username: str | None = None
    """User of the camera with the right to switch outputs."""

    password: SecretStr | None = None
    """Its password; travels only as a digest."""

    hold: Duration = Field(default=5.0, ge=0.0, le=60.0)
    """How long the relay stays active; 0 leaves that to the camera (monostable)."""


KINDS = ("webhook", "mqtt", "smtp", "syslog", "command", "relay", "onvif")


class ChannelConfig(ConfigModel):
    """One way to somebody: exactly one kind, and how much it may be used."""

    webhook: WebhookConfig | None = None
    mqtt: MqttConfig | None = None
    smtp: SmtpConfig | None = None
    syslog: SyslogConfig | None = None
    command: CommandConfig | None = None
    relay: RelayConfig | None = None
    onvif: OnvifConfig | None = None

    per_minute: float | None = Field(default=None, gt=0.0, le=100_000.0)
    """Most deliveries a minute; more of them wait their turn."""

    expires: Duration = Field(default=86400.0, ge=1.0, le=30 * 86400.0)
    """Age at which an alert is not delivered any more; it is kept as a dead letter."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found = f"has {' and '.join(given)}" if given else "has no kind"
            raise ValueError(f"the channel {found}; exactly one of {', '.join(KINDS)}")
        return self

    @property
    def kind(self) -> str:
        """Which kind it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)
