"""How a request would be routed, and why: the same assessment and the same plan as the real path, and nothing is called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app.domain import Usage
from app.errors import GatewayError
from app.gateway.receipt import cost_usd
from app.policy.planner import AUTO, decide, rules_read
from app.policy.rules import mismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.domain import Asked, Attempt, Deployment, Facts, Plan, Snapshot
    from app.domain_routing import RoutingTable, Rule
    from app.policy.rules import ReadyRule


@dataclass(frozen=True, slots=True)
class Explanation:
    """Facts, every rule that was tried, and the plan, or the error that the real path would answer.

    `not_read` are the facts that nothing on the real path read: they are computed for the explanation alone.
    """

    facts: Facts
    rules: tuple[tuple[Rule, str | None], ...]  # each with why it does not match (None: it does)
    plan: Plan | None
    error: GatewayError | None
    not_read: tuple[str, ...] = ()


def explain(table: RoutingTable, facts: Facts, body: Mapping[str, Any], asked: Asked, snapshot: Snapshot) -> Explanation:
    """Return how `decide` comes to its answer for these facts."""
    tried = _tried(rules_read(table, asked.model), facts, asked, snapshot)
    plan, refusal = None, None
    try:
        plan = decide(table, facts, body, asked, snapshot)
    except GatewayError as error:
        refusal = error
    if plan is not None and asked.model in (*table.deployments, *table.pools) and plan.rule not in {"model", "not_cleared"}:
        tried = _tried(rules_read(table, AUTO), facts, replace(asked, model=AUTO), snapshot)  # the model that was named is not cleared
    known = {"complexity": facts.known_complexity, "prompt_tokens": facts.known_prompt_tokens}
    return Explanation(facts, tried, plan, refusal, tuple(name for name, value in known.items() if value is None))


def _tried(rules: Iterable[ReadyRule], facts: Facts, asked: Asked, snapshot: Snapshot) -> tuple[tuple[Rule, str | None], ...]:
    """Return the rules in their order up to the one that matches."""
    tried: list[tuple[Rule, str | None]] = []
    for ready in rules:
        why = mismatch(ready, facts, asked, snapshot)
        tried.append((ready.rule, why))
        if why is None:
            break
    return tuple(tried)


def to_wire(explanation: Explanation) -> dict[str, Any]:
    """Return the explanation as JSON values: kinds, tiers, positions and offsets of findings, never what was found."""
    facts, plan, error = explanation.facts, explanation.plan, explanation.error
    return {
        "label": str(facts.label),
        "label_reason": facts.label_reason,
        "findings": [
            {"kind": found.kind, "tier": str(found.tier), "position": found.position, "start": found.start, "end": found.end} for found in facts.findings
        ],
        "complexity": {
            "score": round(facts.complexity.score, 4),
            "tier": str(facts.complexity.tier),
            "cuts": {"medium": round(facts.complexity.cuts.medium, 4), "complex": round(facts.complexity.cuts.complex, 4)},
            "contributions": {name: round(value, 4) for name, value in facts.complexity.contributions},
        },
        "prompt_tokens": facts.tokens_about,
        "max_output_tokens": facts.max_output_tokens,
        "needs": sorted(facts.needs),
        "not_read": list(explanation.not_read),
        "rules": [
            {"rule": rule.name, "use": rule.use or None, "reject": rule.reject, "matched": why is None, "why_not": why} for rule, why in explanation.rules
        ],
        "plan": _plan(plan, facts) if plan is not None else None,
        "error": error.body()["error"] if error is not None else None,
    }


def _plan(plan: Plan, facts: Facts) -> dict[str, Any]:
    return {
        "rule": plan.rule,
        "pool": plan.pool or None,
        "choice": plan.choice or None,
        "drawn": plan.drawn,
        "arm": plan.arm or None,
        "hedge": plan.hedge,
        "attempts": [_attempt(attempt, facts) for attempt in plan.attempts],
        "if_context_exceeded": [_attempt(attempt, facts) for attempt in plan.if_context_exceeded],
        "excluded": [{"deployment": entry.deployment, "reason": entry.reason} for entry in plan.excluded],
    }


def _attempt(attempt: Attempt, facts: Facts) -> dict[str, Any]:
    deployment = attempt.deployment
    return {"deployment": deployment.name, "reason": attempt.reason, "lane": str(deployment.lane), "estimated_cost_usd": _estimate(deployment, facts)}


def _estimate(deployment: Deployment, facts: Facts) -> float | None:
    """Return the price of the prompt, and of `max_tokens` of answer where the caller said how many."""
    cost = cost_usd(deployment, Usage(facts.tokens_about, facts.max_output_tokens or 0, estimated=True))
    return None if cost is None else round(cost, 8)
