from __future__ import annotations

import re

from app.domain import Tier
from app.policy.sensitivity.pattern import caseless, hard, likely, weak


def test_a_shape_can_be_enough() -> None:
    match = re.match("a", "a")
    assert match is not None

    assert (hard(match), likely(match), weak(match)) == (Tier.HARD, Tier.LIKELY, Tier.WEAK)


def test_alternatives_are_found_in_either_case_in_their_order() -> None:
    expression = re.compile(caseless(r"apple|arm(?:s|ed)?|\bbad\b|(?:c|k)at"))

    assert expression.findall("ARMED Apples, bad BAD badly; KAT Cat") == ["ARMED", "Apple", "bad", "BAD", "KAT", "Cat"]
