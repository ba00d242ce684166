"""The walker: one plan, one attempt after another, for every lane and mode, until an answer has begun or nothing is left to try."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jiter

from app.domain import Failure
from app.errors import AttemptsFailedError, ContextExceededError, InvalidRequestError, UpstreamError
from app.gateway.streaming import StreamWatch, read_usage
from app.utils.logging import get_logger
from app.utils.monitoring import ATTEMPTS, FALLBACKS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from app.domain import Attempt, Call, Deployment, LaneName, Plan, Usage
    from app.gateway.ports import Answer, Lane
    from app.gateway.vitals import Vitals

log = get_logger("attempts")

# What ends a request at once: the caller's own fault, which another provider would only repeat.
_FINAL = frozenset({Failure.REJECTED})

# What says nothing of the deployment's health.
_OF_THE_REQUEST = frozenset({Failure.REJECTED, Failure.CONTEXT_EXCEEDED, Failure.RATE_LIMITED, Failure.NOT_CLEARED})

_MAX_HEAD_BYTES = 1024 * 1024  # what may come before the first token


@dataclass(slots=True)
class Served:
    """An answer that has begun: whole (`body`), or a stream whose first token is in `head`."""

    deployment: Deployment
    answer: Answer
    body: bytes = field(default=b"", repr=False)
    usage: Usage | None = None
    head: bytes = field(default=b"", repr=False)
    watch: StreamWatch | None = None
    chunks: AsyncIterator[bytes] | None = None


@dataclass(slots=True)
class Walk:
    """One walk through a plan. `committed` forbids every further attempt: something has been sent to the caller."""

    plan: Plan
    call: Call  # a template: each attempt replaces its deployment and time-out
    lanes: Mapping[LaneName, Lane]
    deadline: float  # of the event loop's clock, for a whole answer or a stream's first token
    include_usage: bool = False
    vitals: Vitals | None = None
    committed: bool = False
    current: Deployment | None = None
    tried: list[tuple[str, UpstreamError]] = field(default_factory=list)

    @property
    def attempts(self) -> int:
        """How many upstream calls have been begun."""
        return len(self.tried) + (self.current is not None)

    async def run(self) -> Served:
        """Return the first answer that begins. Raises InvalidRequestError with the provider's own text, or AttemptsFailedError."""
        waiting = list(self.plan.attempts)
        while waiting:
            attempt = waiting.pop(0)
            try:
                served = await self._try(attempt, left=len(waiting) + 1)
            except UpstreamError as error:
                self._note(attempt, error)
                if error.failure in _FINAL:
                    raise _caller_fault(error) from error
                if error.failure is Failure.CONTEXT_EXCEEDED:
                    waiting = self._longer()
                    if not waiting:
                        raise _context_exceeded(error) from error
                if self.committed or asyncio.get_running_loop().time() >= self.deadline:
                    break
                continue
            ATTEMPTS.labels(attempt.deployment.name, "ok").inc()
            if self.vitals is not None:
                self.vitals.answered(attempt.deployment.name)
            if self.tried:
                FALLBACKS.labels(attempt.deployment.name).inc()
            return served
        raise AttemptsFailedError(self.tried)

    async def _try(self, attempt: Attempt, *, left: int) -> Served:
        """Make one attempt: half of the time that remains is its own, or all of it where it is the last."""
        loop = asyncio.get_running_loop()
        share = max(0.0, self.deadline - loop.time()) / min(left, 2)
        self.current = attempt.deployment
        call = replace(self.call, deployment=attempt.deployment, timeout_s=share, connect_s=min(self.call.connect_s, share))
        answer: Answer | None = None
        try:
            async with asyncio.timeout(share):
                answer = await self.lanes[attempt.deployment.lane].open(call)
                return await self._begin(attempt.deployment, answer, stream=call.stream)
        except TimeoutError:
            if answer is not None:
                answer.close()
            raise UpstreamError(Failure.TIMEOUT) from None
        except BaseException:
            if answer is not None:
                answer.close()
            raise

    async def _begin(self, deployment: Deployment, answer: Answer, *, stream: bool) -> Served:
        if not stream:
            body = await answer.body()
            return Served(deployment, answer, body=body, usage=_usage_of(body))
        watch = StreamWatch(include_usage=self.include_usage, classify=answer.error_inside)
        chunks = answer.events()
        head = b""
        async for data in chunks:
            head += watch.feed(data)
            if len(head) > _MAX_HEAD_BYTES and not watch.started:
                break
            if watch.started:
                return Served(deployment, answer, head=head, watch=watch, chunks=chunks)
            if watch.ended:
                break
        raise UpstreamError(Failure.BROKEN)  # ended before any token: a cut, whatever it looked like

    def _note(self, attempt: Attempt, error: UpstreamError) -> None:
        name = attempt.deployment.name
        self.tried.append((name, error))
        self.current = None
        if self.vitals is not None and error.failure not in _OF_THE_REQUEST:
            self.vitals.failed(name)
        ATTEMPTS.labels(name, str(error.failure)).inc()
        remedy = {"remedy": error.remedy} if error.remedy else {}
        log.warning("attempt_failed", deployment=name, code=error.label, failure=str(error.failure), **remedy)

    def _longer(self) -> list[Attempt]:
        done = {name for name, _ in self.tried}
        return [attempt for attempt in self.plan.if_context_exceeded if attempt.deployment.name not in done]


def _usage_of(body: bytes) -> Usage | None:
    """Read a whole answer's usage. Raises UpstreamError for what is not a `chat.completion`."""
    try:
        answer: Any = jiter.from_json(body, cache_mode="keys")
    except ValueError:
        raise UpstreamError(Failure.BROKEN) from None
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list) or not answer["choices"]:
        raise UpstreamError(Failure.BROKEN)
    return read_usage(answer.get("usage"))


def _caller_fault(error: UpstreamError) -> InvalidRequestError:
    message = error.provider_text or "The provider refused the request without saying why."
    return InvalidRequestError(message, code=error.provider_code, param=error.param, count_label="refused_by_provider")


def _context_exceeded(error: UpstreamError) -> ContextExceededError:
    message = error.provider_text or "The prompt is longer than the model's context window. Please reduce the length of the messages."
    return ContextExceededError(message, param=error.param or "messages")
