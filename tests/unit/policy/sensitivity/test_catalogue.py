from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from app.policy.sensitivity import catalogue, names
from app.policy.sensitivity.catalogue import PATTERNS

if TYPE_CHECKING:
    from app.policy.sensitivity.pattern import Pattern


def test_kinds_are_words_for_an_enumeration() -> None:
    assert all(re.fullmatch(r"[a-z][a-z_]+", pattern.kind) for pattern in PATTERNS)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.kind)
def test_no_expression_repeats_without_a_bound_inside_a_repeat(pattern: Pattern) -> None:
    """A repeat without a bound within another is what makes a search take exponential time."""
    assert not re.search(r"[+*]\)[+*]|[+*]\)\{", pattern.exact.pattern)


def test_what_checks_read_can_be_loaded_ahead() -> None:
    names.lists.cache_clear()

    catalogue.prepare()

    assert names.lists.cache_info().currsize == 1
