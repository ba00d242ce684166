from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain import Asked, Capability, ComplexityTier, Finding, Hints, Label, Snapshot, Tier
from app.domain_routing import Condition, Hours, Rule
from app.policy.rules import first_match, get_ready, mismatch
from tests.unit.policy.table import facts

ASKED = Asked("auto", "ann", frozenset({"draft"}), Hints(Label.INTERNAL, ComplexityTier.COMPLEX))
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
        ({"min_score": 0.1}, {}, "score 0.000 is below 0.1"),
        ({"min_score": 0.0, "max_score": 0.0}, {}, None),
        ({"max_score": 0.4}, {"score": 0.5}, "score 0.500 is above 0.4"),
        ({"keys": frozenset({"ann", "bob"})}, {}, None),
        ({"keys": frozenset({"bob", "eve"})}, {}, "the caller's key is not bob or eve"),
        ({"tags": frozenset({"draft", "x"})}, {}, None),
        ({"tags": frozenset({"x"})}, {}, "is not tagged x"),
        ({"hints": frozenset({"complex", "medium"})}, {}, None),
        ({"hints": frozenset({"internal"})}, {}, None),
        ({"hints": frozenset({"simple"})}, {}, "the caller's hint is not simple"),
    ],
)
def test_a_condition_says_which_clause_does_not_hold(condition: dict[str, Any], known: dict[str, Any], reason: str | None) -> None:
    assert mismatch(get_ready(Rule("a", Condition(**condition), "b")), facts(**known), ASKED, Snapshot()) == reason


def test_the_first_rule_that_matches_wins() -> None:
    rules = [Rule("a", Condition(min_tokens=100), "long"), Rule("b", Condition(), "cheap"), Rule("c", Condition(), "strong")]

    prepared = [get_ready(rule) for rule in rules]

    assert first_match(prepared, facts(), Asked("auto"), Snapshot()) == prepared[1]


BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Hours(BERLIN, frozenset({4}), 22 * 60, 6 * 60)


def at(day: int, hour: int, minute: int = 0) -> Snapshot:
    """Return a time of the week in Berlin that begins with Monday, 5 January 2026."""
    return Snapshot(now=datetime(2026, 1, 5 + day, hour, minute, tzinfo=BERLIN).timestamp())


@pytest.mark.parametrize(
    ("hours", "snapshot", "reason"),
    [
        (Hours(BERLIN, frozenset(range(5)), 480, 1080), at(0, 8), None),
        (Hours(BERLIN, frozenset(range(5)), 480, 1080), at(4, 17, 59), None),
        (Hours(BERLIN, frozenset(range(5)), 480, 1080), at(4, 18), "it is Fri 18:00 in Europe/Berlin"),
        (Hours(BERLIN, frozenset(range(5)), 480, 1080), at(5, 9), "it is Sat 09:00 in Europe/Berlin"),
        (Hours(UTC, start=480, end=540), at(0, 9, 30), None),
        (NIGHT, at(4, 22), None),
        (NIGHT, at(5, 5, 59), None),
        (NIGHT, at(5, 6), "it is Sat 06:00 in Europe/Berlin"),
        (NIGHT, at(5, 23), "it is Sat 23:00 in Europe/Berlin"),
        (NIGHT, at(4, 3), "it is Fri 03:00 in Europe/Berlin"),
        (Hours(BERLIN, frozenset({6}), 1320, 60), at(7, 0, 30), None),
    ],
)
def test_a_time_holds_in_its_zone_and_past_midnight_for_the_day_it_began_on(hours: Hours, snapshot: Snapshot, reason: str | None) -> None:
    assert mismatch(get_ready(Rule("a", Condition(hours=hours), "b")), facts(), ASKED, snapshot) == reason


class Unread:
    """Facts of which nothing that has to be computed may be read."""

    label, needs, kinds, tokens_at_most = Label.PUBLIC, frozenset[Capability](), (), 50

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.mark.parametrize(
    "condition",
    [
        {"min_tokens": 51},
        {"max_tokens": 50},
        {"min_tokens": 1, "labels": frozenset({Label.CONFIDENTIAL})},
        {"complexities": frozenset({ComplexityTier.COMPLEX}), "min_tokens": 51},
        {"min_score": 0.5, "tags": frozenset({"x"})},
        {"max_score": 0.5, "hours": Hours(UTC, start=1, end=2)},
        {"complexities": frozenset({ComplexityTier.COMPLEX}), "findings": frozenset({"email"})},
    ],
)
def test_score_and_tokens_are_read_only_where_nothing_cheaper_decides(condition: dict[str, Any]) -> None:
    known: Any = Unread()
    rules = [get_ready(Rule("a", Condition(**condition), "b")), get_ready(Rule("last", Condition(), "b"))]

    assert first_match(rules, known, ASKED, Snapshot()) is not None


@pytest.mark.parametrize(
    ("condition", "read"), [({"min_tokens": 50}, "prompt_tokens"), ({"max_tokens": 49}, "prompt_tokens"), ({"min_score": 0.5}, "complexity")]
)
def test_what_cheap_bounds_leave_open_is_read(condition: dict[str, Any], read: str) -> None:
    known: Any = Unread()

    with pytest.raises(AssertionError, match=read):
        first_match([get_ready(Rule("a", Condition(**condition), "b"))], known, ASKED, Snapshot())


def test_a_count_says_why_where_the_bound_does_not() -> None:
    known: Any = SimpleNamespace(tokens_at_most=50, prompt_tokens=10)

    assert mismatch(get_ready(Rule("a", Condition(min_tokens=11), "b")), known, ASKED, Snapshot()) == "10 tokens are fewer than 11"


def test_no_rule_may_match() -> None:
    assert first_match([get_ready(Rule("a", Condition(min_tokens=100), "long"))], facts(), Asked("auto"), Snapshot()) is None
