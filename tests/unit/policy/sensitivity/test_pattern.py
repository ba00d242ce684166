from __future__ import annotations

import re

from app.domain import Tier
from app.policy.sensitivity.pattern import cased, caseless, hard, likely, weak


def test_a_shape_can_be_enough() -> None:
    match = re.match("a", "a")
    assert match is not None

    assert (hard(match), likely(match), weak(match)) == (Tier.HARD, Tier.LIKELY, Tier.WEAK)


def test_alternatives_are_found_in_either_case_in_their_order() -> None:
    expression = re.compile(caseless(r"apple|arm(?:s|ed)?|\bbad\b|(?:c|k)at"))

    assert expression.findall("ARMED Apples, bad BAD badly; KAT Cat") == ["ARMED", "Apple", "bad", "BAD", "KAT", "Cat"]


def test_alternatives_as_they_are_written_are_found_in_no_other_case() -> None:
    assert re.findall(cased("Mr|Ms|Dr"), "Mr and MR, Ms and ms, Dr") == ["Mr", "Ms", "Dr"]


def test_alternatives_behind_a_character_of_a_class_are_not_found() -> None:
    expression = re.compile(caseless(r"name|to|\bid|(?:bill|ship)ped", not_after=r"\w"))

    assert expression.findall("Rename; NAME, tomato to _to 7to; id _id; unshipped Shipped") == ["NAME", "to", "to", "id", "Shipped"]
