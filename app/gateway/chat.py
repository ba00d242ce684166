"""One chat turn from start to finish: assess, plan, cache, attempt, account. Holds no state of a request."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.domain import CacheState, Call, Label, Usage
from app.gateway.attempts import Walk
from app.gateway.cache_key import cache_key
from app.gateway.flights import Flights, Landed
from app.gateway.reply import Reply, StoredAnswer
from app.policy.planner import decide
from app.utils.monitoring import CACHE, FINDINGS, ROUTED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from app.domain import Facts, Hints, LaneName, Plan, RoutingTable, Tenant
    from app.gateway.cache_control import CacheControl
    from app.gateway.ports import Cache, Lane
    from app.gateway.receipt import Receipt
    from app.policy.assess import Assessor

# Above this a scan takes milliseconds and leaves the event loop.
_SCAN_INLINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request as the router has read it; `body` is parsed, checked, and without the gateway's own fields."""

    body: dict[str, Any] = field(repr=False)
    size_bytes: int
    tenant: Tenant
    hints: Hints
    cache_control: CacheControl
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


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
    scan_pool: Executor
    flights: Flights[StoredAnswer] = field(default_factory=Flights)

    async def run(self, request: ChatRequest, receipt: Receipt) -> Reply:
        """Return the reply, its answer begun. Raises GatewayError; `receipt` says what was known by then."""
        table = self.table
        facts = await self._assess(request, receipt)
        plan = decide(table, facts, request.body)
        receipt.rule = plan.rule
        ROUTED.labels(str(facts.label), str(facts.complexity.tier), plan.rule).inc()
        key = self._cache_key(request, facts, plan)
        stream = bool(request.body.get("stream"))
        stored = await self._look_up(key, request, receipt)
        lead = None
        if stored is None and key is not None and receipt.cache is CacheState.MISS and not stream:
            seat = await self.flights.board(key, wait_s=self.limits.timeout_s)
            stored, lead = (seat.value, None) if isinstance(seat, Landed) else (None, seat)
            receipt.cache = CacheState.JOINED if stored is not None else CacheState.MISS
        CACHE.labels(receipt.cache).inc()
        if stored is not None:
            receipt.deployment, receipt.attempts, receipt.cost_usd = stored.deployment, 0, 0.0
            return Reply.of_stored(stored, receipt, stream=stream)
        reply = Reply(receipt, stream=stream)
        if key is not None and self.cache is not None and not request.cache_control.no_store:
            reply.store_in(self.cache, key, self.limits.cache_ttl_s)
        try:
            await self._attempt(request, facts, plan, reply)
            if lead is not None and reply.stored is not None:
                lead.land(reply.stored)
        except BaseException:
            reply.drop()
            raise
        finally:
            if lead is not None:
                lead.abandon()
        return reply

    async def _assess(self, request: ChatRequest, receipt: Receipt) -> Facts:
        start = time.perf_counter()
        if request.size_bytes > _SCAN_INLINE_BYTES:
            loop = asyncio.get_running_loop()
            facts = await loop.run_in_executor(self.scan_pool, self.assessor.assess, request.body, request.hints)
        else:
            facts = self.assessor.assess(request.body, request.hints)
        receipt.assess_s = time.perf_counter() - start
        receipt.facts = facts
        for kind in facts.kinds:
            FINDINGS.labels(kind).inc()
        return facts

    def _cache_key(self, request: ChatRequest, facts: Facts, plan: Plan) -> bytes | None:
        """Return the key under which the answer may be stored, or None: a confidential answer never is, nor one that the provider is asked to keep."""
        if self.cache is None or facts.label >= Label.CONFIDENTIAL or request.body.get("store"):
            return None
        names = "\x1f".join(f"{attempt.deployment.name}\x1e{attempt.deployment.model}\x1e{attempt.deployment.base_url}" for attempt in plan.attempts)
        return cache_key(self.secret, tenant=request.tenant.key_id, plan_id=names, body=request.body, headers=request.headers)

    async def _look_up(self, key: bytes | None, request: ChatRequest, receipt: Receipt) -> StoredAnswer | None:
        if key is None or self.cache is None or request.cache_control.no_cache:
            receipt.cache = CacheState.BYPASS
            return None
        start = time.perf_counter()
        raw = await self.cache.get(key)
        receipt.cache_s = time.perf_counter() - start
        stored = StoredAnswer.load(raw) if raw is not None else None
        if stored is not None and stored.age_s() > request.cache_control.max_age_s:
            stored = None
        receipt.cache = CacheState.MISS if stored is None else CacheState.HIT
        return stored

    async def _attempt(self, request: ChatRequest, facts: Facts, plan: Plan, reply: Reply) -> None:
        loop = asyncio.get_running_loop()
        limits = self.limits
        stream = bool(request.body.get("stream"))
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
        )
        include_usage = bool((request.body.get("stream_options") or {}).get("include_usage"))
        walk = Walk(plan, call, self.lanes, deadline=loop.time() + limits.timeout_s, include_usage=include_usage)
        reply.begin(walk, Usage(facts.prompt_tokens, 0, estimated=True))
        await (reply.wait_first_token(limits.commit_s) if stream else reply.wait_whole())
