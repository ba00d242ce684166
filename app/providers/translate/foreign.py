"""What LiteLLM's own exceptions mean, by class along the MRO. Their texts hold prompts and keys, and go nowhere."""

from __future__ import annotations

from app.domain import Failure
from app.errors import UpstreamError
from app.utils.logging import get_logger
from app.utils.monitoring import FAULTS

_log = get_logger("translate")

# Classes of `litellm.exceptions`. What is wrong with our own configuration is OPERATOR: never the caller's 400, although LiteLLM derives it from one.
_FAILURES = {
    "APIConnectionError": Failure.BROKEN,
    "APIError": Failure.BROKEN,
    "APIResponseValidationError": Failure.BROKEN,
    "AuthenticationError": Failure.OPERATOR,
    "BadGatewayError": Failure.BROKEN,
    "BadRequestError": Failure.REJECTED,
    "BlockedPiiEntityError": Failure.BROKEN,
    "BudgetExceededError": Failure.BROKEN,
    "ContentPolicyViolationError": Failure.REJECTED,
    "ContextWindowExceededError": Failure.CONTEXT_EXCEEDED,
    "GuardrailRaisedException": Failure.BROKEN,
    "ImageFetchError": Failure.REJECTED,
    "InternalServerError": Failure.BROKEN,
    "InvalidRequestError": Failure.REJECTED,
    "JSONSchemaValidationError": Failure.BROKEN,
    "LiteLLMUnknownProvider": Failure.OPERATOR,
    "MidStreamFallbackError": Failure.BROKEN,
    "MockException": Failure.BROKEN,
    "ModelNotMappedError": Failure.OPERATOR,
    "ModifyResponseException": Failure.BROKEN,
    "NotFoundError": Failure.OPERATOR,
    "OpenAIError": Failure.BROKEN,
    "PaymentRequiredError": Failure.OPERATOR,
    "PermissionDeniedError": Failure.OPERATOR,
    "RateLimitError": Failure.RATE_LIMITED,
    "RejectedRequestError": Failure.REJECTED,
    "SensitiveDataRouteException": Failure.BROKEN,
    "ServiceUnavailableError": Failure.UNAVAILABLE,
    "Timeout": Failure.TIMEOUT,
    "UnprocessableEntityError": Failure.REJECTED,
    "UnsupportedParamsError": Failure.REJECTED,
    "VectorStoreSearchError": Failure.BROKEN,
}

# What a translator raises over a body that it did not expect; LiteLLM also raises plain `Exception`.
_OVER_THE_BODY = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def failure_named(exc: BaseException) -> Failure | None:
    """Return what a class of `litellm.exceptions` means; None for any other."""
    for cls in type(exc).__mro__:
        if cls.__module__ == "litellm.exceptions" and cls.__name__ in _FAILURES:
            return _FAILURES[cls.__name__]
    return None


def building(exc: Exception, provider: str, *, reads_body: bool) -> UpstreamError:
    """Return what an exception means that was raised while a request was translated; nothing was sent.

    `reads_body`: it came while the caller's body was read. Before that only the deployment's configuration can be at fault.
    """
    _count(exc, "request", provider)
    failure = failure_named(exc)
    status = getattr(exc, "status_code", None)
    if failure is None and isinstance(status, int) and 400 <= status < 500:  # a translator's own error class, by which it refuses a request
        failure = Failure.REJECTED
    if failure is None and status is None and reads_body and (type(exc) is Exception or isinstance(exc, _OVER_THE_BODY)):
        failure = Failure.REJECTED
    if failure is Failure.REJECTED:
        text = (
            f"This request cannot be translated for provider `{provider}`. Check that each tool's `parameters` is a valid JSON schema, that each"
            " `tool_call_id` names a tool call of a message before it, and that every field is of the type that OpenAI's API has for it."
        )
        return UpstreamError(failure, provider_text=text, provider_code="unsupported_request", sent=False)
    return UpstreamError(failure or Failure.BROKEN, sent=False)


def reading(exc: Exception, provider: str) -> UpstreamError:
    """Return what an exception means that was raised while an answer was translated: the provider's bytes are not its dialect."""
    _count(exc, "answer", provider)
    return UpstreamError(Failure.BROKEN)


def _count(exc: Exception, direction: str, provider: str) -> None:
    FAULTS.labels(part="translate").inc()
    _log.fault("translation_failed", exc, direction=direction, provider=provider)
