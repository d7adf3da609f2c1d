"""`/openapi.json`: what FastAPI writes, with refusals and logins as they really are."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

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
_OPEN = {"/healthz", "/readyz", "/api/session"}


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
    schemas["Refusal"], parts["securitySchemes"] = _REFUSAL, _LOGINS
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    for path, operations in described["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            answers.pop("422", None)
            answers["default"] = {"description": "It is refused", "content": refusal}
            if path not in _OPEN:
                operation["security"] = [{name: []} for name in _LOGINS]
    return described
