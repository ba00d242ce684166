from __future__ import annotations

from datetime import datetime
from itertools import combinations, product
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import reach as module
from app.config.reach import Box, cut, reach
from app.domain import Asked, Capability, Complexity, ComplexityTier, Facts, Finding, Hints, Label, Snapshot, Tier
from app.domain_routing import Condition, Hours, Rule
from app.policy.rules import first_match, get_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

_NEEDS = (Capability.TOOLS, Capability.IMAGES)
_KINDS = ("email", "iban")
_SIZES = (0, 1, 4, 5, 6, 9, 10, 11, 10**9)
_SCORES = (0.0, 0.3, 0.4, 0.5, 0.7, 1.0)
_BERLIN = ZoneInfo("Europe/Berlin")
_OFFICE = Hours(_BERLIN, frozenset(range(5)), 480, 1080)
_NIGHT = Hours(_BERLIN, frozenset({4, 6}), 1320, 360)
_TIMES = tuple(datetime(2026, 1, day, hour, tzinfo=_BERLIN).timestamp() for day, hour in ((9, 12), (9, 23), (10, 3), (10, 12), (11, 23), (12, 3), (12, 9)))


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


@st.composite
def _new_conditions(draw: st.DrawFn) -> Condition:
    low, high = draw(st.sampled_from([(None, None), (None, None), (0.3, None), (None, 0.5), (0.3, 0.5), (0.5, 1.0)]))
    return Condition(
        labels=draw(_some(list(Label))),  # type: ignore[arg-type] # as above
        complexities=draw(_some(list(ComplexityTier))),  # type: ignore[arg-type]
        min_score=low,
        max_score=high,
        keys=draw(_some(["ann", "bob"])),  # type: ignore[arg-type]
        tags=draw(_some(["draft"])),  # type: ignore[arg-type]
        hints=draw(_some(["complex", "simple", "internal"])),  # type: ignore[arg-type]
        hours=draw(st.sampled_from([None, None, _OFFICE, _NIGHT])),
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
        expected.setdefault(found.rule.name if found else None, set()).add(facts.label)

    reached, unmatched = reach(rules)

    assert {each.rule.name: set(each.labels) for each in reached} == {rule.name: expected.get(rule.name, set()) for rule in rules}
    assert unmatched == expected.get(None, set())


def _callers() -> Iterator[tuple[Facts, Asked, Snapshot]]:
    """Yield one request of every class that the conditions on callers, scores and times can tell apart."""
    for label, tier, score, key, tags, hinted, now in product(Label, ComplexityTier, _SCORES, ("ann", "bob", ""), ((), ("draft",)), _HINTED, _TIMES):
        if (hinted.label is None or label >= hinted.label) and hinted.complexity in {None, tier}:
            yield Facts(label, "default", (), Complexity(score, tier), 1), Asked("auto", key, frozenset(tags), hinted), Snapshot(now=now)


_HINTED = (
    Hints(),
    Hints(Label.INTERNAL),
    Hints(None, ComplexityTier.COMPLEX),
    Hints(None, ComplexityTier.SIMPLE),
    Hints(Label.INTERNAL, ComplexityTier.SIMPLE),
)
_CALLERS = list(_callers())


@settings(max_examples=30)
@given(st.lists(_new_conditions(), min_size=1, max_size=4), st.sampled_from(Label))
def test_what_reaches_a_rule_on_callers_and_times_is_what_a_request_of_every_class_finds(conditions: list[Condition], least: Label) -> None:
    rules = [Rule(f"rule-{place}", when, "a") for place, when in enumerate(conditions)]
    prepared = [get_ready(rule) for rule in rules]
    expected: dict[str | None, set[Label]] = {}
    for facts, asked, snapshot in _CALLERS:
        if facts.label >= least:
            found = first_match(prepared, facts, asked, snapshot)
            expected.setdefault(found.rule.name if found else None, set()).add(facts.label)

    reached, unmatched = reach(rules, least)

    for each in reached:
        assert expected.get(each.rule.name, set()) <= set(each.labels)
    assert expected.get(None, set()) <= unmatched
    if not any(when.keys for when in conditions):  # a caller has one key, which the boxes do not know
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
