from __future__ import annotations

from typing import Any

import pytest

from app.providers.translate.thinking import settle_thinking, yield_thinking
from app.providers.translate.wanted import Wanted

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USER = {"role": "user", "content": "hi"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "1"}


@pytest.mark.parametrize(
    ("messages", "dropped"),
    [([USER], False), ([USER, CALLED, RESULT], True), ([USER, CALLED, RESULT, {"role": "assistant", "content": "done"}, USER], False)],
)
def test_thinking_waits_while_a_tools_result_is_read(messages: list[dict[str, Any]], dropped: bool) -> None:
    params = {"reasoning_effort": "low"}

    left_out = yield_thinking(Wanted(messages, params, frozenset()), params)

    assert left_out == ({"reasoning_effort"} if dropped else set())
    assert ("reasoning_effort" not in params) is dropped


@pytest.mark.parametrize(("choice", "dropped"), [("auto", False), ("none", False), ("required", True), ({"type": "function"}, True)])
def test_thinking_yields_to_a_forced_tool(choice: Any, dropped: bool) -> None:
    params = {"reasoning_effort": "low", "tool_choice": choice}

    assert yield_thinking(Wanted([USER], params, frozenset()), params) == ({"reasoning_effort"} if dropped else set())


@pytest.mark.parametrize(
    ("mapped", "budget", "left_out"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4096}, 2048, set()),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 2048}, 2047, set()),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 12}, None, {"reasoning_effort"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4096, "tool_choice": {"type": "any"}}, None, {"reasoning_effort"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4096, "tool_choice": {"tool": {"name": "f"}}}, None, {"reasoning_effort"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4096, "temperature": 0.2, "top_p": 0.9}, 1024, {"temperature", "top_p"}),
        ({"max_tokens": 12, "temperature": 0.2}, None, set()),
    ],
)
def test_a_thinking_budget_is_made_to_fit(mapped: dict[str, Any], budget: int | None, left_out: set[str]) -> None:
    assert settle_thinking(mapped, max_tokens="max_tokens", top_p="top_p") == left_out

    assert mapped.get("thinking", {}).get("budget_tokens") == budget
    assert not left_out & mapped.keys()
