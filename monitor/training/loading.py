"""Configuration files of the training room: YAML, then `key=value` overrides, then checking."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from monitor.config.base import ConfigModel
from monitor.errors import ConfigError, UsageError

Model = TypeVar("Model", bound=ConfigModel)


def load_config(kind: type[Model], file: Path, overrides: Sequence[str] = ()) -> Model:
    """Read `file`, lay `overrides` (`a.b.0.c=value`) upon it and check the whole.

    Raises ConfigError with file and key for what is wrong in it, UsageError for an override
    that is no `key=value` or names a place that cannot exist.
    """
    tree = read_yaml(file)
    for override in overrides:
        apply_override(tree, override)
    return check_config(kind, tree, str(file))


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError if it cannot be read or is none."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = YAML(typ="safe", pure=True).load(StringIO(text))
    except OSError as error:
        raise ConfigError(
            f"cannot read: {error.strerror}",
            where=str(file),
            remedy="configs/training holds configurations to start from",
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}:{mark.line + 1}" if mark is not None else str(file)
        raise ConfigError(f"no valid YAML: {error.problem}", where=where) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"no valid YAML: {error}", where=str(file)) from None
    if not isinstance(tree, dict):
        raise ConfigError(
            "the file holds no mapping",
            where=str(file),
            remedy="write keys and values, `epochs: 20`",
        )
    return tree


def check_config(kind: type[Model], tree: dict[str, Any], where: str) -> Model:
    """Validate a tree; ConfigError lists every complaint with its key."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(_complaints(error)), where=where) from None


def _complaints(error: ValidationError) -> list[str]:
    """What is wrong by key; what only follows from a complaint about a part is left out."""
    items = error.errors()
    places = [item["loc"] for item in items]
    complaints = []
    for item in items:
        place = item["loc"]
        if any(len(other) > len(place) and other[: len(place)] == place for other in places):
            continue
        said = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            said = "there is no such key"
        complaints.append(f"{'.'.join(str(part) for part in place)}: {said}" if place else said)
    return complaints


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Set one dotted key in place; the value is YAML. Numbers in the key index lists."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UsageError(f"{override!r} is no override", remedy="write -o key.of.setting=value")
    try:
        value = YAML(typ="safe", pure=True).load(StringIO(text))
    except YAMLError:
        value = text
    set_key(tree, key.strip(), value)


def set_key(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set the value at a dotted key, making mappings on the way; UsageError if it cannot be."""
    *parents, last = dotted.split(".")
    node: Any = tree
    for part in parents:
        if isinstance(node, dict) and node.get(part) is None:
            node[part] = {}
        node = node[_place(node, part, dotted)]
    node[_place(node, last, dotted, new=True)] = value


def _place(node: Any, part: str, dotted: str, *, new: bool = False) -> Any:
    if isinstance(node, dict) and (new or part in node):
        return part
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return int(part)
    raise UsageError(
        f"there is no place for {part!r} of the override {dotted!r}",
        remedy="name a key of the configuration, with dots between the parts: data.batch_size=64",
    )
