"""A log server or SIEM: RFC 5424 over TCP or TLS with octet-counted frames (RFC 6587, RFC 5425).

TCP tells nobody whether the other side has read a line. So before each send it is looked whether
the server has hung up meanwhile; what was in flight when it did is lost to syslog, as it always
is. Where that matters, use a webhook or MQTT.
"""

from __future__ import annotations

import os
import select
import socket
from datetime import UTC

from monitor.alerts.network import tls_context
from monitor.alerts.notices import Notice, UnavailableError
from monitor.config.channels import SyslogConfig, SyslogFormat
from monitor.telemetry import redact
from monitor.version import __version__

_SYSLOG_SEVERITY = {"critical": 2, "warning": 4, "info": 6}
_CEF_SEVERITY = {"critical": 10, "warning": 6, "info": 3}
ENTERPRISE = 32473
"""The private enterprise number that RFC 5612 reserves for documentation."""


class SyslogChannel:
    """Implements `Channel`; keeps one connection."""

    def __init__(self, settings: SyslogConfig) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None

    def probe(self) -> None:
        """Connect if that has not been done."""
        self._connected()

    def send(self, notice: Notice) -> None:
        """Send one frame."""
        line = cef(notice) if self._settings.format is SyslogFormat.CEF else None
        frame = rfc5424(self._settings.facility, notice, line)
        link = self._connected()
        try:
            link.sendall(b"%d " % len(frame) + frame)
        except OSError as error:
            self.close()
            raise _lost(error) from error

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None and _hung_up(self._socket):
            self.close()
        if self._socket is None:
            settings = self._settings
            context = tls_context(settings.ca_file) if settings.tls else None
            plain: socket.socket | None = None
            try:
                address = settings.host, settings.port
                plain = socket.create_connection(address, settings.timeout)
                self._socket = (
                    context.wrap_socket(plain, server_hostname=settings.host) if context else plain
                )
            except (OSError, UnicodeError) as error:
                if plain is not None:
                    plain.close()
                raise _lost(error) from error
        return self._socket


def rfc5424(facility: int, notice: Notice, message: str | None = None) -> bytes:
    """One syslog message; `message` replaces the headline."""
    priority = facility * 8 + _SYSLOG_SEVERITY.get(notice.severity, 4)
    stamp = notice.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    host = socket.gethostname().encode("ascii", "replace").decode().replace(" ", "-")[:255] or "-"
    values = {
        "id": notice.id,
        "key": notice.key,
        "rule": notice.rule,
        "severity": notice.severity,
        "camera": notice.camera,
        "zone": notice.zone,
        "count": notice.count,
        "event": notice.event_id or "",
        "trial": str(notice.trial).lower(),
    }
    pairs = " ".join(f'{name}="{_escaped(str(value))}"' for name, value in values.items())
    head = f"<{priority}>1 {stamp} {host} presence-monitor {os.getpid()} {notice.trigger}"
    text = message or f"{notice.headline} ({'; '.join(notice.reasons)})"
    return f"{head} [alert@{ENTERPRISE} {pairs}] \ufeff{_line(text)}".encode()


def cef(notice: Notice) -> str:
    """The notice in ArcSight's Common Event Format, version 0."""
    head = "|".join(
        _cef_head(part)
        for part in (
            "Presence monitor",
            "presence-monitor",
            __version__,
            notice.trigger,
            notice.headline,
            str(_CEF_SEVERITY.get(notice.severity, 6)),
        )
    )
    extension = {
        "rt": str(int(notice.at.timestamp() * 1000)),
        "externalId": str(notice.id),
        "cat": notice.rule,
        "cnt": str(notice.count),
        "dvchost": notice.camera,
        "cs1Label": "zone",
        "cs1": notice.zone,
        "cs2Label": "key",
        "cs2": str(notice.key),
        "msg": "; ".join(notice.reasons),
    }
    pairs = " ".join(f"{name}={_cef_value(value)}" for name, value in extension.items())
    return f"CEF:0|{head}|{pairs}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _cef_head(value: str) -> str:
    return _line(value).replace("\\", "\\\\").replace("|", "\\|")


def _cef_value(value: str) -> str:
    return _line(value).replace("\\", "\\\\").replace("=", "\\=")


def _hung_up(link: socket.socket) -> bool:
    """The server sends nothing by itself: what can be read is its goodbye."""
    return bool(select.select([link], [], [], 0.0)[0])


def _lost(error: Exception) -> UnavailableError:
    return UnavailableError(f"the log server: {redact(f'{type(error).__name__}: {error}')}")
