from __future__ import annotations

from typing import Any

import pytest

from app.domain import Asked, Capability, ComplexityTier, Finding, Label, Snapshot, Tier
from app.domain_routing import Condition, Rule
from app.policy.rules import first_match, get_ready, mismatch
from tests.unit.policy.table import facts

EMAIL = Finding("email", Tier.HARD, "messages[0].content", 0, 5)


@pytest.mark.parametrize(
    ("condition", "known", "reason"),
    [
        ({}, {}, None),
        ({"labels": frozenset({Label.CONFIDENTIAL})}, {"label": Label.PUBLIC}, "label is public"),
        ({"labels": frozenset({Label.PUBLIC})}, {"label": Label.PUBLIC}, None),
        ({"complexities": frozenset({ComplexityTier.COMPLEX})}, {}, "complexity is simple"),
        ({"complexities": frozenset({ComplexityTier.SIMPLE})}, {}, None),
        ({"min_tokens": 11}, {}, "10 tokens at most are fewer than 11"),
        ({"min_tokens": 10}, {}, None),
        ({"max_tokens": 9}, {}, "10 tokens are more than 9"),
        ({"max_tokens": 10}, {}, None),
        ({"needs": frozenset({Capability.TOOLS})}, {}, "does not need tools"),
        ({"needs": frozenset({Capability.TOOLS})}, {"needs": frozenset({Capability.TOOLS, Capability.N})}, None),
        ({"findings": frozenset({"email"})}, {}, "holds none of email"),
        ({"findings": frozenset({"email", "phone"})}, {"findings": (EMAIL,)}, None),
        ({"model": "gpt-*"}, {}, "the model asked for does not match gpt-*"),
        ({"model": "au*"}, {}, None),
    ],
)
def test_a_condition_says_which_clause_does_not_hold(condition: dict[str, Any], known: dict[str, Any], reason: str | None) -> None:
    assert mismatch(get_ready(Rule("a", Condition(**condition), "b")), facts(**known), Asked("auto"), Snapshot()) == reason


def test_the_first_rule_that_matches_wins() -> None:
    rules = [Rule("a", Condition(min_tokens=100), "long"), Rule("b", Condition(), "cheap"), Rule("c", Condition(), "strong")]

    assert first_match(map(get_ready, rules), facts(), Asked("auto"), Snapshot()) == rules[1]


def test_no_rule_may_match() -> None:
    assert first_match([get_ready(Rule("a", Condition(min_tokens=100), "long"))], facts(), Asked("auto"), Snapshot()) is None
