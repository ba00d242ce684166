"""The OpenAPI description: FastAPI's own, the chat route that stands before it, and which paths want which key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from app.routers import chat, health
from app.routers.chat_openapi import CHAT_OPERATION

if TYPE_CHECKING:
    from fastapi import FastAPI

_BEARER = {"type": "http", "scheme": "bearer"}
_SCHEMES = {"gateway_key": {**_BEARER, "description": "One of GATEWAY_API_KEYS"}, "admin_key": {**_BEARER, "description": "ADMIN_API_KEY"}}


def describe(api: FastAPI, *, keyed: bool) -> dict[str, Any]:
    """Return the description, made once. `keyed`: callers need a key of the gateway."""
    if api.openapi_schema is None:
        described = get_openapi(title=api.title, version=api.version, summary=api.summary, routes=api.routes)
        described["paths"] = {chat.PATH: {"post": CHAT_OPERATION}, **described["paths"]}
        described["components"]["securitySchemes"] = _SCHEMES
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                operations[method] = {**operation, "security": _security(path, keyed=keyed)}
        api.openapi_schema = described
    return api.openapi_schema


def _security(path: str, *, keyed: bool) -> list[dict[str, list[str]]]:
    if path.startswith("/admin/"):
        return [{"admin_key": []}]
    return [{"gateway_key": []}] if keyed and path not in health.OPEN_PATHS else []
