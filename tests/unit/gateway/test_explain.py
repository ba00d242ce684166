from __future__ import annotations

from app.domain import Asked, Finding, Label, Price, Snapshot, Tier
from app.domain_routing import Condition
from app.gateway.explain import explain, to_wire
from tests.unit.policy.table import deployment, facts, table

TABLE = table(
    {"cheap": [deployment("a", price=Price(1e-6, 2e-6))], "local": [deployment("home", Label.CONFIDENTIAL)]},
    [(Condition(min_tokens=99), "local"), (Condition(), "cheap"), (Condition(max_tokens=5), "local")],
    fallback="local",
)


def test_rules_are_told_up_to_the_one_that_matches() -> None:
    told = to_wire(explain(TABLE, facts(max_output_tokens=100), {"model": "auto"}, Asked("auto"), Snapshot()))

    assert told["rules"] == [
        {"rule": "rule-1", "use": "local", "matched": False, "why_not": "10 tokens at most are fewer than 99"},
        {"rule": "rule-2", "use": "cheap", "matched": True, "why_not": None},
    ]
    assert told["plan"]["attempts"] == [
        {"deployment": "a", "reason": "pool cheap", "lane": "relay", "estimated_cost_usd": 0.00021},
        {"deployment": "home", "reason": "fallback local", "lane": "relay", "estimated_cost_usd": None},
    ]


def test_a_named_model_is_asked_of_no_rule() -> None:
    assert to_wire(explain(TABLE, facts(), {"model": "a"}, Asked("a"), Snapshot()))["rules"] == []


def test_what_the_real_path_would_refuse_is_told_as_its_error() -> None:
    told = to_wire(explain(TABLE, facts(Label.INTERNAL), {"model": "nothing"}, Asked("nothing"), Snapshot()))

    assert told["plan"] is None
    assert told["error"]["code"] == "model_not_found"


def test_findings_are_kinds_and_places() -> None:
    found = Finding("email", Tier.HARD, "messages[0].content", 3, 9)

    assert to_wire(explain(TABLE, facts(findings=(found,)), {"model": "auto"}, Asked("auto"), Snapshot()))["findings"] == [
        {"kind": "email", "tier": "hard", "position": "messages[0].content", "start": 3, "end": 9},
    ]
