from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

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
