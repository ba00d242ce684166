from __future__ import annotations

from dataclasses import replace

from app.domain import Asked, Finding, Hints, Label, Price, Snapshot, Tier
from app.domain_routing import Choice, Condition, Member, Pool
from app.gateway.explain import explain, to_wire
from app.policy.assess import Assessor
from tests.unit.policy.table import deployment, facts, table

TABLE = table(
    {"cheap": [deployment("a", price=Price(1e-6, 2e-6))], "local": [deployment("home", Label.CONFIDENTIAL)]},
    [(Condition(min_tokens=99), "local"), (Condition(), "cheap"), (Condition(max_tokens=5), "local")],
    fallback="local",
)


def test_rules_are_told_up_to_the_one_that_matches() -> None:
    told = to_wire(explain(TABLE, facts(max_output_tokens=100), {"model": "auto"}, Asked("auto"), Snapshot()))

    assert told["rules"] == [
        {"rule": "rule-1", "use": "local", "reject": None, "matched": False, "why_not": "10 tokens at most are fewer than 99"},
        {"rule": "rule-2", "use": "cheap", "reject": None, "matched": True, "why_not": None},
    ]
    assert told["plan"]["attempts"] == [
        {"deployment": "a", "reason": "pool cheap", "lane": "relay", "estimated_cost_usd": 0.00021},
        {"deployment": "home", "reason": "fallback local", "lane": "relay", "estimated_cost_usd": None},
    ]


def test_a_named_model_is_asked_of_no_rule() -> None:
    assert to_wire(explain(TABLE, facts(), {"model": "a"}, Asked("a"), Snapshot()))["rules"] == []


def test_a_named_model_is_held_to_the_rules_up_to_the_last_that_rejects() -> None:
    routing = table({"cheap": [deployment("a")]}, [(Condition(min_score=0.9), "cheap"), (Condition(tags=frozenset({"x"})), ""), (Condition(), "cheap")])

    told = to_wire(explain(routing, facts(), {"model": "a"}, Asked("a"), Snapshot()))

    assert [(rule["rule"], rule["reject"], rule["why_not"]) for rule in told["rules"]] == [
        ("rule-1", None, "score 0.000 is below 0.9"),
        ("rule-2", "No.", "is not tagged x"),
    ]


def test_a_named_model_that_is_not_cleared_is_told_by_the_rules_that_answer_in_its_place() -> None:
    routing = table({"cheap": [deployment("a")], "safe": [deployment("home", Label.CONFIDENTIAL)]}, [(Condition(max_tokens=5), "cheap"), (Condition(), "safe")])

    told = to_wire(explain(routing, facts(Label.CONFIDENTIAL), {"model": "a"}, Asked("a"), Snapshot()))

    assert [(rule["rule"], rule["matched"]) for rule in told["rules"]] == [("rule-1", False), ("rule-2", True)]
    assert told["plan"]["rule"] == "rule-2"


def test_what_no_rule_read_is_said_beside_the_plan() -> None:
    assessor = Assessor()
    body = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}
    read = table({"cheap": [deployment("a")]}, [(Condition(min_tokens=20), "cheap"), (Condition(min_score=0.9), "cheap"), (Condition(), "cheap")])
    unread = table({"cheap": [deployment("a")]}, [(Condition(min_tokens=9999), "cheap"), (Condition(), "cheap")])

    told = [to_wire(explain(each, assessor.assess(body, Hints()), body, Asked("auto"), Snapshot())) for each in (read, unread)]

    assert [each["not_read"] for each in told] == [[], ["complexity", "prompt_tokens"]]
    assert told[0]["complexity"] == told[1]["complexity"]
    assert told[0]["prompt_tokens"] == told[1]["prompt_tokens"] > 0


def test_how_a_pool_chose_is_told_with_the_draw_and_the_arm() -> None:
    arms = Pool("p", (Member(deployment("a"), share=0.5, arm="old"), Member(deployment("b"), share=0.5, arm="new")), Choice.WEIGHTED, True, "tone", hedge=True)
    routing = replace(table({"p": [deployment("a"), deployment("b")]}), pools={"p": arms})

    plan = to_wire(explain(routing, facts(), {"model": "auto"}, Asked("auto"), Snapshot(conversation=0.25)))["plan"]

    assert (plan["choice"], plan["drawn"], plan["hedge"]) == ("weighted, canary, experiment tone, sticky", 0.25, True)
    assert plan["arm"] in {"tone/old", "tone/new"}


def test_what_the_real_path_would_refuse_is_told_as_its_error() -> None:
    told = to_wire(explain(TABLE, facts(Label.INTERNAL), {"model": "nothing"}, Asked("nothing"), Snapshot()))

    assert told["plan"] is None
    assert told["error"]["code"] == "model_not_found"


def test_findings_are_kinds_and_places() -> None:
    found = Finding("email", Tier.HARD, "messages[0].content", 3, 9)

    assert to_wire(explain(TABLE, facts(findings=(found,)), {"model": "auto"}, Asked("auto"), Snapshot()))["findings"] == [
        {"kind": "email", "tier": "hard", "position": "messages[0].content", "start": 3, "end": 9},
    ]
