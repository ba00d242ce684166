"""How attempts are made, as frozen values: what leads to another deployment, how often one is asked again, when it rests, and its own limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureClass(StrEnum):
    """Kinds of failure that an operator tells apart; gateway.yaml writes these words."""

    UNAVAILABLE = "unavailable"  # not reached, 5xx, cut, a wrong key or model name, or at rest after such
    RATE_LIMITED = "rate_limited"  # by the provider, or by the deployment's own limits
    TIMEOUT = "timeout"
    CONTEXT_EXCEEDED = "context_exceeded"
    CONTENT_REFUSED = "content_refused"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a deployment rests: after `failures` in a row, or once at least `calls` ended within `window_s` seconds and `rate` of them failed.

    It rests for `cooldown_s` seconds, then one call probes it; each probe that fails doubles the rest, up to `longest_s`.
    """

    failures: int = 3
    rate: float = 0.5
    calls: int = 20
    window_s: float = 60.0
    cooldown_s: float = 5.0
    longest_s: float = 60.0


FALLBACK_ON = frozenset({FailureClass.UNAVAILABLE, FailureClass.RATE_LIMITED, FailureClass.TIMEOUT, FailureClass.CONTEXT_EXCEEDED})


@dataclass(frozen=True, slots=True)
class AttemptPolicy:
    """What follows a failure.

    `retries` is how often a deployment is asked again before the next one is. `wait_s` is the longest wait, in seconds, for a deployment that rests or is at a
    limit of its own, and before a retry while another deployment is left to ask.
    """

    fallback_on: frozenset[FailureClass] = FALLBACK_ON
    retries: int = 1
    wait_s: float = 2.0
    breaker: BreakerPolicy = BreakerPolicy()


@dataclass(frozen=True, slots=True)
class DeploymentLimits:
    """What a deployment may be asked by one process: calls, and tokens of prompts and answers, a minute."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


UNLIMITED = DeploymentLimits()
