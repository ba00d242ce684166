from __future__ import annotations

from typing import Any

import pytest

from app.policy.collect import collect
from app.policy.tokens import TOKENS_PER_MEDIUM, estimate_tokens


def tokens(content: Any, **fields: Any) -> int:
    return estimate_tokens(collect({"messages": [{"role": "user", "content": content}], **fields}))


def test_an_empty_request_costs_the_answers_start() -> None:
    assert estimate_tokens(collect({"messages": []})) == 3


@pytest.mark.parametrize(
    ("text", "exact"),  # counted with OpenAI's o200k_base
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 201),
        ("def add(left: int, right: int) -> int:\n    return left + right\n" * 10, 190),
        ("请把这段话翻译成英语，并解释每个词的意思。" * 10, 170),
        ("".join(f"{number},{number * 7919 % 1000:03d}.{number % 97:02d}\n" for number in range(1, 300)), 1794),
        ("4929123456789015 " * 60, 420),
        ("Съешь же ещё этих мягких французских булок. " * 10, 131),
    ],
)
def test_the_estimate_is_not_below_the_count_and_not_twice_as_high(text: str, exact: int) -> None:
    assert exact <= tokens(text) <= 2 * exact + 10


def test_tools_and_media_are_counted() -> None:
    plain = tokens("hi")

    assert tokens("hi", tools=[{"type": "function", "function": {"name": "f", "description": "x" * 300}}]) > plain + 90
    assert tokens([{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x"}}]) == plain + TOKENS_PER_MEDIUM


def test_what_a_tool_was_asked_is_counted() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "x" * 360}}

    assert estimate_tokens(collect({"messages": [{"role": "assistant", "tool_calls": [call]}]})) >= 100


def test_a_part_of_an_unknown_type_is_not_counted_as_a_medium() -> None:
    assert tokens([{"type": "holograph"}]) < 20


def test_a_lone_surrogate_is_counted() -> None:
    assert tokens("\ud800") > 0
