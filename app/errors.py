"""The error tree, with what each error is on the wire: OpenAI's body, so that every SDK raises its own exception class.

GatewayError                     status  type                      code
├── InvalidRequestError          400 [1] invalid_request_error     (as given)
│   ├── BodyTooLargeError        413     invalid_request_error     request_too_large
│   ├── MediaTypeError           415     invalid_request_error     unsupported_media_type
│   ├── HeadTooLargeError        431     invalid_request_error     request_head_too_large
│   ├── BodyTimeoutError         408     invalid_request_error     request_timeout
│   └── ContextExceededError     400     invalid_request_error     context_length_exceeded
├── AuthenticationError          401     invalid_request_error     invalid_api_key
├── NotAllowedError              403     invalid_request_error     (as given)
│   ├── RejectedError            403     invalid_request_error     request_rejected
│   └── LabelNotClearedError     403     invalid_request_error     label_not_cleared
├── NotFoundError                404     invalid_request_error     not_found
│   └── ModelNotFoundError       404     invalid_request_error     model_not_found
├── MethodNotAllowedError        405     invalid_request_error     method_not_allowed
├── ConflictError                409     invalid_request_error     (as given)
├── RateLimitedError             429     rate_limit_error          rate_limit_exceeded
├── InternalError                500     server_error              internal_error
├── UnavailableError             503     server_error              (as given)
│   └── OverloadedError          503     server_error              server_overloaded
├── UpstreamError                (one attempt; the walker turns it into one of those around it)
└── AttemptsFailedError          502-504 server_error              upstream_error, upstream_unavailable, upstream_timeout, server_overloaded

[1] 422 where a provider said so.

A message is a sentence for the caller that says what to do next. It never holds the text of another exception, and a caller's values only where the
caller sent them in the same request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from app.domain import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class GatewayError(Exception):
    """What the gateway answers instead of an answer."""

    status: int = 500
    type: str = "server_error"
    code: str | None = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        count_label: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else type(self).code
        self.count_label = count_label or self.code or self.type  # for the metric: never a word of a provider or a caller
        self.param = param
        self.headers: Mapping[str, str] = headers or {}

    def body(self) -> dict[str, object]:
        """Return OpenAI's error body (schema `ErrorResponse` of its API description)."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequestError(GatewayError):
    """The request cannot be understood or is not allowed as it stands."""

    status = 400
    type = "invalid_request_error"
    code: str | None = None


class BodyTooLargeError(InvalidRequestError):
    """The body is over MAX_BODY_BYTES."""

    status = 413
    code = "request_too_large"


class MediaTypeError(InvalidRequestError):
    """The body is not announced as JSON."""

    status = 415
    code = "unsupported_media_type"


class HeadTooLargeError(InvalidRequestError):
    """URL and headers are larger than a head may be."""

    status = 431
    code = "request_head_too_large"


class BodyTimeoutError(InvalidRequestError):
    """The body stopped arriving before it was whole."""

    status = 408
    code = "request_timeout"


class ContextExceededError(InvalidRequestError):
    """The prompt fits no deployment that may serve it."""

    code = "context_length_exceeded"


class AuthenticationError(GatewayError):
    """No key, or one that is not known."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class NotAllowedError(GatewayError):
    """Understood, and refused."""

    status = 403
    type = "invalid_request_error"
    code = "forbidden"


class RejectedError(NotAllowedError):
    """A rule of the configuration rejects the request, in the operator's words."""

    code = "request_rejected"

    def __init__(self, message: str, *, rule: str) -> None:
        super().__init__(message)
        self.rule = rule


class LabelNotClearedError(NotAllowedError):
    """The named model may not hold what the request holds (`on_conflict: reject`)."""

    code = "label_not_cleared"


class NotFoundError(GatewayError):
    """No such path or thing."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFoundError(NotFoundError):
    """No active deployment, pool or alias has that name."""

    code = "model_not_found"


class MethodNotAllowedError(GatewayError):
    """The path is served, by another method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class ConflictError(GatewayError):
    """What is stored does not go with what is asked."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class RateLimitedError(GatewayError):
    """The caller is over a limit of the gateway's own."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class InternalError(GatewayError):
    """A fault of ours; the log has its class and frames under the request's id."""

    status = 500
    code = "internal_error"


