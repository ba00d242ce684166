"""The wire models of what the gateway itself writes. OpenAI's formats follow its published API description."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """What went wrong, in OpenAI's terms (schema `Error`)."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """OpenAI's error body (schema `ErrorResponse`)."""

    error: ErrorDetail


class Model(BaseModel):
    """A name that chat requests may ask for (schema `Model`): `auto`, a pool or an active deployment. `created` is in seconds since the epoch."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """OpenAI's `ListModelsResponse`."""

    object: Literal["list"] = "list"
    data: list[Model]


class Configuration(BaseModel):
    """Which gateway.yaml is served: the start of its SHA-256, and when it was read (RFC 3339, UTC)."""

    version: str
    loaded_at: str


class Health(BaseModel):
    """Whether the process is well. Each check is `ok`, `off`, `idle`, or a sentence; `timestamp` is RFC 3339, UTC."""

    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, str]
    timestamp: str
    configuration: Configuration


class About(BaseModel):
    """What answers here."""

    name: Literal["sluice"] = "sluice"
    version: str
    docs: str = "/docs"
