"""The daemon's log."""

from __future__ import annotations

from enum import StrEnum

from monitor.config.base import ConfigModel


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
