"""Small values for tests of routing."""

from __future__ import annotations

from typing import Any

from app.domain import Complexity, ComplexityTier, Deployment, Facts, Label, LaneName
from app.domain_routing import Condition, Member, Pool, RoutingTable, Rule


def deployment(name: str, clearance: Label = Label.INTERNAL, **fields: Any) -> Deployment:
    return Deployment(name=name, provider="openai", model=name, lane=LaneName.RELAY, clearance=clearance, **fields)


def facts(label: Label = Label.PUBLIC, *, tier: ComplexityTier = ComplexityTier.SIMPLE, score: float = 0.0, prompt_tokens: int = 10, **fields: Any) -> Facts:
    given: dict[str, Any] = {"label_reason": "default", "findings": (), "max_output_tokens": None, "needs": frozenset()} | fields
    return Facts(label=label, complexity=Complexity(score, tier), prompt_tokens=prompt_tokens, **given)


def table(pools: dict[str, list[Deployment]], rules: list[tuple[Condition, str]] | None = None, **fields: Any) -> RoutingTable:
    members = {member.name: member for pool in pools.values() for member in pool}
    given = [Rule(f"rule-{place}", when, use, None if use else "No.") for place, (when, use) in enumerate(rules or [(Condition(), next(iter(pools)))], 1)]
    return RoutingTable(
        deployments=members,
        inactive=fields.pop("inactive", {}),
        pools={name: Pool(name, tuple(Member(each) for each in pool)) for name, pool in pools.items()},
        rules=tuple(given),
        **fields,
    )
