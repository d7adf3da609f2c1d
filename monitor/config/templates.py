"""Texts that people write into the configuration, filled in by Jinja2's sandbox.

A template sees only the values of `SAMPLE`; a name it does not know is an error when the
configuration is checked, not in the night when the alert goes out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

SAMPLE: Mapping[str, Any] = {
    "id": "7d0a3a0e-5a5f-5f6e-9a9e-000000000000",
    "key": "7d0a3a0e-5a5f-5f6e-9a9e-000000000001",
    "rule": "night",
    "trigger": "occupied",
    "severity": "critical",
    "camera": "loading-dock",
    "zone": "dock-3",
    "at": "2026-03-01T02:14:07+00:00",
    "title": 'loading-dock/dock-3: "somebody" is here',
    "reasons": ["armed: nights"],
    "count": 1,
    "members": ["loading-dock/dock-3"],
    "event_id": "7d0a3a0e-5a5f-5f6e-9a9e-000000000002",
    "attempt": 1,
    "trial": False,
}
"""What a template may use, with an example of each."""

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_LONGEST = 64 * 1024


def check_template(text: str, *, as_json: bool) -> None:
    """Raise ValueError unless `text` is a template that renders (to JSON with `as_json`)."""
    try:
        unknown = meta.find_undeclared_variables(_ENVIRONMENT.parse(text)) - SAMPLE.keys()
        if unknown:
            raise ValueError(
                f"the template uses the unknown {', '.join(sorted(unknown))}; "
                f"it may use {', '.join(SAMPLE)}"
            )
        filled = render(text, SAMPLE)
    except (TemplateError, TypeError) as error:
        line = getattr(error, "lineno", None)
        where = f" (its line {line})" if line else ""
        what = f"the template cannot be used{where}: {error}"
        raise ValueError(f"{what}; see Jinja2's manual") from error
    if as_json:
        try:
            json.loads(filled)
        except ValueError as error:
            advice = "write values as {{ title | tojson }}"
            raise ValueError(f"the template does not make JSON: {error}; {advice}") from error


def render(text: str, values: Mapping[str, Any]) -> str:
    """The template with its values. Raises TemplateError or TypeError; never runs code."""
    filled = _ENVIRONMENT.from_string(text).render(values)
    if len(filled) > _LONGEST:
        raise TemplateError(f"it makes more than {_LONGEST} characters")
    return filled
