"""One chat turn from start to finish: assess, plan, cache, attempt, account. Holds no state of a request."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.domain import CONFIDENTIAL, CacheState
from app.errors import RejectedError
from app.gateway.attempts import Walk
from app.gateway.cache_key import PlanIds, cache_key
from app.gateway.deadlines import Deadlines
from app.gateway.decided import Decision, Decisions
from app.gateway.flights import Flights
from app.gateway.reading import Reading
from app.gateway.reply import Reply, StreamReply, WholeReply
from app.gateway.request import Terms
from app.gateway.scores import Scores
from app.gateway.snapshot import IDLE, Stays, ask, take_snapshot
from app.gateway.stored import Place, StoredAnswer
from app.gateway.vitals import Vitals
from app.policy.counting import may_take_long
from app.policy.planner import decide
from app.policy.taint import NOTHING
from app.utils.monitoring import ARMS, CACHE, FINDINGS, ROUTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain import Facts, LaneName, Plan, Snapshot, Tenant
    from app.domain_routing import RoutingTable
    from app.gateway.bounds import ChatLimits
    from app.gateway.ports import Cache, Lane
    from app.gateway.receipt import Receipt
    from app.gateway.request import ChatRequest
    from app.gateway.scans import Scans
    from app.gateway.second_opinion import SecondOpinion
    from app.gateway.stored import Head
    from app.gateway.taint import Conversation, Conversations
    from app.policy.assess import Assessor


_BYPASS: Final = CacheState.BYPASS


@dataclass(slots=True)
class ChatGateway:
    """Serves chat turns. What `Terms` names and `limits` are replaced whole at a reload."""

    table: RoutingTable
    assessor: Assessor
    lanes: Mapping[LaneName, Lane]
    cache: Cache | None
    secret: bytes = field(repr=False)
    limits: ChatLimits
    scans: Scans
    flights: Flights[StoredAnswer] = field(default_factory=Flights)
    vitals: Vitals = field(default_factory=Vitals)
    scores: Scores = field(default_factory=Scores)
    stays: Stays = field(default_factory=Stays)
    decisions: Decisions = field(default_factory=Decisions)
    deadlines: Deadlines = field(default_factory=Deadlines)
    plan_ids: PlanIds = field(default_factory=PlanIds)
    conversations: Conversations | None = None
    second_opinion: SecondOpinion | None = None
    _terms: Terms | None = field(default=None, init=False)  # made once, for all requests up to the next reload

    @property
    def terms(self) -> Terms:
        """What a request that begins now is decided by."""
        terms = self._terms
        if terms is None or terms.table is not self.table or terms.assessor is not self.assessor or terms.second_opinion is not self.second_opinion:
            terms = self._terms = Terms(self.table, self.assessor, self.second_opinion)
        return terms

    async def run(self, request: ChatRequest, receipt: Receipt) -> Reply:
        """Return the reply, its answer begun. Raises GatewayError; `receipt` says what was known by then."""
        limits, terms = self.limits, self.terms
        deadline = time.monotonic() + request.bounds.timeout_below(limits.timeout_s) - (receipt.queue_s or 0.0)
        stream = bool(request.body.get("stream"))
        snapshot = self.snapshot(terms, request)
        reading = self.reading(terms, request)
        facts, conversation = await self._assess(reading, snapshot, receipt)
        asked = ask(terms.table, request)
        try:
            if may_take_long(terms.table, facts):
                plan = await reading.weigh(facts, decide, terms.table, facts, request.body, asked, snapshot)
            else:
                plan = decide(terms.table, facts, request.body, asked, snapshot)
        except RejectedError as error:
            receipt.rule = error.rule
            raise
        receipt.arm = plan.arm or None
        self._note_route(receipt, facts, plan.rule, terms.assessor)
        key = self._cache_key(request, facts, plan)
        place = Place(self.cache, self.flights, key, request.cache_control, limits.cache_ttl_s)
        start = time.perf_counter()
        stored = await place.find(None if stream else deadline)
        self._note_look_up(receipt, place.state, start)
        if stored is not None:
            by_bytes = snapshot is IDLE and terms.second_opinion is None and (conversation is None or conversation.earlier is NOTHING)
            if by_bytes and request.raw is not None and key is not None:
                self.decisions.keep(request.tenant, request.raw, Decision(terms.table, terms.assessor, facts, plan.rule, key, stream))
            _note_stored(receipt, stored)
            return Reply(receipt, stream=stream, body=stored.body)
        walk = self._walk(request, facts, plan, receipt, deadline, stream=stream)
        if conversation is not None:
            walk.lanes = conversation.lanes(self.lanes)
            walk.transcript = conversation.transcript
        reply = (StreamReply if stream else WholeReply)(receipt, walk, place, conversation)
        try:
            await (reply.begin(limits.commit_s) if isinstance(reply, StreamReply) else reply.begin())
        except BaseException:  # one that fails, or whose caller leaves, holds nothing
            reply.drop()
            raise
        if snapshot.conversation and walk.current is not None:
            self.stays.note(snapshot.conversation, walk.current.name)
        if plan.arm:
            ARMS.labels(plan.arm).inc()
        return reply

    async def recall(self, tenant: Tenant, raw: bytes, receipt: Receipt) -> Reply | None:
        """Return the stored answer to a body that was decided over before, as `run` would; None where it has to be read and decided over."""
        decision = self.recallable(tenant, raw)
        if decision is None or self.cache is None:
            return None
        start = time.perf_counter()
        found = await self.cache.get(decision.key)
        stored = None if found is None else StoredAnswer.load(found)
        if stored is None:
            return None
        self.note_replay(decision, stored, receipt, start)
        return Reply(receipt, stream=decision.stream, body=stored.body)

    def recallable(self, tenant: Tenant, raw: bytes) -> Decision | None:
        """Return what was decided over a body, where nothing has happened since that could decide otherwise."""
        if self.cache is None:
            return None
        decision = self.decisions.find(tenant, raw, self.table, self.assessor)
        if decision is None or self.second_opinion is not None or self.vitals.resting():
            return None
        if self.conversations is not None and self.conversations.marks.may_hold(tenant.key_id):
            return None
        return decision

    def note_replay(self, decision: Decision, stored: StoredAnswer | Head, receipt: Receipt, start: float) -> None:
        """Account for a stored answer to a body that was decided over before; `start` is when it was looked for (time.perf_counter)."""
        facts = decision.facts
        receipt.facts = facts
        receipt.assess_s = 0.0
        if facts.findings:
            for kind in facts.kinds:
                FINDINGS.labels(kind).inc()
        self._note_route(receipt, facts, decision.rule, decision.assessor)
        self._note_look_up(receipt, CacheState.HIT, start)
        _note_stored(receipt, stored)

    def snapshot(self, terms: Terms, request: ChatRequest) -> Snapshot:
        """Return what facts and plan of a request depend on beside the request: taken once, so that every decision sees the same."""
        scale = terms.assessor.scale
        cuts = None if scale.target is None else self.scores.cuts(scale)  # None where they stand still
        return take_snapshot(terms.table, self.vitals, self.stays, self.secret, request.tenant, request.body, cuts)

    def reading(self, terms: Terms, request: ChatRequest) -> Reading:
        """Return what reads a request before anything is decided over it."""
        return Reading(request, terms, self.scans, self.conversations, self.limits.timeout_s)

    @staticmethod
    async def _assess(reading: Reading, snapshot: Snapshot, receipt: Receipt) -> tuple[Facts, Conversation | None]:
        start = time.perf_counter()
        conversation = reading.conversation()
        if conversation is not None and conversation.may_carry_on():
            await conversation.recall(reading.carried)
        receipt.facts = facts = reading.facts_at_once(conversation, snapshot.cuts) or await reading.facts(conversation, snapshot.cuts)
        if conversation is not None and facts.label >= CONFIDENTIAL:
            await reading.keep(conversation, facts)
        receipt.assess_s = time.perf_counter() - start
        if facts.findings:
            for kind in facts.kinds:
                FINDINGS.labels(kind).inc()
        return facts, conversation

    def _cache_key(self, request: ChatRequest, facts: Facts, plan: Plan) -> bytes | None:
        """Return the key under which the answer may be stored, or None: a confidential answer never is, nor one that the provider is asked to keep."""
        if self.cache is None or facts.label >= CONFIDENTIAL or request.body.get("store"):
            return None
        plan_id = self.plan_ids.of(plan, facts.label)
        return cache_key(self.secret, tenant=request.tenant.key_id, plan_id=plan_id, body=request.body, headers=request.headers)

    @staticmethod
    def _note_look_up(receipt: Receipt, state: CacheState, start: float) -> None:
        receipt.cache = state
        if state is not _BYPASS:
            receipt.cache_s = time.perf_counter() - start
        CACHE.labels(state).inc()

    def _note_route(self, receipt: Receipt, facts: Facts, rule: str, assessor: Assessor) -> None:
        receipt.rule = rule
        known = facts.known_complexity
        if known is not None:
            self.scores.add(known, assessor.scale)
        ROUTED.labels(facts.label, known.tier if known is not None else "unread", rule).inc()

    def _walk(self, request: ChatRequest, facts: Facts, plan: Plan, receipt: Receipt, deadline: float, *, stream: bool) -> Walk:
        if self.vitals.policy is not self.table.attempts:  # the first request, or the first after a reload
            self.vitals.adopt(self.table.attempts)
        return Walk(plan, request, facts, self.lanes, self.limits, deadline, stream, self.vitals, self.deadlines, receipt.note_wait)


def _note_stored(receipt: Receipt, stored: StoredAnswer | Head) -> None:
    receipt.deployment, receipt.attempts, receipt.cost_usd, receipt.dropped = stored.deployment, 0, 0.0, stored.dropped
