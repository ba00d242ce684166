"""What a provider's error answer means: one classification for every lane, by status, code and, where a dialect has no code, by wording.

Bodies known: OpenAI's `{"error": {message, type, param, code}}`, Anthropic's `{"type": "error", "error": {type, message}}`, Google's `{"error": {code,
message, status, details}}`, Bedrock's `{"message"}` with `x-amzn-errortype`, Cohere's `{"message"}`, Ollama's `{"error": "text"}`, FastAPI's `{"detail"}`
and bare text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any

import orjson

from app.domain import Failure
from app.errors import UpstreamError

if TYPE_CHECKING:
    from app.domain import Deployment

TEXT_LIMIT_BYTES = 4096  # enough for the schema errors that people debug with

_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")

# A prompt over the window: a code where the dialect has one, else the provider's words, lower case (each seen in that provider's documentation or source).
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded", "model_context_window_exceeded"})
_CONTEXT_WORDS = (
    "the input length exceeds the context length",  # Ollama
    "input length exceeds maximum context length",  # Ollama, embeddings and older versions
    "maximum context length is",  # OpenAI, vLLM, DeepSeek
    "exceeds the available context size",  # llama.cpp
    "maximum context length",  # Mistral
    "prompt is too long",  # Anthropic, also by way of Bedrock
    "exceed context limit",  # Anthropic: input and max_tokens together
    "exceeds the maximum number of tokens allowed",  # Gemini
    "input is too long for requested model",  # Bedrock
    "too many input tokens",  # Bedrock
    "input tokens exceeds maximum",  # Bedrock
    "input tokens exceeded",  # Bedrock
    "too many tokens",  # Cohere
    "number of tokens in the prompt cannot exceed",  # Cohere
)

# A refusal by the provider's own filter, of what was asked.
_REFUSED_CODES = frozenset(
    {
        "content_filter",  # Azure
        "content_policy_violation",  # OpenAI
        "moderation_blocked",  # OpenAI
        "data_inspection_failed",  # DashScope
        "DataInspectionFailed",  # DashScope
    }
)

# A 400 that is about our key or our model name, not about the caller's request.
_OPERATOR_CODES = frozenset(
    {"model_not_found", "model_decommissioned", "invalid_api_key", "API_KEY_INVALID", "ExpiredTokenException", "IncompleteSignatureException", "billing_error"}
)
_OPERATOR_WORDS = (
    "credit balance is too low",  # Anthropic
    "api key not valid",  # Gemini
    "api key expired",  # Gemini
    "user location is not supported",  # Gemini
    "the provided model identifier is invalid",  # Bedrock
    "on-demand throughput isn",  # Bedrock: the model wants an inference profile
    "security token included in the request is expired",  # Bedrock
)
_RATE_CODES = frozenset({"rate_limit_exceeded", "ServiceQuotaExceededException", "ThrottlingException"})

# Error types that arrive inside a stream, whose status was 200: what the status would have been.
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
    "service_unavailable": 503,
    "timeout_error": 408,
    "INVALID_ARGUMENT": 400,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 408,
    "PERMISSION_DENIED": 403,
    "validationException": 400,
    "throttlingException": 429,
    "serviceUnavailableException": 503,
    "modelTimeoutException": 408,
    "accessDeniedException": 403,
    "resourceNotFoundException": 404,
    **dict.fromkeys(_CONTEXT_CODES, 400),
    **dict.fromkeys(_REFUSED_CODES, 400),
}
_KEY_VARIABLES = {"bedrock": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "cohere_chat": "COHERE_API_KEY", "ollama_chat": "OLLAMA_API_KEY"}
_OLLAMA = frozenset({"ollama", "ollama_chat"})


@dataclass(frozen=True, slots=True)
class _Said:
    """What an error body says. `codes` are every type, code and status that it names."""

    text: str | None = field(default=None, repr=False)
    codes: tuple[str, ...] = ()
    param: str | None = field(default=None, repr=False)
    status: int | None = None
    retry_after_s: float | None = None


def failure_of(status: int, headers: Mapping[str, str], body: bytes, *, provider: str, deployment: Deployment) -> UpstreamError:
    """Return what an answer that is not 2xx means. `headers` may have names in any case; `body` may be cut."""
    lower = {name.lower(): value for name, value in headers.items()}
    said = _read(body, lower)
    return _error(status, said, provider, deployment, retry_after_s=_retry_after(lower) or said.retry_after_s, shown_status=status)


def failure_in_stream(error: Mapping[str, Any], *, provider: str, deployment: Deployment) -> UpstreamError:
    """Return what an error object inside a 200 stream means; one that names no kind is the provider's own fault (BROKEN)."""
    said = _from_object(error)
    status = said.status or next((_STATUS_OF_TYPE[code] for code in said.codes if code in _STATUS_OF_TYPE), None)
    if status is None:
        status = 400 if _speaks_of_context(said) else 500
    return _error(status, said, provider, deployment, retry_after_s=said.retry_after_s, shown_status=None)


