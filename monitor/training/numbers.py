"""Numbers as PaddleClas's configurations write them: `1.0/3.0` is a number too."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

_QUOTIENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*")


def _parse_fraction(value: Any) -> Any:
    """A number from text such as `1.0/3.0`; other values are left to pydantic."""
    match = _QUOTIENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    if float(match[2]) == 0.0:
        raise ValueError(f"{value!r} divides by zero")
    return float(match[1]) / float(match[2])


Fraction = Annotated[
    float,
    BeforeValidator(_parse_fraction),
    WithJsonSchema(
        {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[\d./ ]+$"}]},
    ),
]
Probability = Annotated[Fraction, Field(ge=0.0, le=1.0)]
Range = tuple[Fraction, Fraction]
