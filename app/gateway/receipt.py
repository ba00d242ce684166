"""What the caller is told of how a request was served; filled in along the turn, so that an error says what was known by then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from app.domain import CacheState, ComplexityTier, Label

if TYPE_CHECKING:
    from app.domain import Complexity, Deployment, Facts, Usage

Header = tuple[bytes, bytes]

_Decided = tuple[str | None, Label | None, ComplexityTier | None, tuple[str, ...], str | None, str | None, CacheState | None, int | None, tuple[str, ...]]


class _Written(NamedTuple):
    """What was decided as headers, as lines of an answer's head, and as fields of the log."""

    headers: tuple[Header, ...]
    lines: bytes
    fields: dict[str, Any]


_ALL_TIMINGS = b"%bassess;dur=%.2f, cache;dur=%.2f, upstream;dur=%.2f, total;dur=%.2f"

_MAX_KEPT = 1024  # names of configuration, kinds, enums and counts: no content, and 1 MB at most
_kept: dict[_Decided, _Written] = {}


class Receipt:
    """The account of one turn. Durations are in seconds, `cost_usd` in US dollars."""

    facts: Facts | None = None
    rule: str | None = None
    arm: str | None = None
    cache: CacheState | None = None
    deployment: str | None = None
    attempts: int | None = None
    dropped: tuple[str, ...] = ()
    ended: str | None = None  # `cut`, `failed` or, by its caller, `left`, for a stream that did not end well
    error: str | None = None  # and what its last event says
    usage: Usage | None = None
    cost_usd: float | None = None
    queue_s: float | None = None  # for a slot, of the gateway or of a deployment
    assess_s: float | None = None
    cache_s: float | None = None
    upstream_s: float | None = None
    _told: tuple[_Written, Complexity | None] | None = None  # by `lines`, of a turn over which everything is decided

    def __init__(self) -> None:
        self.started = time.perf_counter()

    def note_wait(self, seconds: float) -> None:
        """Add to the time that was spent waiting for a slot."""
        self.queue_s = (self.queue_s or 0.0) + seconds

    def headers(self) -> list[Header]:
        """Return the response headers, each where its value is known."""
        found = [*self._written()[0].headers]
        if self.cost_usd is not None:
            found.append((b"x-gateway-cost-usd", b"%.6f" % self.cost_usd))
        found.append((b"server-timing", self._timings()))
        return found

    def lines(self) -> bytes:
        """Return `headers` as lines of an answer's head, of a turn over which everything is decided."""
        self._told = written, _ = self._written()
        cost = b"" if self.cost_usd is None else b"x-gateway-cost-usd: %.6f\r\n" % self.cost_usd
        return b"%b%bserver-timing: %b\r\n" % (written.lines, cost, self._timings())

    def _written(self) -> tuple[_Written, Complexity | None]:
        facts = self.facts
        known = facts.known_complexity if facts is not None else None
        decided: _Decided = (
            self.deployment,
            facts.label if facts is not None else None,
            known.tier if known is not None else None,
            facts.kinds if facts is not None and facts.findings else (),
            self.rule,
            self.arm,
            self.cache,
            self.attempts,
            self.dropped,
        )
        return _kept.get(decided) or _keep(decided), known

    def note(self, fields: dict[str, Any]) -> None:
        """Add what the access log says of the turn: identifiers, enums and counts."""
        written, known = self._told or self._written()
        fields.update(written.fields)
        if self.facts is not None:
            fields["findings"] = len(self.facts.findings)
            if known is not None:
                fields["score"] = int(known.score * 10_000 + 0.5) / 10_000  # `round` takes three times as long
        if self.cost_usd is not None:
            fields["cost_usd"] = round(self.cost_usd, 9)  # without what floats make of sums of small prices
        if self.ended is not None:
            fields["ended"] = self.ended
        if self.error is not None:
            fields["error"] = self.error
        if self.usage is not None:
            fields["prompt_tokens"] = self.usage.prompt_tokens
            fields["completion_tokens"] = self.usage.completion_tokens

    def _timings(self) -> bytes:
        waited = b"" if self.queue_s is None else b"queue;dur=%.2f, " % (self.queue_s * 1000)
        assess_s, cache_s, upstream_s, total_s = self.assess_s, self.cache_s, self.upstream_s, time.perf_counter() - self.started
        if assess_s is not None and cache_s is not None and upstream_s is not None:  # one template costs two thirds of four
            return _ALL_TIMINGS % (waited, assess_s * 1000, cache_s * 1000, upstream_s * 1000, total_s * 1000)
        spans = ((b"assess", assess_s), (b"cache", cache_s), (b"upstream", upstream_s))
        told = b"".join([b"%b;dur=%.2f, " % (name, seconds * 1000) for name, seconds in spans if seconds is not None])
        return b"%b%btotal;dur=%.2f" % (waited, told, total_s * 1000)


def _keep(decided: _Decided) -> _Written:
    """Write out what was decided, and keep that: requests differ in little of it. Raises RuntimeError for what HTTP cannot carry."""
    deployment, label, tier, kinds, rule, arm, cache, attempts, dropped = decided
    word = None if label is None else str(label)
    pairs = (
        (b"x-gateway-deployment", deployment),
        (b"x-gateway-label", word),
        (b"x-gateway-complexity", tier),
        (b"x-gateway-findings", ",".join(kinds) or None),
        (b"x-gateway-rule", rule),
        (b"x-gateway-arm", arm),
        (b"x-gateway-cache", cache),
        (b"x-gateway-attempts", str(attempts) if attempts is not None else None),
        (b"x-gateway-dropped-params", ",".join(dropped) or None),
    )
    headers = tuple((name, value.encode()) for name, value in pairs if value is not None)
    logged = {"label": word, "complexity": tier, "rule": rule, "arm": arm, "deployment": deployment, "cache": cache, "attempts": attempts}
    fields = {name: value for name, value in logged.items() if value is not None}
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers) or b"\0" in lines:
        raise RuntimeError("A header of an answer breaks out of its line.")
    found = _Written(headers, lines, fields)
    if len(_kept) >= _MAX_KEPT:
        _kept.clear()
    _kept[decided] = found
    return found


def cost_usd(deployment: Deployment, usage: Usage) -> float | None:
    """Return what an answer cost at the deployment's price, or None where no price is known."""
    price = deployment.price
    if price is None:
        return None
    cached = min(usage.cached_tokens, usage.prompt_tokens) if usage.cached_tokens else 0
    cached_price = price.cached_input_usd if price.cached_input_usd is not None else price.input_usd
    return (usage.prompt_tokens - cached) * price.input_usd + cached * cached_price + usage.completion_tokens * price.output_usd
