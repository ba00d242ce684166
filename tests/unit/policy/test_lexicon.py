from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.lexicon import BUILT_IN, Lexicon, Signal, count_words, spaced


def seen(text: str, lexicon: Lexicon = BUILT_IN) -> dict[str, float]:
    counts = {}
    for each in {text.lower(), text if text.isascii() else text.lower()}:
        raw = each.encode()
        counts[each] = lexicon.count(each, raw, spaced(raw))
    assert all(found == counts[each] for found in counts.values())
    return {name: found for name, found in zip(lexicon.names, counts[each], strict=False) if found}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Prove it, then prove it again.", {"reasoning": 1}),
        ("Go through it step by step.", {"reasoning": 1}),
        ("A step, by a step.", {}),
        ("Vor- und Nachteile", {"reasoning": 1}),
        ("vor, und nachteile", {}),
        ("Is that most of it?", {}),
        ("Rewrite\tit\nEVERY:day", {"writing": 1, "quantities": 1}),
        ("What is (entropy)?", {"simple": 1}),
        ("请分析一致性", {"reasoning": 1, "technical": 1}),
        ("Ärger mit der Wahrscheinlichkeit", {"mathematics": 1}),
        ("", {}),
    ],
)
def test_an_entry_counts_once_however_often_it_stands(text: str, found: dict[str, float]) -> None:
    assert seen(text) == found


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("Terraform", "write terraform"),
        ("blast radius", "what is the BLAST RADIUS here"),
        ("node.js", "a node.js app"),
        ("=>", "f => g"),
        ("größe", "die größe"),
        ("合同", "审查这份合同"),
        ("offene handelsgesellschaft öhg", "eine offene handelsgesellschaft öhg"),
    ],
)
def test_what_an_operator_adds_is_found(word: str, text: str) -> None:
    own = Lexicon([Signal("infra", words=(word,))])

    assert seen(text, own)["infra"] == 1
    assert "infra" not in seen("nothing of that here, 只有这个", own)


def test_an_operators_word_that_is_there_already_counts_once() -> None:
    assert seen("prove", Lexicon([Signal("reasoning", words=("prove", "Prove"))])) == {"reasoning": 1}


@pytest.mark.parametrize(("ignored", "text"), [("prove", "prove"), ("Step by Step", "step by step"), ("分析", "分析")])
def test_an_operator_can_take_an_entry_away(ignored: str, text: str) -> None:
    assert seen(text) == {"reasoning": 1}
    assert seen(text, Lexicon(ignored=[ignored])) == {}


def test_an_expression_counts_once_and_ignores_case() -> None:
    own = Lexicon([Signal("tickets", regexes=(r"\bprj-\d{4}", "nothing"))])

    assert seen("PRJ-1234 and prj-1235", own) == {"tickets": 1}
    assert seen("prj-12", own) == {}


@pytest.mark.parametrize(("text", "found"), [("ein naïve-bayes ist da", 1), ("ein naïve-bayes 证明", 1), ("合同 an naïve-bayes", 2), ("ein naive-bayes é", 0)])
def test_words_that_punctuation_cuts_are_found_in_latin_and_in_ideographs(text: str, found: int) -> None:
    own = Lexicon([Signal("own", words=("naïve-bayes", "合同"))], ignored=["证明"])

    assert seen(text, own).get("own", 0) == found


def test_a_word_of_two_signals_counts_for_both() -> None:
    assert seen("PROVE it", Lexicon([Signal("own", words=("prove",))])) == {"reasoning": 1, "own": 1}


@given(st.text("ab ,-\t\n\x0b\u3000", max_size=20))
def test_words_are_counted_as_they_are_split(text: str) -> None:
    words = spaced(text.encode())

    assert count_words(words) == len(words.split())
