from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from app.domain import Label
from app.domain_routing import Choice, Condition, Hours, Member, Pool
from app.policy.ready import ready
from tests.unit.policy.table import deployment, table

A, B = deployment("a"), deployment("b")


def test_what_follows_from_a_table_is_worked_out_once() -> None:
    routing = table({"cheap": [A]})

    assert ready(routing) is ready(routing)
    assert ready(replace(routing)) is not ready(routing)


def test_a_table_of_pools_in_order_reads_nothing() -> None:
    found = ready(table({"cheap": [A, B]}))

    assert not any((found.anything, found.time, found.draw, found.conversation, found.measures, found.stays))


@pytest.mark.parametrize(
    ("fields", "reads"),
    [
        ({"choose": Choice.WEIGHTED}, {"draw"}),
        ({"choose": Choice.WEIGHTED, "sticky": True}, {"conversation"}),
        ({"choose": Choice.CHEAPEST}, set()),
        ({"choose": Choice.CHEAPEST, "sticky": True}, {"conversation", "stays"}),
        ({"choose": Choice.FASTEST}, {"draw", "measures"}),
        ({"choose": Choice.LATENCY, "sticky": True}, {"conversation", "measures", "stays"}),
        ({"choose": Choice.LEAST_BUSY}, {"draw", "measures"}),
        ({"members": (Member(A), Member(B, share=0.1))}, {"draw"}),
    ],
)
def test_a_pool_reads_what_its_choice_depends_on(fields: dict[str, Any], reads: set[str]) -> None:
    pool = Pool(**{"name": "p", "members": (Member(A), Member(B))} | fields)

    found = ready(replace(table({"p": [A, B]}), pools={"p": pool}))

    assert {name for name in ("time", "draw", "conversation", "measures", "stays") if getattr(found, name)} == reads
    assert found.anything


def test_rules_name_the_tags_and_the_time_that_are_read() -> None:
    rules = [(Condition(tags=frozenset({"x"})), "cheap"), (Condition(hours=Hours(UTC)), "cheap"), (Condition(tags=frozenset({"y", "x"})), "cheap")]

    found = ready(table({"cheap": [A]}, rules))

    assert found.tags == {"x", "y"}
    assert found.time


def test_a_named_model_is_held_to_the_rules_up_to_the_last_that_rejects() -> None:
    found = ready(
        table({"cheap": [A]}, [(Condition(min_tokens=1), "cheap"), (Condition(min_tokens=2), ""), (Condition(model="x*"), "cheap"), (Condition(), "a")])
    )

    assert [each.rule.name for each in found.guards] == ["rule-1", "rule-2"]
    assert [each.rule.name for each in found.aliases] == ["rule-2", "rule-3"]
    assert ready(table({"cheap": [A]})).guards == ()


def test_once_the_label_is_known_only_the_other_clauses_are_left() -> None:
    secret = Condition(labels=frozenset({Label.CONFIDENTIAL}), min_tokens=1)
    found = ready(table({"cheap": [A]}, [(secret, "cheap"), (Condition(labels=frozenset({Label.PUBLIC})), "a"), (Condition(), "nobody")]))

    left = [[(each.rule.name, [clause.wanted for clause in each.clauses]) for each in rules] for rules in found.by_label]

    assert left == [[("rule-2", []), ("rule-3", [])], [("rule-3", [])], [("rule-1", [1]), ("rule-3", [])]]


def test_a_rule_knows_where_it_sends_requests() -> None:
    found = ready(table({"cheap": [A]}, [(Condition(), "cheap"), (Condition(), "a"), (Condition(), "nobody"), (Condition(), "")]))

    targets = [each.target and (each.target.source, [member.deployment for member in each.target.pool.members]) for each in found.rules]

    assert targets == [("pool cheap", [A]), ("named by the rule", [A]), ("named by the rule", []), None]
