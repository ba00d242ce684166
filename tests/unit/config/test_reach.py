from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from app.config import reach as module
from app.config.reach import Box, cut, reach
from app.domain import Asked, Capability, Complexity, ComplexityTier, Facts, Finding, Label, Snapshot, Tier
from app.domain_routing import Condition, Rule
from app.policy.rules import first_match, get_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

_NEEDS = (Capability.TOOLS, Capability.IMAGES)
_KINDS = ("email", "iban")
_SIZES = (0, 1, 4, 5, 6, 9, 10, 11, 10**9)


def _some(values: list[object]) -> st.SearchStrategy[frozenset[object] | None]:
    return st.none() | st.frozensets(st.sampled_from(values), min_size=1)


@st.composite
def _conditions(draw: st.DrawFn) -> Condition:
    low, high = draw(st.sampled_from([(None, None), (5, None), (None, 10), (5, 10), (10, None), (None, 4)]))
    return Condition(
        labels=draw(_some(list(Label))),  # type: ignore[arg-type] # the strategy is typed for any of the sets
        complexities=draw(_some(list(ComplexityTier))),  # type: ignore[arg-type]
        min_tokens=low,
        max_tokens=high,
        needs=draw(_some(list(_NEEDS))),  # type: ignore[arg-type]
        findings=draw(_some(list(_KINDS))),  # type: ignore[arg-type]
        model=draw(st.sampled_from([None, None, "*", "gpt-*"])),
    )


def _subsets(values: tuple[object, ...]) -> Iterator[tuple[object, ...]]:
    for size in range(len(values) + 1):
        yield from combinations(values, size)


def _requests() -> Iterator[tuple[Facts, str]]:
    """Yield one request of every class that these conditions can tell apart."""
    for label, tier, size, needs, kinds, model in product(Label, ComplexityTier, _SIZES, _subsets(_NEEDS), _subsets(_KINDS), ("auto", "gpt-4")):
        findings = tuple(Finding(str(kind), Tier.HARD, "messages[0]", 0, 1) for kind in kinds)
        yield Facts(label, "default", findings, Complexity(0.5, tier), size, None, frozenset(needs)), model  # type: ignore[arg-type] # as above


_REQUESTS = list(_requests())


@given(st.lists(_conditions(), min_size=1, max_size=5))
def test_what_reaches_a_rule_is_what_a_request_of_every_class_finds(conditions: list[Condition]) -> None:
    rules = [Rule(f"rule-{place}", when, "a") for place, when in enumerate(conditions)]
    prepared = [get_ready(rule) for rule in rules]
    expected: dict[str | None, set[Label]] = {}
    for facts, model in _REQUESTS:
        found = first_match(prepared, facts, Asked(model), Snapshot())
        expected.setdefault(found.name if found else None, set()).add(facts.label)

    reached, unmatched = reach(rules)

    assert {each.rule.name: set(each.labels) for each in reached} == {rule.name: expected.get(rule.name, set()) for rule in rules}
    assert unmatched == expected.get(None, set())


def test_a_condition_cuts_a_box_into_parts_that_do_not_meet() -> None:
    inside, outside = cut([Box()], Condition(min_tokens=5, max_tokens=10))

    assert [(box.low, box.high) for box in inside] == [(5, 10)]
    assert sorted((box.low, box.high) for box in outside) == [(0, 4), (11, float("inf"))]


def test_rules_that_cut_too_finely_are_taken_to_leave_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BOXES", 1)
    fine = Rule("fine", Condition(min_tokens=5, max_tokens=10), "a")

    reached, unmatched = reach([fine, fine, Rule("rest", Condition(), "a")])

    assert [set(each.labels) for each in reached] == [set(Label)] * 3
    assert not unmatched


def test_many_rules_are_read_in_a_moment() -> None:
    rules = [Rule(f"r{n}", Condition(min_tokens=n, findings=frozenset({f"a{n}", f"b{n}"}), needs=frozenset(Capability)), "a") for n in range(40)]

    reached, unmatched = reach([*rules, Rule("rest", Condition(), "a")])

    assert all(each.labels for each in reached)
    assert not unmatched
