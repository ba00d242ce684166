from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Complexity, ComplexityTier, Facts, Finding, Hints, Label, Tier
from app.policy.taint import MIN_CHARS, Earlier, Passages, is_lasting, passage, passages

LONG = "The Aurora acquisition closes on the fourteenth of May."
OTHER = "Its price is not to be told to anybody before that day."


def said(*messages: dict[str, Any]) -> tuple[str, ...]:
    return passages({"messages": list(messages)}).said


@pytest.mark.parametrize(
    "rewritten",
    [
        LONG.upper(),
        f"  {LONG.replace(' ', '  ')}\n",
        LONG.replace(" ", "\n"),
        LONG.replace("A", "A\u200b"),
        LONG.replace("a", "\u0430"),
        LONG.replace(" ", "\u00a0"),
        "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in LONG),
    ],
)
def test_a_text_rewritten_without_thought_is_the_same(rewritten: str) -> None:
    assert passage(rewritten) == passage(LONG) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LONG, OTHER),
        ("\u4e00" * MIN_CHARS, "\u4e8c" * MIN_CHARS),
        ("\u0436" * MIN_CHARS, "\u0448" * MIN_CHARS),
        (LONG + "\u05d0" * 5, LONG + "\u05d1" * 5),
    ],
)
def test_different_texts_stay_different_in_every_script(one: str, other: str) -> None:
    assert passage(one) != passage(other)
    assert passage(one)


def test_forty_folded_characters_are_enough_and_fewer_are_none() -> None:
    spaced = "four words have their places " + "x" * (MIN_CHARS - 29)

    assert len(spaced) == MIN_CHARS
    assert passage(spaced)
    assert passage(spaced[:-1]) == ""
    assert passage("word " * 3 + " " * MIN_CHARS) == ""


@given(st.text(max_size=200))
def test_any_text_has_a_passage_that_spaces_and_case_do_not_change(text: str) -> None:
    assert passage(f" {text}\n") == passage(text)


def test_every_text_of_a_message_is_said_whole_and_in_parts() -> None:
    parts = [{"type": "text", "text": LONG}, {"type": "text", "text": OTHER}, {"type": "image_url", "image_url": {}}, "short", 7]

    assert said({"role": "user", "content": parts}) == (passage(LONG), passage(OTHER), passage(f"{LONG}{OTHER}short"))
    assert said({"role": "assistant", "content": None, "refusal": LONG, "reasoning_content": OTHER}) == (passage(LONG), passage(OTHER))


def test_arguments_of_calls_are_said_whatever_their_spelling() -> None:
    arguments = json.dumps({"to": "zo\u00eb", "text": LONG})
    spelled = json.dumps({"text": LONG, "to": "zo\u00eb"}, ensure_ascii=False, indent=2)
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "send", "arguments": arguments}}, {"function": None}, 1]}

    assert said(call) == said({"role": "assistant", "function_call": {"name": "send", "arguments": spelled}})
    assert said({"role": "assistant", "function_call": {"arguments": LONG}}) == (passage(LONG),)
    assert said({"role": "assistant", "function_call": {"arguments": {"a": LONG}}}) == ()
    assert said({"role": "assistant", "content": [{"type": "text", "text": LONG}], "function_call": {"arguments": "{}"}}) == (passage(LONG),)


def test_what_a_custom_tool_is_given_and_parts_of_other_names_are_said() -> None:
    call = {
        "role": "assistant",
        "tool_calls": [{"type": "custom", "custom": {"name": "run", "input": LONG}}, {"type": "custom", "custom": {"input": 1}}, {"custom": 1}],
    }

    assert said(call) == (passage(LONG),)
    assert said({"role": "assistant", "content": [{"type": "refusal", "refusal": LONG}]}) == (passage(LONG),)
    assert said({"role": "assistant", "content": [{"type": "thinking", "thinking": OTHER, "signature": "x"}]}) == (passage(OTHER),)


@pytest.mark.parametrize("content", [OTHER, [{"type": "text", "text": OTHER}]])
def test_what_an_answer_is_expected_to_repeat_is_said(content: Any) -> None:
    body = {"messages": [{"role": "user", "content": LONG}], "prediction": {"type": "content", "content": content}}

    assert passages(body).said == (passage(LONG), passage(OTHER))
    assert passages({"prediction": OTHER}) == Passages()


def test_instructions_are_not_said_but_looked_for() -> None:
    found = passages({"messages": [{"role": "system", "content": LONG}, {"role": "developer", "content": OTHER}, {"role": "tool", "content": OTHER}]})

    assert found == Passages(said=(passage(OTHER),), instructed=(passage(LONG),))


@pytest.mark.parametrize("body", [{}, {"messages": "x"}, {"messages": [1, None, LONG]}])
def test_what_is_no_conversation_says_nothing(body: dict[str, Any]) -> None:
    assert passages(body) == Passages()


def facts(label: Label, *findings: Finding) -> Facts:
    return Facts(label, "findings", findings, Complexity(0, ComplexityTier.SIMPLE), 1, None, frozenset())


HARD = Finding("email", Tier.HARD, "messages[0].content", 0, 5)
LIKELY = Finding("person_name", Tier.LIKELY, "messages[0].content", 0, 5)


@pytest.mark.parametrize(
    ("known", "hints", "earlier", "meaning", "lasts"),
    [
        (facts(Label.CONFIDENTIAL, HARD), Hints(), Earlier(), Label.CONFIDENTIAL, True),
        (facts(Label.CONFIDENTIAL), Hints(Label.CONFIDENTIAL), Earlier(), Label.CONFIDENTIAL, True),
        (facts(Label.CONFIDENTIAL), Hints(), Earlier(confidential=True), Label.CONFIDENTIAL, True),
        (facts(Label.CONFIDENTIAL, LIKELY), Hints(Label.INTERNAL), Earlier(), Label.CONFIDENTIAL, False),
        (facts(Label.CONFIDENTIAL, LIKELY, HARD), Hints(), Earlier(), Label.INTERNAL, False),
        (facts(Label.INTERNAL, HARD), Hints(), Earlier(), Label.INTERNAL, False),
    ],
)
def test_a_conversation_lasts_by_hint_hard_finding_or_an_earlier_turn(known: Facts, hints: Hints, earlier: Earlier, meaning: Label, *, lasts: bool) -> None:
    assert is_lasting(known, hints, earlier, lambda _: meaning) is lasts
