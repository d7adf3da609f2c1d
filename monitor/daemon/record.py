"""Which configuration was in force, in the audit log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine

from monitor.config import MonitorConfig
from monitor.storage import audit
from monitor.telemetry import redact
from monitor.version import __version__

DIGITS = 16
"""Hexadecimal digits of a part's SHA-256 that are kept: enough to see that it changed."""

_ACTION = "config"


def note_configuration(
    engine: Engine, config: MonitorConfig, *, how: str, actor: str = "monitor"
) -> list[str]:
    """Record a configuration that differs from the one recorded last; what of it is new.

    Parts are the sections and each camera. Of secrets only the URL without its login counts: that
    a password changed is not seen, and no password can be guessed from what is kept. `how`:
    start or reload. Raises DatabaseError.
    """
    parts = _digests(config)
    before = _last(engine)
    changed = sorted(
        part for part in parts.keys() | before.keys() if parts.get(part) != before.get(part)
    )
    if changed:
        audit.record(
            engine,
            actor=actor,
            action=_ACTION,
            subject=how,
            details={
                "changed": changed if before else ["all"],
                "version": __version__,
                "parts": parts,
            },
        )
    return changed


def _last(engine: Engine) -> Mapping[str, str]:
    for entry in audit.find_entries(engine, action=_ACTION, limit=1):
        parts = json.loads(entry.details).get("parts", {})
        return parts if isinstance(parts, dict) else {}
    return {}


def _digests(config: MonitorConfig) -> dict[str, str]:
    sections = config.model_dump()
    cameras = sections.pop("cameras")
    parts = sections | {f"cameras.{name}": camera for name, camera in cameras.items()}
    return {name: _digest(part) for name, part in sorted(parts.items())}


def _digest(part: Any) -> str:
    text = json.dumps(part, default=_plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return redact(text) if "://" in text else "***"
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return str(value)
