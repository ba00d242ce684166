from __future__ import annotations

import re

import pytest

from app.policy.sensitivity import checks


def match(expression: str, text: str) -> re.Match[str]:
    found = re.search(expression, text)
    assert found is not None
    return found


def test_what_stands_around_a_match_ends_at_its_text() -> None:
    found = match("x", "ab\0cd x ef\0gh")

    assert checks.before(found, 100) == "cd "
    assert checks.before(found, 2) == "d "
    assert checks.after(found, 100) == " ef"
    assert checks.after(found, 2) == " e"


def test_entropy_is_in_bits_for_each_character() -> None:
    assert checks.entropy("aaaa") == 0
    assert checks.entropy("abcd") == 2


def test_digits() -> None:
    assert checks.digits("+49 (30) 90") == "493090"


@pytest.mark.parametrize("text", ["+0", "abc"])
def test_what_is_no_phone_number_is_none(text: str) -> None:
    assert checks.international_phone(match(".+", text)) is None


def test_every_plan_can_be_loaded() -> None:
    checks.load_number_plans()


@pytest.mark.parametrize(
    ("text", "is_filler"),
    [("abcdefghijklmnop", True), ("AIzaSyabcdefghijklmnopqrstuvwxyz1234567", True), ("a1b2c3d4e5f6", False), ("abcKq92xLmzR", False), ("", True)],
)
def test_what_counts_up_is_a_filler(text: str, is_filler: bool) -> None:
    assert checks.is_sequential(text) is is_filler
