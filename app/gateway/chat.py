"""One chat turn from start to finish: assess, plan, cache, attempt, account. Holds no state of a request."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.domain import Asked, CacheState, Call, Label, Snapshot
from app.gateway.attempts import Walk
from app.gateway.cache_key import cache_key
from app.gateway.flights import Flights
from app.gateway.reply import Reply, StreamReply, WholeReply
from app.gateway.stored import Place
from app.gateway.vitals import Vitals
from app.policy.planner import decide
from app.utils.monitoring import CACHE, FINDINGS, ROUTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain import Facts, Hints, LaneName, Plan, Tenant
    from app.domain_routing import RoutingTable
    from app.gateway.cache_control import CacheControl
    from app.gateway.ports import Cache, Lane
    from app.gateway.receipt import Receipt
    from app.gateway.scans import Scans
    from app.gateway.stored import StoredAnswer
    from app.policy.assess import Assessor

# Above this parsing and scanning take milliseconds, and leave the event loop.
SCAN_INLINE_BYTES = 64 * 1024

# What a plan is made from while nothing was measured and nothing rests.
IDLE = Snapshot()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request as the router has read it; `body` is parsed, checked, and without the gateway's own fields."""

    body: dict[str, Any] = field(repr=False)
    size_bytes: int
    tenant: Tenant
    hints: Hints
    cache_control: CacheControl
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tags: frozenset[str] = frozenset()

    @property
    def asked(self) -> Asked:
        """What the caller says beside the conversation."""
        return Asked(self.body["model"], self.tenant.name, self.tags, self.hints)


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """Times in seconds."""

    timeout_s: float = 300.0
    connect_s: float = 5.0
    idle_s: float = 60.0
    commit_s: float = 10.0
    cache_ttl_s: float = 300.0


@dataclass(slots=True)
class ChatGateway:
    """Serves chat turns. `table` is replaced whole at a reload; a turn reads it once."""

    table: RoutingTable
    assessor: Assessor
    lanes: Mapping[LaneName, Lane]
    cache: Cache | None
    secret: bytes = field(repr=False)
    limits: ChatLimits
    scans: Scans
    flights: Flights[StoredAnswer] = field(default_factory=Flights)
    vitals: Vitals = field(default_factory=Vitals)

    async def run(self, request: ChatRequest, receipt: Receipt) -> Reply:
        """Return the reply, its answer begun. Raises GatewayError; `receipt` says what was known by then."""
        deadline = asyncio.get_running_loop().time() + self.limits.timeout_s
        table = self.table
        stream = bool(request.body.get("stream"))
        facts = await self._assess(request, receipt)
        plan = decide(table, facts, request.body, request.asked, self.snapshot(request))
        receipt.rule = plan.rule
        ROUTED.labels(str(facts.label), facts.known_complexity.tier if facts.known_complexity is not None else "unread", plan.rule).inc()
        place = Place(self.cache, self.flights, self._cache_key(request, facts, plan), request.cache_control, self.limits.cache_ttl_s)
        stored = await self._find(place, receipt, stream=stream)
        if stored is not None:
            receipt.deployment, receipt.attempts, receipt.cost_usd, receipt.dropped = stored.deployment, 0, 0.0, stored.dropped
            return Reply(receipt, stream=stream, body=stored.body)
        walk = self._walk(request, facts, plan, receipt, deadline, stream=stream)
        if stream:
            return await _begun(StreamReply(receipt, walk, place, prompt_tokens=facts.tokens_about), self.limits.commit_s)
        return await _begun(WholeReply(receipt, walk, place), self.limits.commit_s)

    def snapshot(self, request: ChatRequest) -> Snapshot:  # noqa: ARG002 -- nothing is read of it yet
        """Return what the plan of a request depends on beside the request: taken once, so that every decision sees the same."""
        return IDLE

    async def assess(self, request: ChatRequest) -> Facts:
        """Return what is known of a request, its forwarded headers included; a long one is scanned off the event loop."""
        going_out = {**request.body, **dict(request.headers)} if request.headers else request.body
        if request.size_bytes <= SCAN_INLINE_BYTES:
            return self.assessor.assess(going_out, request.hints)
        return await self.scans.run(request.tenant.key_id, request.size_bytes, self.assessor.assess, going_out, request.hints)

    async def _assess(self, request: ChatRequest, receipt: Receipt) -> Facts:
        start = time.perf_counter()
        receipt.facts = facts = await self.assess(request)
        receipt.assess_s = time.perf_counter() - start
        for kind in facts.kinds:
            FINDINGS.labels(kind).inc()
        return facts

    def _cache_key(self, request: ChatRequest, facts: Facts, plan: Plan) -> bytes | None:
        """Return the key under which the answer may be stored, or None: a confidential answer never is, nor one that the provider is asked to keep."""
        if self.cache is None or facts.label >= Label.CONFIDENTIAL or request.body.get("store"):
            return None
        names = "\x1f".join(f"{attempt.deployment.name}\x1e{attempt.deployment.model}\x1e{attempt.deployment.base_url}" for attempt in plan.attempts)
        return cache_key(self.secret, tenant=request.tenant.key_id, plan_id=names, body=request.body, headers=request.headers)

    async def _find(self, place: Place, receipt: Receipt, *, stream: bool) -> StoredAnswer | None:
        start = time.perf_counter()
        stored = await place.find(join=not stream, wait_s=self.limits.timeout_s)
        receipt.cache = place.state
        if place.state is not CacheState.BYPASS:
            receipt.cache_s = time.perf_counter() - start
        CACHE.labels(place.state).inc()
        return stored

    def _walk(self, request: ChatRequest, facts: Facts, plan: Plan, receipt: Receipt, deadline: float, *, stream: bool) -> Walk:
        limits = self.limits
        call = Call(
            deployment=plan.attempts[0].deployment,
            label=facts.label,
            body=request.body,
            stream=stream,
            headers=request.headers,
            connect_s=limits.connect_s,
            timeout_s=limits.timeout_s,
            idle_s=limits.idle_s,
            facts=facts,
            rule=plan.rule,
            tenant=request.tenant.key_id,
            on_wait=receipt.note_wait,
        )
        include_usage = bool((request.body.get("stream_options") or {}).get("include_usage"))
        return Walk(plan, call, self.lanes, deadline=deadline, include_usage=include_usage, vitals=self.vitals)


async def _begun(reply: StreamReply | WholeReply, commit_s: float) -> Reply:
    """Begin a reply; one that fails, or whose caller leaves, holds nothing."""
    try:
        await (reply.begin(commit_s) if isinstance(reply, StreamReply) else reply.begin())
    except BaseException:
        reply.drop()
        raise
    return reply
