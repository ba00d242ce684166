"""How a request would be routed, and why: the same assessment and the same plan as the real path, and nothing is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.domain import Usage
from app.errors import GatewayError
from app.gateway.receipt import cost_usd
from app.policy.planner import decide, rules_read
from app.policy.rules import mismatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain import Asked, Attempt, Deployment, Facts, Plan, Snapshot
    from app.domain_routing import RoutingTable


@dataclass(frozen=True, slots=True)
class Explanation:
    """Facts, every rule that was tried, and the plan, or the error that the real path would answer."""

    facts: Facts
    rules: tuple[tuple[str, str, str | None], ...]  # name, use, why it does not match (None: it does)
    plan: Plan | None
    error: GatewayError | None


def explain(table: RoutingTable, facts: Facts, body: Mapping[str, Any], asked: Asked, snapshot: Snapshot) -> Explanation:
    """Return how `decide` comes to its answer for these facts."""
    tried: list[tuple[str, str, str | None]] = []
    for ready in rules_read(table, asked.model):
        why = mismatch(ready, facts, asked, snapshot)
        tried.append((ready.rule.name, ready.rule.use, why))
        if why is None:
            break
    try:
        return Explanation(facts, tuple(tried), decide(table, facts, body, asked, snapshot), None)
    except GatewayError as error:
        return Explanation(facts, tuple(tried), None, error)


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
            "contributions": {name: round(value, 4) for name, value in facts.complexity.contributions},
        },
        "prompt_tokens": facts.prompt_tokens,
        "max_output_tokens": facts.max_output_tokens,
        "needs": sorted(facts.needs),
        "rules": [{"rule": name, "use": use, "matched": why is None, "why_not": why} for name, use, why in explanation.rules],
        "plan": _plan(plan, facts) if plan is not None else None,
        "error": error.body()["error"] if error is not None else None,
    }


def _plan(plan: Plan, facts: Facts) -> dict[str, Any]:
    return {
        "rule": plan.rule,
        "pool": plan.pool or None,
        "attempts": [_attempt(attempt, facts) for attempt in plan.attempts],
        "if_context_exceeded": [_attempt(attempt, facts) for attempt in plan.if_context_exceeded],
        "excluded": [{"deployment": entry.deployment, "reason": entry.reason} for entry in plan.excluded],
    }


def _attempt(attempt: Attempt, facts: Facts) -> dict[str, Any]:
    deployment = attempt.deployment
    return {"deployment": deployment.name, "reason": attempt.reason, "lane": str(deployment.lane), "estimated_cost_usd": _estimate(deployment, facts)}


def _estimate(deployment: Deployment, facts: Facts) -> float | None:
    """Return the price of the prompt, and of `max_tokens` of answer where the caller said how many."""
    cost = cost_usd(deployment, Usage(facts.prompt_tokens, facts.max_output_tokens or 0, estimated=True))
    return None if cost is None else round(cost, 8)
