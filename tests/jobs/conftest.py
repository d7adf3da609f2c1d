"""The databases of the events room's tests."""

from __future__ import annotations

from events.conftest import (
    backend,
    engine,
    mariadb,
    postgresql,
    pytest_generate_tests,
    template,
    url,
)

__all__ = [
    "backend",
    "engine",
    "mariadb",
    "postgresql",
    "pytest_generate_tests",
    "template",
    "url",
]
