from __future__ import annotations

import copy
from typing import Any

import pytest

from app.policy.blobs import blanked, find_blobs, without

SEAL = "EqQBCgIYAhIM/c2lnbmF0dXJl+Q=="
USER = {"role": "user", "content": "Go on."}

# Each shape with a blob in it, and what is left for a deployment that did not issue the blob.
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Anthropic's thoughts, as LiteLLM has them": (
        {"role": "assistant", "content": "a", "thinking_blocks": [{"type": "thinking", "thinking": "so", "signature": SEAL}]},
        {"role": "assistant", "content": "a"},
    ),
    "redacted thoughts among other parts": (
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": SEAL}, {"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
    ),
    "nothing but thoughts": (
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "so", "signature": SEAL}]},
        {"role": "assistant", "content": ""},
    ),
    "Gemini's on a call": (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "function": {"name": "f"}, "extra_content": {"google": {"thought_signature": SEAL}}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
    ),
    "Gemini's on a call's id": (
        {"role": "assistant", "content": None, "tool_calls": [{"id": f"c__thought__{SEAL}", "function": {"name": "f"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
    ),
    "the result of such a call": (
        {"role": "tool", "tool_call_id": f"c__thought__{SEAL}", "content": "1"},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ),
    "OpenRouter's details": (
        {"role": "assistant", "content": "a", "reasoning_details": [{"type": "reasoning.encrypted", "data": SEAL}, {"type": "reasoning.text", "text": "so"}]},
        {"role": "assistant", "content": "a", "reasoning_details": [{"type": "reasoning.text", "text": "so"}]},
    ),
    "encrypted content": ({"role": "assistant", "content": "a", "encrypted_content": SEAL}, {"role": "assistant", "content": "a"}),
    "a list of signatures": (
        {"role": "assistant", "content": "a", "provider_specific_fields": {"thought_signatures": [SEAL, 1, "other"]}},
        {"role": "assistant", "content": "a", "provider_specific_fields": {"thought_signatures": [1, "other"]}},
    ),
    "a list of one signature": ({"role": "assistant", "content": "a", "thought_signatures": [SEAL]}, {"role": "assistant", "content": "a"}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_blob_is_found_and_taken_out(name: str) -> None:
    message, left = copy.deepcopy(SHAPES[name])
    body = {"model": "auto", "messages": [USER, message]}
    before = copy.deepcopy(body)

    assert SEAL in find_blobs(body)
    assert without(body, {SEAL}) == {"model": "auto", "messages": [USER, left]}
    assert body == before


@pytest.mark.parametrize("name", SHAPES)
def test_a_blanked_blob_leaves_everything_else_in_its_place(name: str) -> None:
    body = {"model": "auto", "messages": [USER, SHAPES[name][0]]}

    left = blanked(body, {SEAL})

    assert SEAL not in repr(left)
    assert repr(left).replace("''", "") == repr(body).replace(f"__thought__{SEAL}", "").replace(repr(SEAL), "")


@pytest.mark.parametrize("name", SHAPES)
def test_another_blob_is_left_alone(name: str) -> None:
    body = {"messages": [SHAPES[name][0]]}

    assert without(body, {"other blob"}) == body


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": "x"},
        {"messages": [USER, 1]},
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": "signature"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}], "signature": "John Smith"}]},
        {"messages": [{"role": "user", "content": "a", "signature": ""}]},
        {"tools": [{"function": {"parameters": {"properties": {"signature": {"type": "string"}}}}}], "messages": [USER]},
    ],
)
def test_prose_and_schemas_hold_no_blob(body: dict[str, Any]) -> None:
    assert find_blobs(body) == ()
