"""The daemon's surroundings: web port and log."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from monitor.config.base import ConfigModel


class WebConfig(ConfigModel):
    """Dashboard, API, health and metrics on one port."""

    enabled: bool = True
    """False opens no port."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""

    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port; 0 takes a free one and logs it."""


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe line that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LoggingConfig(ConfigModel):
    """The log on stderr."""

    format: LogFormat = LogFormat.CONSOLE
    """console for people, json for machines."""

    level: LogLevel = LogLevel.INFO
    """debug, info, warning or error."""
