"""The plan: which deployments may be tried for a request, in which order, and why. A pure function of the routing table, the request and one snapshot."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from app.domain import CONFIDENTIAL, Attempt, Deployment, Excluded, LaneName, OnConflict, Plan
from app.domain_routing import LOCAL, LONG, Choice, Pool
from app.errors import InvalidRequestError, LabelNotClearedError, UnavailableError
from app.policy.confidential import check_fields, check_urls
from app.policy.pools import is_fixed, order
from app.policy.ready import ready
from app.policy.refusals import blame_modalities, is_too_long, not_found, nothing_left, refuse_lacking, refuse_rule, tell_length
from app.policy.rules import Target, first_match

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain import Asked, Capability, Facts, Snapshot
    from app.domain_routing import RoutingTable
    from app.policy.pools import Ordered
    from app.policy.rules import ReadyRule

AUTO: Final = "auto"

_MAX_KEPT: Final = 4096  # plans: rules by labels by the capabilities that requests need


@dataclass(frozen=True, slots=True)
class _Kept:
    """A plan that holds for every request of its kind whose prompt and answer have at most `room` tokens."""

    plan: Plan
    room: float


def make_plan(table: RoutingTable, facts: Facts, asked: Asked, snapshot: Snapshot) -> Plan:
    """Return the ordered attempts for a request that asks for a model: `auto`, a pool or a deployment.

    Raises ModelNotFoundError, NotAllowedError (a rule that rejects), LabelNotClearedError, InvalidRequestError (a capability that nothing has),
    ContextExceededError, or UnavailableError when nothing that may serve the request is active. Where all of it rests, the plan holds what rests, soonest
    first: whether to wait is decided where it is asked. A deployment that is named with `no_fallback` is all that its plan holds, whether it rests or not.
    """
    target = _select(table, facts, asked, snapshot)
    alone = asked.no_fallback and target.is_named
    key = (target.rule, target.source, target.require, facts.label, facts.needs, alone)
    if not snapshot.resting:
        kept: _Kept | None = table.memo.get(key)
        if kept is not None and facts.tokens_at_most + (facts.max_output_tokens or 0) <= kept.room:
            return kept.plan
    builder = _Builder(table, facts, asked.model, snapshot, target.require, alone)
    plan = builder.build(target)
    if builder.is_common and not snapshot.resting and is_fixed(target.pool) and all(is_fixed(table.pools[name]) for name in _others(table)):
        if len(table.memo) >= _MAX_KEPT:
            table.memo.clear()
        table.memo[key] = _Kept(plan, builder.room)
    return plan


def decide(table: RoutingTable, facts: Facts, body: Mapping[str, Any], asked: Asked, snapshot: Snapshot) -> Plan:
    """Return the plan for a request. Raises what `make_plan` raises, and InvalidRequestError for what a confidential request may not carry."""
    try:
        plan = make_plan(table, facts, asked, snapshot)
    except InvalidRequestError as error:
        if facts.label >= CONFIDENTIAL:
            check_urls(body)
        blame_modalities(error, body)
        raise
    if asked.no_fallback:
        plan = replace(plan, attempts=plan.attempts[:1], if_context_exceeded=(), hedge=False)
    if facts.label >= CONFIDENTIAL:
        check_urls(body)
        for attempt in plan.attempts + plan.if_context_exceeded:
            if attempt.deployment.lane is LaneName.RELAY:
                check_fields(body, attempt.deployment.allow_fields)
    return plan


def rules_read(table: RoutingTable, model: str) -> tuple[ReadyRule, ...]:
    """Return the rules that a request for `model` is held to, in their order: all for `auto`, those that could reject it for a name of the configuration."""
    if model == AUTO:
        return ready(table).rules
    if model in table.pools or model in table.deployments:
        return ready(table).guards
    return ready(table).aliases


def _select(table: RoutingTable, facts: Facts, asked: Asked, snapshot: Snapshot) -> Target:
    model = asked.model
    rules = ready(table).by_label[facts.label] if model == AUTO else rules_read(table, model)
    found = first_match(rules, facts, asked, snapshot) if rules else None
    target = None if found is None else found.target
    if found is not None and target is None:
        raise refuse_rule(found.rule)
    if model != AUTO:
        pool = table.pools.get(model) or ready(table).singles.get(model)
        if pool is not None:
            return _named(table, facts, asked, snapshot, pool)
        if target is None or model in table.inactive:
            raise not_found(table, facts, model)
    if target is None:
        raise UnavailableError("No rule of the configuration matches this request: its last rule should have no `when`.", code="no_rule")
    return target


def _named(table: RoutingTable, facts: Facts, asked: Asked, snapshot: Snapshot, pool: Pool) -> Target:
    """Return where a request goes that names a pool or deployment: there, or where `on_conflict` sends what is not cleared for its label."""
    model = asked.model
    members = [member.deployment for member in pool.members]
    if not members or any(member.clearance >= facts.label for member in members):
        lacking = refuse_lacking(members, facts, model)
        if lacking is not None:
            raise lacking
        return Target("model", pool, f"pool {model}" if pool.name else f"{model}, named by the caller", is_named=not pool.name)
    if asked.no_fallback and not pool.name:
        raise LabelNotClearedError(f"The model '{model}' is not cleared for {facts.label} requests, and X-No-Fallback forbids any other.", param="model")
    if table.on_conflict is OnConflict.REJECT:
        raise LabelNotClearedError(f"The model '{model}' is not cleared for {facts.label} requests: ask for `auto`.", param="model")
    if LOCAL in table.pools:
        return Target("not_cleared", table.pools[LOCAL], f"pool {LOCAL}")
    return _select(table, facts, replace(asked, model=AUTO), snapshot)


def _others(table: RoutingTable) -> tuple[str, ...]:
    """Return the pools that any plan may draw on beside its own."""
    return (*((LONG,) if LONG in table.pools else ()), *((table.fallback,) if table.fallback is not None else ()))


@dataclass(slots=True)
class _Builder:
    """One plan in the making. `room` is the smallest window of all that could serve but for its length; `is_common` says that length kept nothing out.

    `alone`: only the target may serve, whatever else the table has.
    """

    table: RoutingTable
    facts: Facts
    model: str
    snapshot: Snapshot
    require: frozenset[Capability]
    alone: bool = False
    room: float = math.inf
    is_common: bool = True
    resting: list[tuple[float, Attempt]] = field(default_factory=list)

    def build(self, target: Target) -> Plan:
        table = self.table
        attempts: dict[str, Attempt] = {}
        excluded: dict[str, str] = {}
        chosen = self._add(target.pool, target.source, attempts, excluded)
        overlong = not self.is_common
        long = None if self.alone else table.pools.get(LONG)
        longer: dict[str, Attempt] = {}
        standing_by = longer
        if long is not None:
            before = len(self.resting)
            self._add(long, f"pool {LONG}", longer, {})
            if overlong:
                attempts = attempts | {name: attempt for name, attempt in longer.items() if name not in attempts}
            if not longer:  # a rest ends: who asks is to come back, and not to shorten the prompt
                standing_by = self._soonest(self.resting[before:])
        if table.fallback is not None and not self.alone:
            self._add(table.pools[table.fallback], f"fallback {table.fallback}", attempts, excluded)
        if not attempts:
            attempts = self._soonest(self.resting)
            excluded = {name: reason for name, reason in excluded.items() if name not in attempts}
        if not attempts:
            tried = [table.deployments[name] for name in excluded]
            raise nothing_left(table, self.facts, self.model, tried, self.require)
        return Plan(
            rule=target.rule,
            pool=target.pool.name,
            attempts=tuple(attempts.values()),
            excluded=tuple(Excluded(name, reason) for name, reason in excluded.items()),
            if_context_exceeded=tuple(standing_by.values()),
            hedge=target.pool.hedge,
            choice="" if is_fixed(target.pool) else _words(target.pool),
            arm=chosen.arm,
            drawn=chosen.drawn,
        )

    def _add(self, pool: Pool, source: str, attempts: dict[str, Attempt], excluded: dict[str, str]) -> Ordered:
        """Add those of a pool that may serve the request, in their order, and why the others may not."""
        usable = []
        for member in pool.members:
            name = member.deployment.name
            if name in attempts or name in excluded:
                continue
            reason = self._unfit(member.deployment)
            rests_s = self.snapshot.resting.get(name) if self.snapshot.resting else None
            if reason is None and rests_s is not None:
                reason = f"rests for {max(1, math.ceil(rests_s))} s"
                self.resting.append((rests_s, Attempt(member.deployment, f"{source}: {reason}, and nothing else is left")))
            if reason is None:
                usable.append(member)
            else:
                excluded[name] = reason
        ordered = order(pool, usable, self.facts, self.snapshot)
        for member, why in ordered.members:
            attempts[member.deployment.name] = Attempt(member.deployment, f"{source}: {why}" if why else source)
        return ordered

    @staticmethod
    def _soonest(resting: list[tuple[float, Attempt]]) -> dict[str, Attempt]:
        """Return those that rest by name, the one whose rest ends first before all others."""
        return {attempt.deployment.name: attempt for _, attempt in sorted(resting, key=itemgetter(0))}

    def _unfit(self, deployment: Deployment) -> str | None:
        """Return why a deployment may never serve the request: what it may hold, what it can do, and its window last."""
        facts = self.facts
        if deployment.clearance < facts.label:
            return f"cleared for {deployment.clearance}, the request is {facts.label}"
        lacking = facts.needs - deployment.capabilities
        if lacking:
            return f"has no {', '.join(sorted(lacking))}"
        if not self.require <= deployment.capabilities:
            return f"has no {', '.join(sorted(self.require - deployment.capabilities))}, which the rule requires"
        if deployment.context_window is not None:
            self.room = min(self.room, deployment.context_window)
        if is_too_long(deployment, facts):
            self.is_common = False
            return tell_length(deployment, facts)
        return None


def _words(pool: Pool) -> str:
    """Return how a pool chooses, as the file spells it."""
    words = [] if pool.choose is Choice.ORDERED else [str(pool.choose)]
    words += ["canary"] if any(member.share is not None for member in pool.members) else []
    words += [f"experiment {pool.experiment}"] if pool.experiment else []
    return ", ".join(words + (["sticky"] if pool.sticky else []))
