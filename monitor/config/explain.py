"""Pydantic's complaints in words for people who edit a configuration, not for programmers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic_core import ErrorDetails

from monitor.config.base import format_duration, format_size, parse_duration, parse_size
from monitor.config.problems import KeyPath
from monitor.telemetry import redact

_BOUNDS = {
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
    "finite_number",
}
_BOUND_NAMES: dict[type[Any], str] = {
    Gt: "gt",
    Ge: "ge",
    Lt: "lt",
    Le: "le",
    MinLen: "min_length",
    MaxLen: "max_length",
}
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Slot:
    """What a place in the configuration takes: its type and constraints."""

    kind: Any
    limits: tuple[Any, ...] = ()
    description: str = ""

    @property
    def is_duration(self) -> bool:
        """Whether it is a span of time."""
        return any(isinstance(x, BeforeValidator) and x.func is parse_duration for x in self.limits)

    @property
    def is_size(self) -> bool:
        """Whether it is an amount of storage."""
        return any(isinstance(x, BeforeValidator) and x.func is parse_size for x in self.limits)

    @property
    def model(self) -> type[BaseModel] | None:
        """The model whose keys stand here, if it is a section."""
        return (
            self.kind if isinstance(self.kind, type) and issubclass(self.kind, BaseModel) else None
        )


def slot_at(root: type[BaseModel], path: KeyPath) -> Slot | None:
    """What stands at `path` in a file of `root`'s shape; None where nothing is known."""
    slot: Slot | None = Slot(root)
    for part in path:
        slot = _step(slot, part) if slot else None
    return slot


def _step(slot: Slot, part: str | int) -> Slot | None:
    if slot.model is not None:
        known = slot.model.model_fields.get(str(part))
        if known is None:
            return None
        return _optional(Slot(known.annotation, tuple(known.metadata), known.description or ""))
    origin, arguments = get_origin(slot.kind), get_args(slot.kind)
    if origin is dict:
        return _unwrapped(arguments[1])
    if origin is list:
        return _unwrapped(arguments[0])
    if origin is tuple and isinstance(part, int) and part < len(arguments):
        return _unwrapped(arguments[part])
    return None


def _optional(slot: Slot) -> Slot:
    """`X | None` takes what X takes."""
    arms = [kind for kind in get_args(slot.kind) if kind is not NoneType]
    optional = get_origin(slot.kind) in (Union, UnionType) and len(arms) == 1
    if not optional:
        return slot
    inner = _unwrapped(arms[0])
    return Slot(inner.kind, (*inner.limits, *slot.limits), slot.description)


def _unwrapped(kind: Any) -> Slot:
    if get_origin(kind) is Annotated:
        inner, *limits = get_args(kind)
        flat = [x for limit in limits for x in getattr(limit, "metadata", [limit])]
        return Slot(inner, tuple(flat))
    return Slot(kind)


def explain(
    error: ErrorDetails, path: KeyPath, root: type[BaseModel], *, secret: bool
) -> tuple[str, str]:
    """What is wrong and what is allowed; secret values stay unsaid."""
    kind, slot = error["type"], slot_at(root, path)
    if kind == "extra_forbidden":
        return _explain_unknown(path, slot_at(root, path[:-1]))
    if kind == "value_error":
        what, _, allowed = error["msg"].removeprefix("Value error, ").partition("; ")
        return what, allowed
    allowed = allowed_text(slot) if slot else error["msg"]
    if kind == "missing":
        return "is missing", allowed
    if error["input"] is None:
        return "has no value", f"{allowed}, or remove the line" if allowed else "remove the line"
    return _explain_value(error, slot, hidden=secret or slot is None), allowed


