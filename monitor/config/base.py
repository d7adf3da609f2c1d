"""What every configuration model shares: strictness, and durations people can read."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)")


class ConfigModel(BaseModel):
    """Base of all configuration models: unknown keys are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """`sample_fps: true` is a slip, though Python counts True as 1."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind in (int, float):
            raise ValueError(f"{str(value).lower()} is no number; a number")
        return value


def parse_duration(value: Any) -> Any:
    """Seconds from `1.5s`, `20ms`, `2h`, `1h 30m` or a plain number of seconds.

    Raises ValueError for text that is no duration; other types are left to pydantic.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    matches = list(_DURATION.finditer(text))
    if not matches or _DURATION.sub("", text).strip():
        raise ValueError("this is no duration; write 20ms, 1.5s, 10m, 2h, 7d or 1h 30m")
    return sum(float(match[1]) * _UNITS[match[2]] for match in matches)


def format_duration(seconds: float) -> str:
    """`90` as `1m 30s`: what `parse_duration` reads back."""
    if seconds < 1.0:
        return f"{seconds * 1000:g}ms" if seconds else "0s"
    parts, rest = [], seconds
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:g}{unit}")
    if rest:
        parts.append(f"{rest:g}s")
    return " ".join(parts)


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
