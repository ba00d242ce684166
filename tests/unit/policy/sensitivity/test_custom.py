from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

import pytest

from app.domain import Tier
from app.policy.collect import Join, Scalar
from app.policy.sensitivity import database
from app.policy.sensitivity.custom import Expression, Wanted, complaint
from app.policy.sensitivity.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Find = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Give kind and text of what a scanner with the operator's wishes finds."""

    def found(wanted: Wanted, *texts: str) -> list[tuple[str, str]]:
        scalars = [Scalar(str(index), text) for index, text in enumerate(texts)]
        findings = Scanner(wanted=wanted, cache=tmp_path).scan(scalars)
        return [(finding.kind, texts[int(finding.position)][finding.start : finding.end]) for finding in findings]

    return found


WORDS = Wanted(words=(("project", "Blue Falcon"), ("customer", "Müller"), ("city", "Москва"), ("plan", "机密计划")))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("the blue falcon flies", "blue falcon"),
        ("the BLUE\n FALCON", "BLUE\n FALCON"),
        ("blue\u200b falcon_dev", "blue\u200b falcon"),
        ("git switch fix/blue-falcon", "blue-falcon"),
        ("open 2026_Blue_Falcon_v2.docx", "Blue_Falcon"),
        ("the Blue-\nFalcon", "Blue-\nFalcon"),
        ("ask muller.", "muller"),
        ("Das MÜLLER-Haus", "MÜLLER"),
        ("в москва", "москва"),
        ("这是机密计划的内容", "机密计划"),
    ],
)
def test_a_word_is_found_however_it_is_written(find: Find, text: str, value: str) -> None:
    assert [found for _, found in find(WORDS, text)] == [value]


@pytest.mark.parametrize("text", ["blue falcons", "navyblue falcon", "blue, falcon", "Müllerin", "москвавто", "ordinary 1"])
def test_a_part_of_a_word_is_none(find: Find, text: str) -> None:
    assert find(WORDS, text) == []


def test_a_word_is_found_encoded_and_over_two_texts(tmp_path: Path) -> None:
    scanner = Scanner(wanted=WORDS, cache=tmp_path)

    assert scanner.scan([Scalar("p", base64.b64encode(b"where is the blue falcon now").decode())])
    assert scanner.scan([Scalar("p", base64.b64encode("где наша Москва теперь".encode()).decode())])
    assert scanner.scan([Scalar("a", "blue fal"), Scalar("b", "con")], [Join((0, 1))])


def test_a_pattern_has_its_tier_and_its_longest_match(tmp_path: Path) -> None:
    scanner = Scanner(wanted=Wanted((Expression("ticket", r"\bPRJ-\d{3,}", Tier.LIKELY),)), cache=tmp_path)

    assert [(finding.kind, finding.tier, finding.start, finding.end) for finding in scanner.scan([Scalar("p", "a PRJ-12345 PRJ-1")])] == [
        ("ticket", Tier.LIKELY, 2, 11)
    ]


def test_a_pattern_does_not_reach_over_two_texts_and_misses_nothing_for_it(find: Find) -> None:
    wanted = Wanted((Expression("pair", "A=[^;]+;"),))

    assert find(wanted, "A=1", "B;") == []
    assert find(wanted, "A=1", "then A=2; and") == [("pair", "A=2;")]


ALLOWED = Wanted(allow_values=("Support@Acme.io", "+49 171 1234567", "поддержка@acme.io"), allow_domains=("help.example",))


@pytest.mark.parametrize(
    "text",
    [
        "mail support@acme.io",
        "mail s\u200bupport%40acme.io",
        "call +49 171 1234567.",
        "jane@help.example",
        "jane@eu.help.example",
        "jane at help dot example",
        "пишите на поддержка@acme.io",
    ],
)
def test_what_is_allowed_is_left_alone(find: Find, text: str) -> None:
    assert find(ALLOWED, text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("xsupport@acme.io", "xsupport@acme.io"),
        ("support@acme.io.evil.net", "support@acme.io.evil.net"),
        ("call +49 171 12345678", "+49 171 12345678"),
        ("jane@nothelp.example.io", "jane@nothelp.example.io"),
        ("support@acme.io, jane@acme.io", "jane@acme.io"),
    ],
)
def test_what_only_looks_allowed_is_found(find: Find, text: str, value: str) -> None:
    assert [found for _, found in find(ALLOWED, text)] == [value]


def test_an_allowed_value_is_not_left_alone_in_another_spelling_of_its_gaps(find: Find) -> None:
    assert find(Wanted(words=(("project", "Falcon"),), allow_values=("Falcon Street 12",)), "in falcon-street-12") == [("project", "falcon")]


def test_an_allowed_value_may_hold_another(find: Find) -> None:
    wanted = Wanted(words=(("project", "Falcon"),), allow_values=("Falcon Street 12", "Falcon"))

    assert find(wanted, "in Falcon Street 12") == []


def test_a_word_is_found_at_each_of_its_places(find: Find) -> None:
    assert find(Wanted(words=(("x", "ab cd"),)), "ab cd ab cd", "AB CD") == [("x", "ab cd"), ("x", "ab cd"), ("x", "AB CD")]
    assert find(WORDS, "Москва", "机密计划") == [("city", "Москва"), ("plan", "机密计划")]


def test_words_and_patterns_stand_side_by_side(find: Find) -> None:
    wanted = Wanted((Expression("ticket", r"PRJ-\d{3}"),), (("project", "Falcon"),))

    assert find(wanted, "Falcon PRJ-123") == [("project", "Falcon"), ("ticket", "PRJ-123")]


def test_findings_of_a_kind_are_bounded(find: Find) -> None:
    assert len(find(WORDS, "Blue Falcon " * 500)) == 64


@pytest.mark.parametrize("regex", [r"[^a]x", r"[$^]x", r"\$x\^", r"\bPRJ-\d+\b", "(?i)key"])
def test_a_regex_that_can_be_taken(regex: str) -> None:
    assert complaint(regex) is None


@pytest.mark.parametrize(
    ("regex", "why"),
    [("x(?=y)", "Zero-width"), ("x*", "empty buffer"), ("^x", "^ or $"), (r"\\$", "^ or $"), (r"\Ax", "^ or $"), ("é", "ASCII"), ("[a", "Unterminated")],
)
def test_a_regex_that_cannot_be_taken_is_refused_with_a_reason(regex: str, why: str) -> None:
    assert why in str(complaint(regex))


def test_without_the_library_no_regex_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "hyperscan", None)

    assert complaint("x(?=y)") is None


def test_time_is_linear_whatever_the_pattern(tmp_path: Path) -> None:
    scanner = Scanner((), wanted=Wanted((Expression("bad", "(a+)+b"), Expression("worse", "a.*b.*c"))), cache=tmp_path)

    def fastest(size: int) -> float:
        took = []
        for _ in range(3):
            start = time.perf_counter()
            scanner.scan([Scalar("p", "a" * size)])
            took.append(time.perf_counter() - start)
        return min(took)

    assert fastest(400_000) < 8 * fastest(100_000) + 0.02