def unreachable(error: UpstreamError, *, provider: str) -> UpstreamError:
    """Return a connection failure with the command that cures it, where a local server is the one that is down; any other error as it is."""
    if error.failure is not Failure.UNREACHABLE or provider not in _OLLAMA or error.remedy is not None:
        return error
    return UpstreamError(Failure.UNREACHABLE, remedy="Start it with `ollama serve`.", tell_caller=True, sent=error.sent)


def _error(status: int, said: _Said, provider: str, deployment: Deployment, *, retry_after_s: float | None, shown_status: int | None) -> UpstreamError:
    failure = _failure(status, said)
    remedy, tell_caller = _remedy(failure, status, said, provider, deployment)
    about_the_request = failure in (Failure.REJECTED, Failure.CONTEXT_EXCEEDED, Failure.CONTENT_REFUSED)
    return UpstreamError(
        failure,
        upstream_status=shown_status,
        provider_text=said.text if about_the_request else None,  # a 401's text may repeat a part of the operator's key
        provider_code=next((code for code in reversed(said.codes) if _CODE.fullmatch(code)), None),
        param=said.param if about_the_request else None,
        retry_after_s=retry_after_s,
        remedy=remedy,
        tell_caller=tell_caller,
    )


def _failure(status: int, said: _Said) -> Failure:  # noqa: PLR0911 - a table of cases, one return each
    if status == 408:
        return Failure.TIMEOUT
    if status == 429:
        return Failure.RATE_LIMITED
    if status in (503, 529):
        return Failure.UNAVAILABLE
    if status >= 500 or status == 424:  # 424: Bedrock's model failed behind it (ModelErrorException)
        return Failure.BROKEN
    if status in (401, 402, 403, 404, 405, 407, 410) or status < 400:  # a redirect, which is never followed, is a wrong address; so is 405
        return Failure.OPERATOR
    if _RATE_CODES.intersection(said.codes):
        return Failure.RATE_LIMITED
    if _speaks_of_context(said):
        return Failure.CONTEXT_EXCEEDED
    if _REFUSED_CODES.intersection(said.codes):
        return Failure.CONTENT_REFUSED
    if _OPERATOR_CODES.intersection(said.codes) or _holds(said.text, _OPERATOR_WORDS):
        return Failure.OPERATOR
    return Failure.REJECTED


def _speaks_of_context(said: _Said) -> bool:
    return bool(_CONTEXT_CODES.intersection(said.codes)) or _holds(said.text, _CONTEXT_WORDS)


def _holds(text: str | None, words: tuple[str, ...]) -> bool:
    return text is not None and any(word in text.lower() for word in words)


