"""Messages for an API that takes no empty text: what says nothing is left out.

LiteLLM would put words of its own in its place ("[System: Empty message content ...]"), which the model would read as the caller's, or as its own.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from app.providers.translate.wanted import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.providers.translate.wanted import Limits


def without_blanks(messages: Sequence[dict[str, Any]], limits: Limits) -> list[dict[str, Any]]:
    """Return the messages without texts that are empty or white space, and without those of which nothing is left.

    Raises UpstreamError (REJECTED) for a user's turn that says nothing at all: an answer to the turns before it would not be what was asked for. So it does
    where nothing is left but the system's messages.
    """
    bare = [_bare(message) for message in messages]
    for by_model, turn in groupby(enumerate(bare), key=lambda numbered: bool(numbered[1]["role"] == "assistant")):
        said = list(turn)
        blank = next((number for number, message in said if message["role"] == "user" and not message["content"]), None)
        if not by_model and blank is not None and not any(message["role"] == "tool" or _is_users(message) for _, message in said):
            refuse(limits, f"messages[{blank}].content", "must not be empty")
    kept = [message for message in bare if message["content"] or message.get("tool_calls") or message["role"] in ("system", "tool")]
    with_a_turn(kept, limits)
    return kept


def with_a_turn(messages: Sequence[dict[str, Any]], limits: Limits) -> None:
    """Raise UpstreamError (REJECTED) where there is no message but the system's, for an API that takes those beside the conversation."""
    if all(message["role"] == "system" for message in messages):
        refuse(limits, "messages", "must hold a message besides the system's")


def _bare(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] not in ("user", "assistant"):
        return message
    content = message["content"]
    if isinstance(content, list):
        content = [part for part in content if part["type"] != "text" or part["text"].strip()]
    elif content is not None and not content.strip():
        content = None
    return {**message, "content": content or None}


def _is_users(message: dict[str, Any]) -> bool:
    return message["role"] == "user" and bool(message["content"])
