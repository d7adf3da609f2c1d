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

_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BYTES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?b|b)", re.IGNORECASE)


def parse_size(value: Any) -> Any:
    """Bytes from `500MB`, `1.5 GiB` or a plain number of bytes.

    Raises ValueError for text that is no size; other types are left to pydantic.
    """
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no size; write 500MB, 20GB or 1.5TiB")
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError("this is no size; write 500MB, 20GB or 1.5TiB")
    return int(float(match[1]) * _BYTES[match[2].lower()])


def format_size(count: float) -> str:
    """`1500000` as `1.5MB`."""
    for unit in ("TB", "GB", "MB", "kB"):
        size = _BYTES[unit.lower()]
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:g}B"


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([kKmMgGtT][iI]?)?[bB]\s*$"},
            ],
            "description": "Bytes, or text such as 500MB, 20GB, 1.5TiB.",
        }
    ),
]
"""An amount of storage: bytes as int, written as `20GB` and the like."""
