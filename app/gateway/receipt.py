"""What the caller is told of how a request was served; filled in along the turn, so that an error says what was known by then."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.domain import CacheState, Deployment, Facts, Usage

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Receipt:
    """The account of one turn. Durations are in seconds, `cost_usd` in US dollars."""

    started: float = field(default_factory=time.perf_counter)
    facts: Facts | None = None
    rule: str | None = None
    arm: str | None = None
    cache: CacheState | None = None
    deployment: str | None = None
    attempts: int | None = None
    dropped: tuple[str, ...] = ()
    ended: str | None = None  # `cut` or `failed`, for a stream that did not end well
    usage: Usage | None = None
    cost_usd: float | None = None
    queue_s: float | None = None  # for a slot, of the gateway or of a deployment
    assess_s: float | None = None
    cache_s: float | None = None
    upstream_s: float | None = None

    def note_wait(self, seconds: float) -> None:
        """Add to the time that was spent waiting for a slot."""
        self.queue_s = (self.queue_s or 0.0) + seconds

    def headers(self) -> list[Header]:
        """Return the response headers, each where its value is known."""
        found: list[Header] = []
        if self.deployment is not None:
            found.append((b"x-gateway-deployment", self.deployment.encode()))
        if self.facts is not None:
            found.append((b"x-gateway-label", str(self.facts.label).encode()))
            if self.facts.known_complexity is not None:
                found.append((b"x-gateway-complexity", self.facts.known_complexity.tier.encode()))
            if self.facts.findings:
                found.append((b"x-gateway-findings", ",".join(self.facts.kinds).encode()))
        found += [(name, word.encode()) for name, word in ((b"x-gateway-rule", self.rule), (b"x-gateway-arm", self.arm)) if word is not None]
        if self.cache is not None:
            found.append((b"x-gateway-cache", self.cache.encode()))
        if self.attempts is not None:
            found.append((b"x-gateway-attempts", b"%d" % self.attempts))
        if self.cost_usd is not None:
            found.append((b"x-gateway-cost-usd", f"{self.cost_usd:.6f}".encode()))
        if self.dropped:
            found.append((b"x-gateway-dropped-params", ",".join(self.dropped).encode()))
        found.append((b"server-timing", self._timings().encode()))
        return found

    def log_fields(self) -> dict[str, Any]:
        """Return what the access log says of the turn: identifiers, enums and counts."""
        fields: dict[str, Any] = {}
        if self.facts is not None:
            fields |= {"label": str(self.facts.label), "findings": len(self.facts.findings)}
            if self.facts.known_complexity is not None:
                fields |= {"complexity": str(self.facts.known_complexity.tier), "score": round(self.facts.known_complexity.score, 4)}
        pairs = {
            "rule": self.rule,
            "arm": self.arm,
            "deployment": self.deployment,
            "cache": self.cache,
            "attempts": self.attempts,
            "cost_usd": self.cost_usd,
            "ended": self.ended,
        }
        fields |= {name: value for name, value in pairs.items() if value is not None}
        if self.usage is not None:
            fields |= {"prompt_tokens": self.usage.prompt_tokens, "completion_tokens": self.usage.completion_tokens}
        return fields

    def _timings(self) -> str:
        total = time.perf_counter() - self.started
        known = (("queue", self.queue_s), ("assess", self.assess_s), ("cache", self.cache_s), ("upstream", self.upstream_s), ("total", total))
        return ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in known if seconds is not None)


def cost_usd(deployment: Deployment, usage: Usage) -> float | None:
    """Return what an answer cost at the deployment's price, or None where no price is known."""
    price = deployment.price
    if price is None:
        return None
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cached_price = price.cached_input_usd if price.cached_input_usd is not None else price.input_usd
    return (usage.prompt_tokens - cached) * price.input_usd + cached * cached_price + usage.completion_tokens * price.output_usd
