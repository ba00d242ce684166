"""The chat route's entry in the OpenAPI description, which FastAPI cannot see because the route stands before it."""

from __future__ import annotations

from typing import Any

_BODY = {
    "type": "object",
    "required": ["model", "messages"],
    "additionalProperties": True,
    "properties": {
        "model": {"type": "string", "description": "`auto`, a pool, or a deployment: GET /v1/models lists them."},
        "messages": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}}}},
        "stream": {"type": "boolean", "default": False},
        "metadata": {"type": "object", "description": "`metadata.sensitivity` (public, internal, confidential) can raise the request's label."},
    },
}
_SIMPLE = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}
_STREAM = {**_SIMPLE, "stream": True, "stream_options": {"include_usage": True}}
_LOCAL = {"model": "auto", "messages": [{"role": "user", "content": "Summarise this contract."}], "metadata": {"sensitivity": "confidential"}}
_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}


def _header(name: str, description: str, values: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if values:
        schema["enum"] = values
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


CHAT_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": _BODY,
            "examples": {
                "simple": {"summary": "Routed by rules", "value": _SIMPLE},
                "stream": {"summary": "Streamed, with usage", "value": _STREAM},
                "local": {"summary": "Kept local", "value": _LOCAL},
            },
        },
    },
}

CHAT_OPERATION: dict[str, Any] = {
    "tags": ["chat"],
    "summary": "Create a chat completion",
    "description": "OpenAI's request and answer. Fields that the gateway does not know go to the provider untouched; response headers say what was decided.",
    "operationId": "create_chat_completion",
    "parameters": [
        _header("X-Sensitivity", "Raises the request's label.", ["public", "internal", "confidential"]),
        _header("X-Complexity", "Sets the complexity tier.", ["simple", "medium", "complex"]),
        _header("X-Gateway-Tags", "Words that rules of the configuration name, comma-separated."),
        _header("X-Timeout", "Seconds that the answer may take, below LLM_TIMEOUT."),
        _header("X-No-Fallback", "Asks one deployment and no other.", ["true", "false"]),
        _header("Cache-Control", "`no-cache`, `no-store` or `max-age=N`."),
        _header("X-Request-ID", "Taken over when it is 1 to 64 of A-Z, a-z, 0-9, `_`, `-`."),
    ],
    "requestBody": CHAT_BODY,
    "responses": {
        "200": {
            "description": "A `chat.completion`, or a stream of `chat.completion.chunk` events that ends in `[DONE]`.",
            "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {"schema": {"type": "string"}}},
        },
        **{
            str(status): {"description": description, "content": _ERROR}
            for status, description in (
                (400, "The request is not valid, or no deployment can do what it asks."),
                (401, "No key, or an unknown one."),
                (403, "The named model is not cleared for the request's label."),
                (404, "No such model."),
                (413, "The body is over MAX_BODY_BYTES."),
                (415, "The body is not JSON."),
                (422, "A provider refused the request with this status."),
                (429, "Over the gateway's limit; see Retry-After."),
                (502, "Every deployment failed."),
                (503, "No deployment could be reached."),
                (504, "No deployment answered in time."),
            )
        },
    },
}
