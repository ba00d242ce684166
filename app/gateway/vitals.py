"""What is known of each deployment from the calls made to it: whether it rests, how fast it is, how busy, and whether it failed when it was last asked."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

from app.domain import Failure
from app.domain_attempts import UNLIMITED, AttemptPolicy
from app.domain_enums import RestReason
from app.errors import UpstreamError
from app.gateway.allowance import Allowance
from app.gateway.breaker import Breaker
from app.gateway.receipt import cost_usd
from app.utils.logging import get_logger
from app.utils.monitoring import ATTEMPTS, BREAKER, COST_USD, TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.domain import Deployment, Usage
    from app.gateway.breaker import Ended
    from app.gateway.ports import Rests
    from app.utils.monitoring import Counter

log = get_logger("vitals")

_MEMORY_S = 60.0  # a deployment that nobody has asked for so long may be well again
_DECAY_S = 10.0  # of the EWMA: what was measured so long ago counts for a third
_SAMPLES = 200  # of a pool's times to the first token
_ENOUGH_SAMPLES = 20  # before these nobody can say what its slowest twentieth is

# What says nothing of the deployment: the caller's own fault, a refusal of egress, a slot that did not come free.
_OF_THE_REQUEST = frozenset({Failure.REJECTED, Failure.CONTEXT_EXCEEDED, Failure.CONTENT_REFUSED, Failure.NOT_CLEARED, Failure.FULL})
_ANSWERED = frozenset({Failure.REJECTED, Failure.CONTEXT_EXCEEDED, Failure.CONTENT_REFUSED})  # and yet it spoke, so that it is well

_NOBODY: dict[str, float] = {}


class Lease:
    """One call to a deployment, from before it is made until its answer is read or given up: `end` in every case."""

    __slots__ = ("_ended", "_ended_row", "_reserved", "probe", "seated", "started", "vital", "waited_s")

    def __init__(self, vital: Vital, reserved: int, started: float) -> None:
        self.vital = vital
        self._reserved = reserved
        self._ended = False
        self._ended_row: Ended = (0, 0)  # the failures in a row that this answer ended
        self.probe = False
        self.started = started
        self.seated = False  # it has its slot, where the deployment has slots
        self.waited_s = 0.0  # of the time since, in a line of the gateway's own

    def seat(self) -> None:
        """Note that the call has its slot, and is made."""
        self.seated = True

    def answered(self, *, stream: bool) -> float:
        """Note the first token of a stream, or a whole answer; return how long it took."""
        vital = self.vital
        now = vital.clock()
        took = now - self.started
        self._ended_row = vital.answered(now, took, stream=stream, probe=self.probe)
        self.probe = False
        return took

    def failed(self, error: UpstreamError, *, fair: bool = True) -> None:
        """Note how the call failed. `fair` is False for a time-out that a caller chose, or that waiting for a slot left: it says nothing of the deployment."""
        self.vital.failed(error, probe=self.probe, fair=fair)
        self.probe = False

    def cut(self) -> None:
        """Note that a stream broke off after its first token."""
        self.vital.cut(self._ended_row)

    def end(self, usage: Usage | None = None, *, served: bool = True) -> None:
        """Settle what was reserved against what was used; without a count the reservation stands if anything was `served`. Idempotent."""
        if self._ended:
            return
        self._ended = True
        vital = self.vital
        vital.in_flight[vital.name] -= 1
        if self.probe:
            vital.breaker.released(probe=True)
        if self._reserved:
            used = usage.prompt_tokens + usage.completion_tokens if usage is not None else self._reserved if served else 0
            vital.settle(self._reserved - used)


class Vital:
    """The state of one deployment."""

    __slots__ = (
        "_allowance",
        "_cost",
        "_deployment",
        "_measured_at",
        "_ok",
        "_rests",
        "_tokens",
        "_vitals",
        "breaker",
        "clock",
        "counts_tokens",
        "in_flight",
        "name",
        "remedy",
    )

    def __init__(self, deployment: Deployment, vitals: Vitals) -> None:
        self.name = deployment.name
        self.clock = vitals.clock
        self.in_flight = vitals.in_flight
        self.in_flight.setdefault(self.name, 0)
        self.breaker = Breaker(vitals.policy.breaker)
        self.remedy: tuple[str | None, bool] = (None, False)  # of the last failure, and whether a caller may read it
        self._vitals = vitals
        self._rests = False  # as the log was told
        self._deployment = deployment
        self._allowance: Allowance | None = None
        self._measured_at = {True: 0.0, False: 0.0}
        self._ok = ATTEMPTS.labels(self.name, "ok")
        self._tokens: tuple[Counter, Counter] | None = None  # of prompts and of answers, once there were any
        self._cost: Counter | None = None
        BREAKER.labels(self.name).set(0)
        self.limit(deployment)

    def limit(self, deployment: Deployment) -> None:
        """Hold the deployment to its limits, which a reload may have changed."""
        changed = self._allowance is None or deployment.limits != self._deployment.limits
        self._deployment = deployment
        if changed:
            self._allowance = Allowance(deployment.limits, self.clock()) if deployment.limits != UNLIMITED else None
        self.counts_tokens = self._allowance is not None and self._allowance.counts_tokens  # a call needs an estimate of its tokens
        if self._allowance is not None:
            self._vitals.watch(self)

    @property
    def is_limited(self) -> bool:
        """Whether it has limits of its own."""
        return self._allowance is not None

    def rests_s(self, now: float) -> float:
        """Return in how many seconds the smallest call may be made; 0: now."""
        wait = 0.0 if self.breaker.is_closed else self.breaker.rests_s(now)
        return wait if self._allowance is None else max(wait, self._allowance.wait_s(1, now))

    def take(self, tokens: int) -> Lease:
        """Begin a call of about so many tokens. Raises UpstreamError: RESTING or LIMITED, with the seconds after which to ask again."""
        now = self.clock()
        if not self.breaker.is_closed:
            rests_s = self.breaker.rests_s(now)
            if rests_s > 0:
                remedy, tell_caller = self.remedy
                raise UpstreamError(Failure.RESTING, retry_after_s=rests_s, remedy=remedy, tell_caller=tell_caller, sent=False)
        if self._allowance is not None:
            wait_s = self._allowance.wait_s(tokens, now)
            if wait_s > 0:
                raise UpstreamError(Failure.LIMITED, retry_after_s=wait_s, sent=False)
            self._allowance.reserve(tokens, now)
        self.in_flight[self.name] += 1
        lease = Lease(self, tokens, now)
        if not self.breaker.is_closed:
            lease.probe = self.breaker.probe(now)
        return lease

    def settle(self, unused: int) -> None:
        """Return what was reserved and not used."""
        if self._allowance is not None:
            self._allowance.settle(unused, self.clock())

    def spend(self, deployment: Deployment, usage: Usage) -> float | None:
        """Count what an answer used, for the deployment as it was asked; return what it cost in US dollars, or None where no price is known."""
        if self._tokens is None:
            self._tokens = TOKENS.labels(self.name, "prompt"), TOKENS.labels(self.name, "completion")
        prompt, completion = self._tokens
        prompt.inc(usage.prompt_tokens)
        completion.inc(usage.completion_tokens)
        cost = cost_usd(deployment, usage)
        if cost is not None:
            if self._cost is None:
                self._cost = COST_USD.labels(self.name)
            self._cost.inc(cost)
        return cost

    def answered(self, now: float, took_s: float, *, stream: bool, probe: bool) -> Ended:
        """Note an answer; return what it ends, for `cut`.

        How long it took goes into a peak EWMA: that follows a slower answer at once, and faster ones as time passes (Finagle's balancer of that name).
        """
        name, vitals, measured_at = self.name, self._vitals, self._measured_at
        self._ok.inc()
        ended = self.breaker.succeeded(now, probe=probe)
        if probe:
            self._note_back()
        if vitals.failed_at:
            vitals.failed_at.pop(name, None)
        known = vitals.first_token_s if stream else vitals.answer_s
        mean = known.get(name)
        if mean is not None and took_s < mean:
            weight = math.exp((measured_at[stream] - now) / _DECAY_S)
            took_s = mean * weight + took_s * (1 - weight)
        known[name] = took_s
        measured_at[stream] = now
        return ended

    def failed(self, error: UpstreamError, *, probe: bool, fair: bool) -> None:
        """Note a failure."""
        now = self.clock()
        failure = error.failure
        ATTEMPTS.labels(self.name, str(failure)).inc()
        if failure in _OF_THE_REQUEST or (failure is Failure.TIMEOUT and not fair):
            if probe and failure in _ANSWERED:
                self.breaker.succeeded(now, probe=True)
                self._note_back()
            else:
                self.breaker.released(probe=probe)
            return
        self.remedy = (error.remedy, error.tell_caller)
        asked_s = error.retry_after_s if failure in (Failure.RATE_LIMITED, Failure.UNAVAILABLE) else None
        opened = self.breaker.failed(now, probe=probe, asked_s=asked_s)
        reason = RestReason.RETRY_AFTER if asked_s else RestReason.FAILURES
        if failure is not Failure.RATE_LIMITED:
            self._vitals.note_ill(self.name, now)
        if opened:
            self._open(now, reason)

    def cut(self, ended: Ended) -> None:
        """Note an answer that was counted as one, when it `ended` a row of failures, and then broke off."""
        now = self.clock()
        if self.breaker.cut(now, ended):
            self._open(now, RestReason.FAILURES)

    def learn(self, seconds: float) -> None:
        """Rest for so long as another replica says."""
        now = self.clock()
        self.breaker.rest(now, seconds)
        self._note_rest(now, RestReason.REPLICA)

    def _open(self, now: float, reason: RestReason) -> None:
        self._note_rest(now, reason)
        self._vitals.tell(self.name, self.breaker.rests_s(now))

    def _note_rest(self, now: float, reason: RestReason) -> None:
        BREAKER.labels(self.name).set(1)
        self._vitals.watch(self)
        if not self._rests:
            self._rests = True
            log.warning("deployment_rests", deployment=self.name, until_s=round(self.breaker.rests_s(now), 1), reason=str(reason))

    def _note_back(self) -> None:
        BREAKER.labels(self.name).set(0)
        if self._rests:
            self._rests = False
            log.info("deployment_back", deployment=self.name)


class Vitals:
    """The state of every deployment that was asked: one entry each. `rests` is told when one begins to rest, where replicas share that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, policy: AttemptPolicy | None = None) -> None:
        self.clock = clock
        self.policy = policy if policy is not None else AttemptPolicy()
        self.rests: Rests | None = None
        self.in_flight: dict[str, int] = {}
        self.first_token_s: dict[str, float] = {}
        self.answer_s: dict[str, float] = {}
        self._known: dict[str, Vital] = {}
        self._deployments: dict[str, Deployment] = {}
        self._unwell: dict[str, Vital] = {}  # those that rest, or have limits
        self.failed_at: dict[str, float] = {}  # by deployment, until it answers
        self._samples: dict[tuple[str, bool], deque[float]] = {}

    def of(self, deployment: Deployment) -> Vital:
        """Return the state of a deployment; after a reload it keeps all but the limits that changed."""
        name = deployment.name
        if self._deployments.get(name) is deployment:
            return self._known[name]
        vital = self._known.get(name)
        if vital is None:
            vital = self._known[name] = Vital(deployment, self)
        else:
            vital.limit(deployment)
        self._deployments[name] = deployment
        return vital

    def adopt(self, policy: AttemptPolicy) -> None:
        """Go by another policy; what was learnt stays."""
        self.policy = policy
        for vital in self._known.values():
            vital.breaker.policy = policy.breaker

    def resting(self) -> Mapping[str, float]:
        """Return the deployments that may not be asked now, with the seconds until they may."""
        if not self._unwell:
            return _NOBODY
        found: dict[str, float] = {}
        now = self.clock()
        for name, vital in tuple(self._unwell.items()):
            rests_s = vital.rests_s(now)
            if rests_s > 0:
                found[name] = rests_s
            elif vital.breaker.is_closed and not vital.is_limited:
                del self._unwell[name]
        return found

    def watch(self, vital: Vital) -> None:
        """Look at a deployment when `resting` is asked: it may rest from now on."""
        self._unwell[vital.name] = vital

    def learn(self, deployment: Deployment, seconds: float) -> None:
        """Let a deployment rest that another replica found failing."""
        self.of(deployment).learn(seconds)

    def tell(self, name: str, seconds: float) -> None:
        """Tell the other replicas."""
        if self.rests is not None:
            self.rests.tell(name, seconds)

    def note_ill(self, name: str, now: float) -> None:
        """Note that a deployment could not be reached, or could not serve."""
        self.failed_at[name] = now

    def failing(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` whose last attempt failed within the last minute."""
        horizon = self.clock() - _MEMORY_S
        return [name for name in names if self.failed_at.get(name, -math.inf) > horizon]

    def sample(self, pool: str, took_s: float, *, stream: bool) -> None:
        """Keep a time to the first token (or of a whole answer) of a pool that hedges."""
        self._samples.setdefault((pool, stream), deque(maxlen=_SAMPLES)).append(took_s)

    def hedge_after_s(self, pool: str, *, stream: bool) -> float | None:
        """Return the pool's 95th percentile, or None while too little is known."""
        samples = self._samples.get((pool, stream), ())
        if len(samples) < _ENOUGH_SAMPLES:
            return None
        return sorted(samples)[math.ceil(len(samples) * 0.95) - 1]
