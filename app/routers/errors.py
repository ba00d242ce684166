"""Every error of FastAPI's routes in OpenAI's body, without an echo of what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from app.errors import GatewayError, InvalidRequestError, MethodNotAllowedError, NotFoundError
from app.http_io import internal_error
from app.routers.invalid import refusal
from app.utils.json import dump_json
from app.utils.monitoring import ERRORS

if TYPE_CHECKING:
    from fastapi import FastAPI, Request


# OpenAI's paths that are not served, and what to do instead.
_ELSEWHERE = {
    "/v1/responses": 'The Responses API is not served: use /v1/chat/completions (with openai-agents: set_default_openai_api("chat_completions")).',
    "/v1/completions": "The older completions are not served: use /v1/chat/completions, with the prompt as a user message.",
    "/v1/embeddings": "Embeddings are not served: of OpenAI's paths use /v1/chat/completions and /v1/models.",
}
_ADDED = ("/chat/completions", "/responses", "/completions", "/embeddings", "/models")  # what clients add to a base_url


def add_error_handlers(app: FastAPI) -> None:
    """Turn the gateway's own errors, FastAPI's 422 and starlette's 404 and 405 into OpenAI's body."""
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)  # answered here, raised on, and logged by middleware.RequestEdge


async def _gateway_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, GatewayError)  # noqa: S101 -- it was registered for this class
    return _answer(request, exc, dict(exc.headers))


async def _invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)  # noqa: S101 -- likewise
    return _answer(request, refusal(exc.errors()[0]), {})


async def _http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101 -- likewise
    error: GatewayError
    if exc.status_code == 405:
        error = MethodNotAllowedError(f"This path takes {(exc.headers or {}).get('Allow', 'another method')} only: see /openapi.json.")
    elif exc.status_code == 404:
        error = NotFoundError(f"Unknown request URL. {_instead(request.scope['path'])}", code="unknown_url")
    else:
        error = InvalidRequestError("The request cannot be served as it stands.", code="invalid_request")
    error.status = exc.status_code
    return _answer(request, error, dict(exc.headers or {}))


def _instead(path: str) -> str:
    """Return what to do in place of a path that is not served; nothing of the path is repeated."""
    for name, advice in _ELSEWHERE.items():
        if path == name or path.startswith(f"{name}/"):
            return advice
    if path.endswith(_ADDED):
        return "End the client's base_url in /v1: the gateway serves /v1/chat/completions and /v1/models."
    return "The gateway serves /v1/chat/completions, /v1/models and what /openapi.json lists."


async def _fault(request: Request, __: Exception) -> Response:
    return _answer(request, internal_error(), {})


def _answer(request: Request, error: GatewayError, headers: dict[str, str]) -> Response:
    ERRORS.labels(error.count_label).inc()
    request.scope.get("sluice", {})["error"] = error.count_label
    return Response(dump_json(error.body()), status_code=error.status, headers=headers, media_type="application/json")


def refuse_method() -> None:
    """Answer for a path that is served outside FastAPI, by another method. Raises MethodNotAllowedError."""
    raise MethodNotAllowedError("This path takes POST only: try another method.", headers={"allow": "POST"})
