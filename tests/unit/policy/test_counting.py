from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from app.domain import Facts, Label
from app.domain_routing import Condition
from app.policy.counting import Near, may_take_long, near
from app.policy.vocabulary import Vocabulary
from tests.unit.policy.table import deployment, facts, table

MINI = deployment("gpt-4o-mini", context_window=128_000)
OLD = deployment("gpt-4", context_window=8_192)
LLAMA = deployment("llama", context_window=2_048)
ANY = Condition()


@dataclass
class Slow:
    """Measures of a text that takes long to count."""

    tokens_at_most: int
    asked: list[frozenset[str]] = field(default_factory=list)

    def counts_quickly(self, vocabularies: frozenset[str]) -> bool:
        self.asked.append(vocabularies)
        return False


def slow(tokens: int, answer: int | None = None) -> Facts:
    measures: Any = Slow(tokens)
    return Facts(Label.PUBLIC, "default", (), max_output_tokens=answer, measures=measures)


@pytest.mark.parametrize(
    ("members", "conditions", "expected"),
    [
        ([LLAMA], [ANY], Near(None, frozenset())),
        ([deployment("gpt-4o")], [ANY], Near(None, frozenset())),
        ([MINI], [ANY], Near(128_000, frozenset({Vocabulary.O200K}))),
        ([MINI, OLD, LLAMA], [ANY], Near(8_192, frozenset(Vocabulary))),
        ([LLAMA], [Condition(min_tokens=30_000), Condition(max_tokens=500), ANY], Near(500, frozenset({Vocabulary.O200K}))),
    ],
)
def test_rules_and_windows_say_from_when_on_tokens_are_counted(members: list[Any], conditions: list[Condition], expected: Near) -> None:
    found = table({"all": members}, [(condition, "all") for condition in conditions])

    assert near(found) == expected
    assert near(found) is near(found)


def test_a_text_that_fits_everywhere_is_not_asked_about() -> None:
    given = slow(8_000)

    assert not may_take_long(table({"all": [MINI, OLD]}), given)
    assert given.measures.asked == []  # type: ignore[attr-defined] # the fake's


@pytest.mark.parametrize("given", [slow(8_192), slow(8_000, answer=200)])
def test_a_text_near_a_window_is(given: Facts) -> None:
    assert may_take_long(table({"all": [MINI, OLD]}), given)
    assert given.measures.asked == [frozenset(Vocabulary)]  # type: ignore[attr-defined] # the fake's


def test_where_nothing_reads_tokens_no_text_takes_long() -> None:
    assert not may_take_long(table({"all": [LLAMA]}), slow(10_000_000))


def test_what_is_known_takes_no_time() -> None:
    assert not may_take_long(table({"all": [OLD]}), facts(prompt_tokens=100_000))