class UnavailableError(GatewayError):
    """Something that the request needs is down; it says what to start."""

    status = 503
    code = "unavailable"


class OverloadedError(UnavailableError):
    """There is more to do than the gateway takes on at once; `retry-after` says when to come back."""

    code = "server_overloaded"


class UpstreamError(GatewayError):
    """One attempt that failed.

    `provider_text` is the provider's own message about the caller's request: for that caller and for nobody else (no log, metric or trace). `remedy` is a
    sentence for the operator's log; `tell_caller` marks one that the caller may read too (a local server to start). `retry_after_s` is what the provider
    asked for. `sent` says whether any byte of the request may have left.
    """

    status = 502
    code = "upstream_error"

    def __init__(
        self,
        failure: Failure,
        *,
        upstream_status: int | None = None,
        provider_text: str | None = None,
        provider_code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        remedy: str | None = None,
        tell_caller: bool = False,
        sent: bool = True,
    ) -> None:
        super().__init__(f"The provider failed: {failure}.", param=param)
        self.failure = failure
        self.upstream_status = upstream_status
        self.provider_text = provider_text
        self.provider_code = provider_code
        self.retry_after_s = retry_after_s
        self.remedy = remedy
        self.tell_caller = tell_caller
        self.sent = sent

    @property
    def label(self) -> str:
        """Return a short code for logs, metrics and the caller's list of what was tried: the upstream's status, or the kind of failure."""
        return str(self.upstream_status) if self.upstream_status else str(self.failure)

    @property
    def is_own_limit(self) -> bool:
        """Whether a limit of the gateway's was reached; a time-out can be a provider's word, too."""
        return self.failure is Failure.TIMEOUT and self.upstream_status is None and self.provider_code is None


_NOT_ASKED = frozenset({Failure.RESTING, Failure.LIMITED})  # they decide the status only where nobody was, or was for its length alone


class AttemptsFailedError(GatewayError):
    """Every attempt of the plan failed; the message lists deployments and codes. `out_of_time` says which limit was reached, where that was it."""

    _BY_FAILURE: ClassVar[Mapping[Failure, tuple[int, str]]] = {
        Failure.TIMEOUT: (504, "upstream_timeout"),
        Failure.UNREACHABLE: (503, "upstream_unavailable"),
        Failure.RATE_LIMITED: (503, "upstream_unavailable"),
        Failure.UNAVAILABLE: (503, "upstream_unavailable"),
        Failure.RESTING: (503, "upstream_unavailable"),
        Failure.LIMITED: (503, "upstream_unavailable"),
        Failure.FULL: (503, "server_overloaded"),
    }

    def __init__(self, tried: Sequence[tuple[str, UpstreamError]], *, out_of_time: str = "") -> None:
        asked = [error for _, error in tried if error.failure not in _NOT_ASKED]
        rest = [error for _, error in tried if error.failure in _NOT_ASKED]
        if rest and all(error.failure is Failure.CONTEXT_EXCEEDED for error in asked):
            last = min(rest, key=lambda error: error.retry_after_s or 0.0)  # the soonest
        else:
            last = asked[-1]
        status, code = self._BY_FAILURE.get(last.failure, (502, "upstream_error"))
        if last.remedy is not None and last.tell_caller:
            status, code = 503, "upstream_unavailable"
        listed = ", ".join(f"{name} ({error.label})" for name, error in tried)
        why = out_of_time if out_of_time and status == 504 else "No deployment could answer."
        message = f"{why} Tried: {listed}."
        if last.remedy is not None:
            message += f" {last.remedy}" if last.tell_caller else " The gateway's log says what its operator can do."
        headers: dict[str, str] = {}
        if status == 503:
            headers["retry-after"] = later_s = str(max(1, round(last.retry_after_s or 5)))
            message += f" Ask again in {later_s} s." if last.remedy is None else ""
        elif all(error.failure is Failure.OPERATOR for error in asked):  # a wrong key stays one
            headers["x-should-retry"] = "false"
        super().__init__(message, code=code, headers=headers)
        self.status = status


def without_frames(error: UpstreamError) -> UpstreamError:
    """Return an error that is kept, without the frames that it was raised through and without what it came of.

    They hold the request, and where one of them holds the error, both are left to the garbage collector.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
