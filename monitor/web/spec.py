"""`/openapi.json`: what FastAPI writes, with refusals, bodies and logins as they really are."""

from __future__ import annotations

import json
import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from monitor.alerts.intake import DoorReport, GrantRequest
from monitor.web.gate import OWN_TOKEN

_REFUSAL = {
    "type": "object",
    "required": ["what", "where", "remedy"],
    "properties": {
        "what": {"type": "string", "description": "What is wrong"},
        "where": {"type": "string", "description": "In which filter, field or thing"},
        "remedy": {"type": "string", "description": "What to do about it"},
    },
}
_LOGINS = {
    "token": {"type": "http", "scheme": "bearer", "description": "web.tokens"},
    "password": {"type": "http", "scheme": "basic", "description": "web.users"},
}
_CONTROLLER = {"type": "http", "scheme": "bearer", "description": "alerts.intake.token"}
_OPEN = {"/healthz", "/readyz", "/api/session"}
_BODIES: tuple[type[BaseModel], ...] = (DoorReport, GrantRequest)
_REFERENCE = "#/components/schemas/"


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Of a route that reads its body itself: one object like `model`, or a list of them."""
    one = {"$ref": f"{_REFERENCE}{model.__name__}"}
    schema = {"oneOf": [one, {"type": "array", "items": one}]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> None:
    """Have `app` describe itself so."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI) -> dict[str, Any]:
    described = get_openapi(title=app.title, version=app.version, routes=app.routes)
    parts = described.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for gone in ("HTTPValidationError", "ValidationError"):
        schemas.pop(gone, None)
    sent = _sent(described["paths"])
    for model in _BODIES:
        if model.__name__ in sent:
            schema = model.model_json_schema(ref_template=_REFERENCE + "{model}")
            schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    for name, schema in schemas.items():
        if name not in sent and "properties" in schema:
            schema["required"] = list(schema["properties"])  # answers are always whole
    schemas["Refusal"] = _REFUSAL
    parts["securitySchemes"] = {**_LOGINS, "controller": _CONTROLLER}
    refusal = {"application/json": {"schema": {"$ref": f"{_REFERENCE}Refusal"}}}
    for path, operations in described["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            answers.pop("422", None)
            answers["default"] = {"description": "It is refused", "content": refusal}
            if path not in _OPEN:
                logins = ["controller"] if path in OWN_TOKEN else _LOGINS
                operation["security"] = [{name: []} for name in logins]
    return described


def _sent(paths: dict[str, Any]) -> set[str]:
    """The names of what requests bring."""
    bodies = [
        operation.get("requestBody", {}) for path in paths.values() for operation in path.values()
    ]
    return set(re.findall(rf'"{_REFERENCE}(\w+)"', json.dumps(bodies)))
