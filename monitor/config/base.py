"""What every configuration model shares: strictness, and durations people can read."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)")


class ConfigModel(BaseModel):
    """Base of all configuration models: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def parse_duration(value: Any) -> Any:
    """Seconds from `1.5s`, `20ms`, `2h`, `1h 30m` or a plain number of seconds.

    Raises ValueError for text that is no duration; other types are left to pydantic.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    matches = list(_DURATION.finditer(text))
    if not matches or _DURATION.sub("", text).strip():
        raise ValueError(f"{value!r} is no duration; write 20ms, 1.5s, 10m, 2h, 7d or 1h 30m")
    return sum(float(match[1]) * _UNITS[match[2]] for match in matches)


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*(ms|s|min|m|h|d|w)\s*)+$"},
            ],
            "description": "Seconds, or text such as 20ms, 1.5s, 10m, 2h, 7d.",
        }
    ),
]
"""A span of time: seconds as float, written as `1.5s` and the like."""
