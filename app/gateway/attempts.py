"""The walker: one plan, one attempt after another, for every lane and mode, until an answer has begun or nothing is left to try.

A call that fails is made again where that may help (backoff.py), else the next deployment is asked, as far as the operator's policy and the caller allow it.
A deployment that rests or is at its own limits (vitals.py) is passed over. Where the plan hedges, a second call runs beside a first one that is late.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from app.domain import Call, Failure, Usage
from app.domain_attempts import FailureClass
from app.errors import AttemptsFailedError, ContextExceededError, InvalidRequestError, UpstreamError, without_frames
from app.gateway.backoff import is_worth_another_call, wait_before_retry
from app.gateway.beginning import Served, begin_stream, take_whole
from app.gateway.deadlines import Deadlines, Within
from app.gateway.hedging import race
from app.gateway.vitals import Vitals
from app.utils.logging import get_logger
from app.utils.monitoring import ATTEMPTS, FALLBACKS, HEDGES, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from app.domain import Attempt, Deployment, Facts, LaneName, Plan
    from app.domain_attempts import AttemptPolicy
    from app.gateway.bounds import ChatLimits
    from app.gateway.ports import Answer, Lane
    from app.gateway.request import ChatRequest
    from app.gateway.transcript import Transcript
    from app.gateway.vitals import Lease

log = get_logger("attempts")

# Which class of the operator's policy a failure belongs to; the caller's own fault is in none, which another provider would only repeat.
_CLASS_OF = {
    Failure.TIMEOUT: FailureClass.TIMEOUT,
    Failure.RATE_LIMITED: FailureClass.RATE_LIMITED,
    Failure.LIMITED: FailureClass.RATE_LIMITED,
    Failure.FULL: FailureClass.RATE_LIMITED,
    Failure.CONTEXT_EXCEEDED: FailureClass.CONTEXT_EXCEEDED,
    Failure.CONTENT_REFUSED: FailureClass.CONTENT_REFUSED,
}

_NOT_ASKED = frozenset({Failure.RESTING, Failure.LIMITED})
_CONTENT_REFUSED = FailureClass.CONTENT_REFUSED

_FAIR_S = 10.0  # a time-out sooner than this (or a quarter of LLM_TIMEOUT) says more of X-Timeout, or of a wait for a slot, than of the deployment
_UNPROCESSABLE = 422  # OpenAI's SDKs have a class of their own for it, and none for the other refusals
_AT_ONCE_S = 0.005  # timers fire a little early
_ANSWER_TOKENS = 500  # reserved for an answer whose length the caller does not bound, until its usage is known


@dataclass(slots=True)
class Walk:
    """One walk through a plan.

    `deadline` is of time.monotonic, for everything; `limits` bound each call besides. `on_wait` hears how long a call waited for a slot, in seconds.
    `committed`: something has been sent to the caller, and no other deployment is asked. `draw` gives random numbers in 0..1, `transcript` what hears a
    stream from its beginning.
    """

    plan: Plan
    request: ChatRequest
    facts: Facts
    lanes: Mapping[LaneName, Lane]
    limits: ChatLimits
    deadline: float
    stream: bool
    vitals: Vitals = field(default_factory=Vitals)
    deadlines: Deadlines = field(default_factory=Deadlines)
    on_wait: Callable[[float], None] | None = None
    transcript: Callable[[], Transcript] | None = None
    draw: Callable[[], float] = random.random
    committed: bool = False
    attempts: int = 0  # upstream calls begun
    current: Deployment | None = None
    tried: list[tuple[str, UpstreamError]] = field(default_factory=list)
    abandoned: list[tuple[Deployment, Usage]] = field(default_factory=list)  # what was asked and not waited for, with an estimate of what that used
    _late: str = ""  # of the last call's own limits, the one that it reached
    _flying: list[tuple[Lease, Deployment]] = field(default_factory=list)

    async def run(self) -> Served:
        """Return the first answer that begins. Raises InvalidRequestError with the provider's own text, or AttemptsFailedError."""
        waiting = list(self.plan.attempts)
        try:
            while waiting:
                attempt = waiting.pop(0)
                try:
                    try:
                        served = await self._call(attempt, waiting)
                    except UpstreamError as error:
                        served = await self._call_again(attempt, waiting, error)
                except UpstreamError as error:
                    waiting = self._next(error, waiting)
                    continue
                self.current = served.deployment
                if served.deployment is not self.plan.attempts[0].deployment:
                    FALLBACKS.labels(served.deployment.name).inc()
                return served
            raise AttemptsFailedError(self.tried)
        finally:
            for _, failed in self.tried:
                without_frames(failed)

    def give_up(self) -> None:
        """Account for the calls under way, which are about to be cancelled: what they used is estimated. Idempotent."""
        while self._flying:
            self._abandon(*self._flying[-1])

    async def _call_again(self, attempt: Attempt, waiting: list[Attempt], error: UpstreamError) -> Served:
        """Ask a deployment that has failed again, where that may help. Raises UpstreamError."""
        calls = 0
        patience_s = self._policy.wait_s
        while True:
            last = self._is_last(error, waiting)
            if error.failure in _NOT_ASKED:
                wait_s = error.retry_after_s or 0.0
                patience_s -= wait_s
                if not last or patience_s < 0 or wait_s >= self._left_s():
                    raise error
            else:
                calls += 1
                again_s = self._wait_s(attempt, error, calls, last=last)
                if again_s is None:
                    raise error
                wait_s = again_s
            await _sleep(wait_s)
            try:
                return await self._call(attempt, waiting)
            except UpstreamError as again:
                error = again

    def _wait_s(self, attempt: Attempt, error: UpstreamError, calls: int, *, last: bool) -> float | None:
        """Return the seconds to wait before the same deployment is asked again; None: it is not."""
        policy = self._policy
        if calls > policy.retries or self._is_kept() or not is_worth_another_call(error, last=last):
            return None
        vital = self.vitals.of(attempt.deployment)
        rests_s = vital.rests_s(self.vitals.clock())
        return wait_before_retry(error, calls, self.draw(), rests_s=rests_s, left_s=self._left_s(), wait_s=policy.wait_s, last=last)

    def _next(self, error: UpstreamError, waiting: list[Attempt]) -> list[Attempt]:
        """Return who is asked after a failure, at least one. Raises what the caller is told where that is nobody."""
        failure = error.failure
        allowed = self._allows(error)
        if failure is Failure.REJECTED or (failure is Failure.CONTENT_REFUSED and not (allowed and waiting)):
            raise _caller_fault(error) from error
        if failure is Failure.CONTEXT_EXCEEDED:
            waiting = self._longer() if allowed else []
            if not waiting:
                raise _context_exceeded(error) from error
        if not waiting or not allowed or self.committed or self._left_s() <= 0:
            raise AttemptsFailedError(self.tried, out_of_time=self.tell_limit() if self._left_s() <= _AT_ONCE_S else self._late) from error
        return waiting

    def tell_limit(self) -> str:
        """Return what a caller is told whose request has outlasted its deadline."""
        return self.request.bounds.tell_reached(self.limits.timeout_s)

    def _tell_late(self, lease: Lease, deployment: Deployment, error: UpstreamError, share_s: float) -> str:
        """Return which of the limits of one call was reached; nothing where it was the request's own, or none of ours."""
        limits, own_s = self.limits, deployment.first_token_s
        if not error.is_own_limit:
            return ""
        if not error.sent:
            return f"No connection came about within {limits.connect_s:g} s (CONNECT_TIMEOUT_S)." if limits.connect_s < share_s else ""
        first_token_s = limits.first_token_s if own_s is None else own_s
        if not self.stream or share_s < first_token_s or self.vitals.clock() - lease.started < share_s - _AT_ONCE_S:
            return ""
        return f"No first token came within {share_s:g} s ({'FIRST_TOKEN_TIMEOUT_S' if own_s is None else f'first_token_s of {deployment.name}'})."

    def _allows(self, error: UpstreamError) -> bool:
        """Say whether a failure may lead to another deployment: never after one that may have kept what it was sent (`store: true`)."""
        if _CLASS_OF.get(error.failure, FailureClass.UNAVAILABLE) not in self._policy.fallback_on:
            return False
        return not (error.sent and error.upstream_status is None and self._is_kept())

    def _is_last(self, error: UpstreamError, waiting: list[Attempt]) -> bool:
        """Say whether nobody but the deployment that failed is left to ask now."""
        if self.committed or not self._allows(error):
            return True
        now = self.vitals.clock()
        return all(self.vitals.of(attempt.deployment).rests_s(now) > 0 for attempt in waiting)

    def _is_kept(self) -> bool:
        return bool(self.request.body.get("store"))

    def _left_s(self) -> float:
        return self.deadline - time.monotonic()

    @property
    def _policy(self) -> AttemptPolicy:
        return self.vitals.policy

    def _call(self, attempt: Attempt, waiting: list[Attempt]) -> Coroutine[Any, Any, Served]:
        return self._call_or_race(attempt, waiting) if self.plan.hedge else self._try(attempt, len(waiting) + 1)

    async def _call_or_race(self, attempt: Attempt, waiting: list[Attempt]) -> Served:
        """Ask one deployment, and the next beside it where the pool hedges and the first is late."""
        plan = self.plan
        after_s = self.vitals.hedge_after_s(plan.pool, stream=self.stream)
        if after_s is None or not waiting or self._is_kept():
            return await self._try_sampled(attempt, len(waiting) + 1, after_s)
        served, by_second = await race(
            self._try_sampled(attempt, len(waiting) + 1, after_s), lambda: self._second(waiting), after_s=after_s, give_up=Served.give_up
        )
        if by_second is not None:
            self.give_up()  # the loser
            HEDGES.labels(plan.pool, "second" if by_second else "first").inc()
        return served

    def _second(self, waiting: list[Attempt]) -> Coroutine[Any, Any, Served] | None:
        """Begin a second call beside one that is late, at the next deployment that does not rest."""
        now = self.vitals.clock()
        ready = (attempt for attempt in waiting if self.vitals.of(attempt.deployment).rests_s(now) <= 0)
        attempt = None if self.committed else next(ready, None)
        if attempt is None:
            return None
        waiting.remove(attempt)
        return self._try(attempt, 1, beside=True)

    async def _try_sampled(self, attempt: Attempt, left: int, after_s: float | None) -> Served:
        """Make a pool's first call, and keep how long it took, also where it lost its race: it took that long at least.

        One whose caller left before a race began (`after_s`) says nothing.
        """
        vitals = self.vitals
        started = vitals.clock()
        try:
            served = await self._try(attempt, left)
        except asyncio.CancelledError:
            took_s = vitals.clock() - started
            if after_s is not None and took_s >= after_s:
                vitals.sample(self.plan.pool, took_s, stream=self.stream)
            raise
        vitals.sample(self.plan.pool, vitals.clock() - started, stream=self.stream)
        return served

    async def _try(self, attempt: Attempt, left: int, *, beside: bool = False) -> Served:
        """Make one call: half of the time that remains is its own, or all of it where it is the last, or runs `beside` another. Raises UpstreamError."""
        deployment, stream = attempt.deployment, self.stream
        left_s = self._left_s()
        share_s = 0.0 if left_s < 0 else left_s / 2 if left > 1 else left_s
        if stream:
            share_s = min(share_s, self.limits.first_token_s if deployment.first_token_s is None else deployment.first_token_s)
        lease = self._take(deployment)
        flight = (lease, deployment)
        self._flying.append(flight)
        self.current = deployment
        self.attempts += 1
        answer: Answer | None = None
        try:
            with Within(self.deadlines, share_s):
                answer = await self.lanes[deployment.lane].open(self._call_to(deployment, share_s, lease))
                moves_on = (left > 1 or beside) and _CONTENT_REFUSED in self.vitals.policy.fallback_on
                if stream:
                    heard = self.transcript() if self.transcript is not None else None
                    include_usage = bool((self.request.body.get("stream_options") or {}).get("include_usage"))
                    served = await begin_stream(deployment, answer, include_usage=include_usage, moves_on=moves_on, transcript=heard)
                else:
                    served = take_whole(deployment, answer, await answer.body(), moves_on=moves_on)
        except (TimeoutError, UpstreamError) as exc:
            error = exc if isinstance(exc, UpstreamError) else UpstreamError(Failure.TIMEOUT)
        except BaseException:
            if answer is not None:
                answer.close()
            self._abandon(lease, deployment)
            raise
        else:
            self._flying.remove(flight)
            lease.answered(stream=stream)
            served.lease = lease
            return served
        if answer is not None:
            answer.close()
        self._flying.remove(flight)
        self._note(lease, deployment, error, share_s)
        raise error

    def _call_to(self, deployment: Deployment, timeout_s: float, lease: Lease) -> Call:
        request, facts, limits = self.request, self.facts, self.limits
        return Call(
            deployment,
            facts.label,
            request.body,
            self.stream,
            request.headers,
            limits.connect_s,
            timeout_s,
            limits.idle_s,
            facts,
            self.plan.rule,
            request.tenant.key_id,
            None if deployment.slots is None else partial(self._note_wait, lease),
            None if deployment.slots is None else lease.seat,
        )

    def _note_wait(self, lease: Lease, waited_s: float) -> None:
        """Take a wait for a slot from the time that the deployment itself had."""
        lease.waited_s += waited_s
        if self.on_wait is not None:
            self.on_wait(waited_s)

    def _take(self, deployment: Deployment) -> Lease:
        """Raise UpstreamError where the deployment may not be asked now."""
        vital = self.vitals.of(deployment)
        try:
            return vital.take(self._about_tokens() if vital.counts_tokens else 0)
        except UpstreamError as error:
            self.tried.append((deployment.name, error))
            SKIPPED.labels(deployment.name, str(error.failure)).inc()
            raise

    def _about_tokens(self) -> int:
        return self.facts.tokens_about + (self.facts.max_output_tokens or _ANSWER_TOKENS)

    def _note(self, lease: Lease, deployment: Deployment, error: UpstreamError, share_s: float) -> None:
        name = deployment.name
        self.tried.append((name, error))
        self._late = self._tell_late(lease, deployment, error, share_s)
        lease.failed(error, fair=share_s - lease.waited_s >= min(_FAIR_S, self.limits.timeout_s / 4, self.limits.first_token_s))
        lease.end(served=False)
        remedy = {"remedy": error.remedy} if error.remedy else {}
        log.warning("attempt_failed", deployment=name, code=error.label, failure=str(error.failure), **remedy)

    def _abandon(self, lease: Lease, deployment: Deployment) -> None:
        """Account for a call that is not waited for; one that waits for its slot has used nothing."""
        if (lease, deployment) not in self._flying:
            return
        self._flying.remove((lease, deployment))
        ATTEMPTS.labels(deployment.name, "cancelled").inc()
        if deployment.slots is not None and not lease.seated:
            lease.end(served=False)
            return
        usage = Usage(self.facts.tokens_about, 0, estimated=True)
        self.abandoned.append((deployment, usage))
        lease.vital.spend(deployment, usage)
        lease.end(usage)

    def _longer(self) -> list[Attempt]:
        done = {name for name, _ in self.tried}
        return [attempt for attempt in self.plan.if_context_exceeded if attempt.deployment.name not in done]


async def _sleep(seconds: float) -> None:
    """Sleep that long and no less: an event loop's timers count from when its turn began, and end a little early."""
    until = time.monotonic() + seconds
    while (left_s := until - time.monotonic()) > 0:  # noqa: ASYNC110 -- time is all that is waited for
        await asyncio.sleep(left_s)


def _caller_fault(error: UpstreamError) -> InvalidRequestError:
    message = error.provider_text or "The provider refused the request without saying why."
    code = error.provider_code or ("content_filter" if error.failure is Failure.CONTENT_REFUSED else "invalid_request")
    fault = InvalidRequestError(message, code=code, param=error.param, count_label="refused_by_provider")
    if error.upstream_status == _UNPROCESSABLE:
        fault.status = _UNPROCESSABLE
    return fault


def _context_exceeded(error: UpstreamError) -> ContextExceededError:
    message = error.provider_text or "The prompt is longer than the model's context window. Please reduce the length of the messages."
    return ContextExceededError(message, param=error.param or "messages")