def _explain_value(error: ErrorDetails, slot: Slot | None, *, hidden: bool) -> str:
    kind, value = error["type"], error["input"]
    hidden = hidden or (slot is not None and slot.kind is SecretStr)
    shown = "this value" if hidden else _shown(value)
    if kind in _BOUNDS:
        return f"{shown} is out of range"
    if kind in {"too_short", "too_long"}:
        count = len(value) if isinstance(value, list | Mapping) else 0
        return f"has {count} entries" if count else "is empty"
    if kind == "enum" and slot and isinstance(value, str) and not hidden:
        close = get_close_matches(value.lower(), _choices(slot.kind), n=1)
        return f"{shown} is no choice" + (f", did you mean {close[0]}?" if close else "")
    return f"{shown} is of the wrong kind"


def _explain_unknown(path: KeyPath, parent: Slot | None) -> tuple[str, str]:
    """Name the key that was meant, or the section that has it."""
    if parent is None or parent.model is None:
        return "is an unknown key", ""
    fields = parent.model.model_fields
    key = str(path[-1])
    inside = [
        name
        for name, known in fields.items()
        if (model := Slot(known.annotation).model) and key in model.model_fields
    ]
    close = get_close_matches(key.lower(), list(fields), n=1)
    hint = ""
    if inside:
        hint = f", it belongs under {inside[0]}:"
    elif close:
        hint = f", did you mean {close[0]}?"
    return f"is an unknown key{hint}", f"allowed here: {', '.join(fields)}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    # Before it is cut: half a URL is no longer known as one, but shows its password.
    text = redact(repr(value) if isinstance(value, str) else str(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def allowed_text(slot: Slot | None) -> str:
    """What a place takes, such as `a number above 0 and at most 60`."""
    if slot is None:
        return ""
    if slot.model is not None:
        return f"keys {', '.join(slot.model.model_fields)}"
    if slot.is_duration or slot.is_size:
        return _measure(slot)
    if choices := _choices(slot.kind):
        return " or ".join([", ".join(choices[:-1]), choices[-1]] if choices[1:] else choices)
    simple = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "text",
        SecretStr: slot.description.partition(". ")[0] or "text",
        Path: "a path",
    }
    if slot.kind in simple:
        return _ranged(simple[slot.kind], slot, lambda number: f"{number:g}")
    return _allowed_collection(slot)


def _measure(slot: Slot) -> str:
    if slot.is_duration:
        return _ranged("a duration such as 1.5s, 10m or 2h", slot, format_duration)
    return _ranged("a size such as 500MB or 20GB", slot, format_size)


def _allowed_collection(slot: Slot) -> str:
    origin = get_origin(slot.kind)
    if origin is dict:
        return "a mapping of names, at least one" if _limit(slot, MinLen) else "a mapping of names"
    if origin is tuple:
        return f"[x, y], each {allowed_text(_step(slot, 0))}"
    if origin is list:
        least, most = _limit(slot, MinLen), _limit(slot, MaxLen)
        size = f" of {least} to {most}" if least and most else ""
        return f"a list{size}: {allowed_text(_step(slot, 0))}"
    if origin in (Union, UnionType):
        arms = [kind for kind in get_args(slot.kind) if kind is not NoneType]
        return " or ".join(allowed_text(Slot(kind, slot.limits)) for kind in arms)
    return ""


def _choices(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(member.value) for member in kind]
    return (
        [str(value) for value in get_args(kind)]
        if str(get_origin(kind)).endswith("Literal")
        else []
    )


def _limit(slot: Slot, kind: type[Any]) -> Any:
    """The bound of that kind, such as 0.0 of a `Gt(0.0)`; None without one."""
    found = next((limit for limit in slot.limits if isinstance(limit, kind)), None)
    return getattr(found, _BOUND_NAMES[kind], None)


def _ranged(noun: str, slot: Slot, form: Callable[[float], str]) -> str:
    above, least = _limit(slot, Gt), _limit(slot, Ge)
    below, most = _limit(slot, Lt), _limit(slot, Le)
    if least is not None and most is not None:
        return f"{noun} from {form(least)} to {form(most)}"
    signs = ("above", above), ("at least", least), ("below", below), ("at most", most)
    parts = [f"{sign} {form(bound)}" for sign, bound in signs if bound is not None]
    return f"{noun} {' and '.join(parts)}" if parts else noun
