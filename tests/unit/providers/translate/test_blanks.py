from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.translate.blanks import without_blanks
from app.providers.translate.wanted import Limits
from tests.unit.providers.translate.support import PNG, asked, deployment

LIMITS = Limits("anthropic", frozenset(), frozenset())
IMAGE = {"type": "image_url", "image_url": {"url": PNG}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


HI, YES, RESULT = user("hi"), {"role": "assistant", "content": "yes"}, {"role": "tool", "tool_call_id": "c", "content": ""}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([HI, YES, user(" go ")], [HI, YES, user(" go ")]),
        ([user([part(""), IMAGE, part("\n"), part("x")])], [user([IMAGE, part("x")])]),
        ([HI, CALLING | {"content": ""}, RESULT], [HI, CALLING, RESULT]),
        ([HI, CALLING | {"content": [part(" ")]}, RESULT, user("")], [HI, CALLING, RESULT]),
        ([HI, YES | {"content": ""}, HI], [HI, HI]),
        ([HI, YES | {"content": None}], [HI]),
        ([user(""), HI, YES, HI, user([])], [HI, YES, HI]),
        ([{"role": "system", "content": ""}, HI], [{"role": "system", "content": ""}, HI]),
    ],
)
def test_what_says_nothing_is_left_out(given: list[dict[str, Any]], kept: list[dict[str, Any]]) -> None:
    assert without_blanks(given, LIMITS) == kept


@pytest.mark.parametrize("blank", ["", " \n", None, [], [part("")]])
@pytest.mark.parametrize(("before", "after"), [([], []), ([{"role": "system", "content": "x"}], []), ([HI, YES], []), ([HI, YES], [YES, HI])])
def test_a_users_turn_that_says_nothing_is_refused_by_its_place(blank: Any, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamError) as caught:
        without_blanks([*before, user(blank), *after], LIMITS)

    assert (caught.value.failure, caught.value.param) == (Failure.REJECTED, f"messages[{len(before)}].content")


@pytest.mark.parametrize(("provider", "after"), [("anthropic", []), ("anthropic", [YES | {"content": " "}]), ("bedrock", [])])
async def test_a_request_of_system_messages_alone_is_refused_by_what_it_lacks(provider: str, after: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamError) as caught:
        await asked(deployment(provider), messages=[{"role": "system", "content": "x"}, {"role": "developer", "content": "y"}, *after])

    assert (caught.value.failure, caught.value.param) == (Failure.REJECTED, "messages")
    assert caught.value.provider_text == f"`messages` must hold a message besides the system's for provider `{provider}`."


async def test_anthropic_is_sent_no_words_that_nobody_wrote() -> None:
    messages = [HI, CALLING | {"content": ""}, RESULT, YES | {"content": " "}, user([part(""), part("go")])]
    wire, _ = await asked(deployment("anthropic"), messages=messages, tools=[{"type": "function", "function": {"name": "f"}}])

    assert [(turn["role"], [block["type"] for block in turn["content"]]) for turn in wire.body["messages"]] == [
        ("user", ["text"]),
        ("assistant", ["tool_use"]),
        ("user", ["tool_result", "text"]),
    ]
    assert "sanitised" not in json.dumps(wire.body)