def _remedy(failure: Failure, status: int, said: _Said, provider: str, deployment: Deployment) -> tuple[str | None, bool]:
    """Return a sentence for the operator, and whether the caller may read it too."""
    whose = f"deployment `{deployment.name}`"
    sentence = None
    if failure is Failure.RATE_LIMITED and "insufficient_quota" in said.codes:
        sentence = f"The account of {whose} at {provider} has no quota left."
    elif failure is not Failure.OPERATOR:
        sentence = None
    elif provider in _OLLAMA and status == 404 and _holds(said.text, ("model",)):
        return f"Run `ollama pull {deployment.model}`.", True
    elif status < 400:
        sentence = f"Check `api_base` of {whose}: {provider} answered with a redirect, which is not followed."
    elif status == 402 or _holds(said.text, ("credit balance",)):
        sentence = f"The account of {whose} at {provider} has no credit left."
    elif status in (401, 403) or _holds(said.text, ("api key", "security token")):
        sentence = _about_the_key(provider, deployment, keyless=status == 401 and deployment.api_key is None and not deployment.params)
    else:
        sentence = f"Check `model` and `api_base` of {whose}: {provider} does not have `{deployment.model}` there."
    return sentence, False


def _about_the_key(provider: str, deployment: Deployment, *, keyless: bool) -> str:
    if keyless:
        return f"Write `api_key` for deployment `{deployment.name}` in gateway.yaml: {provider} asks for a key there, and none is sent."
    variable = _KEY_VARIABLES.get(provider, f"{provider.upper()}_API_KEY")
    origin = f"usually {variable}; `python -m app check` says where it comes from"
    return f"Check the key of deployment `{deployment.name}` ({origin}): {provider} refused it, or it may not use `{deployment.model}`."


def _read(body: bytes, headers: Mapping[str, str]) -> _Said:
    kind = headers.get("x-amzn-errortype", "").split(":")[0]
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "replace").strip()
        looks_like_a_page = text.startswith("<") or "text/html" in headers.get("content-type", "")
        return _Said(text=None if looks_like_a_page else _bounded(text), codes=(kind,) if kind else ())
    said = _from_object(parsed) if isinstance(parsed, Mapping) else _Said(text=_bounded(parsed))
    return said if not kind else _Said(said.text, (*said.codes, kind), said.param, said.status, said.retry_after_s)


def _from_object(body: Mapping[str, Any]) -> _Said:
    error = body.get("error", body)
    if not isinstance(error, Mapping):
        return _Said(text=_bounded(error))
    if isinstance(error.get("detail"), list):
        return _from_validation(error["detail"])
    details = [item for item in _list(error.get("details")) if isinstance(item, Mapping)]
    codes = [error.get("type"), error.get("__type"), error.get("status"), *(item.get("reason") for item in details), error.get("code")]
    code = error.get("code")
    return _Said(
        text=_bounded(error.get("message") or error.get("Message") or error.get("detail")),
        codes=tuple(code for code in codes if isinstance(code, str)),
        param=_bounded(error.get("param")),
        status=code if isinstance(code, int) and 400 <= code < 600 else None,
        retry_after_s=next((wait for item in details if (wait := _google_delay(item)) is not None), None),
    )


def _from_validation(detail: list[Any]) -> _Said:
    """Read FastAPI's 422: a list of `{loc, msg}`, where `loc` starts with `body`."""
    found = [(".".join(str(part) for part in _list(item.get("loc"))[1:]), str(item.get("msg", ""))) for item in detail if isinstance(item, Mapping)]
    text = "; ".join(f"{where}: {message}" if where else message for where, message in found)
    return _Said(text=_bounded(text), param=_bounded(found[0][0]) if found else None)


def _google_delay(detail: Mapping[str, Any]) -> float | None:
    """Read google.rpc.RetryInfo: `"retryDelay": "34.5s"`."""
    delay = detail.get("retryDelay")
    return _seconds(delay[:-1]) if isinstance(delay, str) and delay.endswith("s") else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    millis = _seconds(headers.get("retry-after-ms", ""))
    if millis is not None:
        return millis / 1000
    value = headers.get("retry-after", "")
    seconds = _seconds(value)
    if seconds is not None or not value:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, OverflowError):
        return None


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _bounded(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    return value.encode("utf-8", "replace")[:TEXT_LIMIT_BYTES].decode("utf-8", "ignore")
