"""Extended thinking of Claude models, on Anthropic's API and on Bedrock: rules of theirs that LiteLLM leaves to the caller.

Source: docs.anthropic.com, "Extended thinking". `reasoning_effort` only tunes, so it yields to what the caller asked for besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.providers.translate.wanted import Wanted

_MIN_BUDGET = 1024  # tokens; a smaller budget is refused


def yield_thinking(wanted: Wanted, params: dict[str, Any]) -> set[str]:
    """Leave thinking out beside a forced tool, and while a tool's result is awaited: that turn must repeat signed thoughts, which OpenAI's messages lack."""
    if "reasoning_effort" not in params:
        return set()
    last = next((message for message in reversed(wanted.messages) if message["role"] in ("assistant", "user")), None)
    if params.get("tool_choice", "auto") in ("auto", "none") and not (last is not None and last.get("tool_calls")):
        return set()
    del params["reasoning_effort"]
    return {"reasoning_effort"}


def settle_thinking(mapped: dict[str, Any], *, max_tokens: str, top_p: str) -> set[str]:
    """Make a thinking budget fit: below the bound on the answer, without a forced tool, without sampling of the caller's own.

    `max_tokens` and `top_p` are the dialect's names among `mapped`. Returns the parameters that are left out for it.
    """
    thinking = mapped.get("thinking")
    if not isinstance(thinking, dict):
        return set()
    bound = int(mapped.get(max_tokens) or 0)
    over = 0 < bound <= int(thinking.get("budget_tokens") or 0)
    if _forces_a_tool(mapped.get("tool_choice")) or (over and bound <= _MIN_BUDGET):
        mapped.pop("thinking")
        mapped.pop("output_config", None)
        return {"reasoning_effort"}
    if over:
        mapped["thinking"] = {**thinking, "budget_tokens": bound - 1}
    return {name for name, theirs in (("temperature", "temperature"), ("top_p", top_p)) if mapped.pop(theirs, None) is not None}


def _forces_a_tool(choice: Any) -> bool:
    return isinstance(choice, dict) and (choice.get("type") in ("any", "tool") or "any" in choice or "tool" in choice)
