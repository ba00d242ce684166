from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from app.policy.sensitivity import checks

if TYPE_CHECKING:
    from collections.abc import Callable


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
    [
        ("abcdefghijklmnop", True),
        ("AIzaSyabcdefghijklmnopqrstuvwxyz1234567", True),
        ("a1b2c3d4e5f6", False),
        ("x0a1b2c3d4e5f6g7h8", True),
        ("a1b7c3d9e5f2g8h4", False),
        ("abcKq92xLmzR", False),
        ("", True),
    ],
)
def test_what_counts_up_is_a_filler(text: str, is_filler: bool) -> None:
    assert checks.is_sequential(text) is is_filler


@pytest.mark.parametrize("text", ["IPv4Address('1.2.3.42')", "it wants 7.1.4.34 of the fileset", "('3.2.pl0', '3.1.1.6')", "[ '016.016.016.016' ]"])
def test_a_filler_and_a_version_are_no_address(spot: Callable[[str], set[tuple[str, str, str]]], text: str) -> None:
    assert spot(text) == set()


@pytest.mark.parametrize("text", ["the server is 7.1.4.34", "from 9.8.7.6 came nothing", "ssh login 5.9.4.3", "http://5.9.4.3/x"])
def test_an_address_of_few_digits_is_one_beside_a_word_for_it(spot: Callable[[str], set[tuple[str, str, str]]], text: str) -> None:
    assert {(kind, tier) for kind, tier, _ in spot(text)} == {("ip_address", "hard")}
