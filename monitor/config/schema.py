"""The JSON Schema of the configuration file, for editors and other programs."""

from __future__ import annotations

from typing import Any

from monitor.config.root import MonitorConfig
from monitor.config.storage import DatabaseConfig

PLACEHOLDER = {"type": "string", "pattern": r"^\$\{[^{}]+\}$"}
"""`${NAME}` or `${file:…}` in the place of a number, truth value or choice."""


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) that takes what the loader takes, placeholders included."""
    schema = MonitorConfig.model_json_schema()
    definitions = schema["$defs"]
    database = DatabaseConfig().url.get_secret_value()
    definitions["DatabaseConfig"]["properties"]["url"]["default"] = database
    for model in [schema, *definitions.values()]:
        for key, value in model.get("properties", {}).items():
            model["properties"][key] = _with_placeholder(value, definitions)
    _drop_titles(schema)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Presence monitor"}
    return head | schema


def _with_placeholder(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if isinstance(value.get("default"), dict):  # a section: its keys show their own defaults
        return {key: item for key, item in value.items() if key != "default"}
    target = definitions.get(value.get("$ref", "").rpartition("/")[2], value)
    if "anyOf" in target:
        return {**value, "anyOf": [*value["anyOf"], PLACEHOLDER]}
    if target.get("type") not in {"number", "integer", "boolean"} and "enum" not in target:
        return value
    outside: dict[str, Any] = {}
    inside = dict(value)
    for key in ("description", "default"):
        if key in inside:
            outside[key] = inside.pop(key)
    return {**outside, "anyOf": [inside, PLACEHOLDER]}


def _drop_titles(part: Any) -> None:
    """Pydantic's titles repeat the keys; a property that is called `title` would be a mapping."""
    if isinstance(part, dict):
        if isinstance(part.get("title"), str):
            del part["title"]
        for value in part.values():
            _drop_titles(value)
    elif isinstance(part, list):
        for value in part:
            _drop_titles(value)
