from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain_routing import TAG, Condition, Pool, RoutingTable
from tests.unit.policy.table import deployment, table


@pytest.mark.parametrize(
    ("word", "is_tag"), [("team-x", True), ("v1.2_b", True), ("a" * 64, True), ("a" * 65, False), ("-a", False), ("a b", False), ("", False)]
)
def test_a_tag_is_a_short_word(word: str, *, is_tag: bool) -> None:
    assert bool(TAG.fullmatch(word)) is is_tag


def test_a_table_that_is_changed_forgets_what_followed_from_the_old_one() -> None:
    routing = table({"cheap": [deployment("a")]})
    routing.memo["x"] = 1

    changed = replace(routing, fallback="cheap")

    assert changed.memo == {}
    assert isinstance(changed, RoutingTable)
    assert routing == replace(routing)


def test_a_condition_without_clauses_and_a_pool_of_none_are_the_plainest() -> None:
    assert all(getattr(Condition(), name) is None for name in Condition.__slots__)
    assert Pool("p").members == ()
