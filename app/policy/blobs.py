"""Opaque blobs of providers in a conversation: signed or encrypted thoughts that a client sends back with the next turn, and that no scanner can read.

Sources: Anthropic, "Extended thinking" (`signature`, `redacted_thinking`); Gemini, "Thought signatures" (`extra_content.google.thought_signature`);
OpenRouter, "Reasoning tokens" (`reasoning_details`); OpenAI and xAI (`encrypted_content`); LiteLLM, which hangs Gemini's onto a tool call's id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_KEYS = frozenset({"signature", "thought_signature", "thoughtSignature", "thought_signatures", "encrypted_content"})
_SEALED = frozenset({"reasoning.encrypted", "redacted_thinking"})  # parts whose `data` is a blob
_WHOLE = _SEALED | {"thinking", "reasoning.text", "reasoning.summary"}  # parts that are refused without their blob
_IDS = frozenset({"id", "tool_call_id"})
_HUNG_ON = "__thought__"
_GONE = object()
_PLAIN = frozenset({"role", "content", "name", "refusal"})


def find_blobs(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the blobs in the messages of a parsed body, each once."""
    messages = body.get("messages")
    found: dict[str, None] = {}
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and not _is_plain(message):
            found.update(dict.fromkeys(blobs_in(message)))
    return tuple(found)


def blobs_in(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the blobs of one message or delta."""
    stack: list[Any] = [message]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, str):
                    blob = _blob(value, key, inner)
                    if blob:
                        yield blob
                elif key in _KEYS and isinstance(inner, list):
                    yield from (item for item in inner if isinstance(item, str) and _is_opaque(item))
                else:
                    stack.append(inner)
        elif isinstance(value, list):
            stack.extend(value)


def _is_plain(message: Mapping[str, Any]) -> bool:
    """Say whether a message is of the kind that most are, with a few keys and one text, and so holds no blob."""
    return message.keys() <= _PLAIN and isinstance(message.get("content"), str)


def without(body: Mapping[str, Any], blobs: Collection[str]) -> Mapping[str, Any]:
    """Return the body without these blobs: the field goes, or the whole part where a provider refuses one without its signature."""
    return {**body, "messages": [_stripped(message, blobs) for message in body["messages"]]}


def blanked(body: Mapping[str, Any], blobs: Collection[str]) -> Mapping[str, Any]:
    """Return the body with nothing in the place of each of these blobs, so that every position stays what it is."""
    return {**body, "messages": [_blanked(message, blobs) for message in body["messages"]]}


def _blanked(value: Any, blobs: Collection[str]) -> Any:
    if isinstance(value, str):
        head, hung_on, tail = value.partition(_HUNG_ON)
        return "" if value in blobs else head if hung_on and tail in blobs else value
    if isinstance(value, list):
        return [_blanked(item, blobs) for item in value]
    return {key: _blanked(inner, blobs) for key, inner in value.items()} if isinstance(value, dict) else value


def _blob(owner: Mapping[str, Any], key: str, text: str) -> str:
    """Return the blob that an entry holds, or ""."""
    if key in _KEYS or (key == "data" and owner.get("type") in _SEALED):
        return text if _is_opaque(text) else ""
    return text.partition(_HUNG_ON)[2] if key in _IDS else ""


def _is_opaque(text: str) -> bool:
    """Say whether a text can be a blob: what has spaces is prose, and is scanned as such."""
    return text.split(None, 1) == [text]


def _stripped(value: Any, blobs: Collection[str]) -> Any:
    """Return a value without blobs; _GONE where nothing of it is left, or where it is refused without them."""
    if not value or not isinstance(value, (list, dict)):
        return value
    if isinstance(value, list):
        return [inner for item in value if (inner := _stripped(item, blobs)) is not _GONE] or _GONE
    if value.get("type") in _WHOLE and any(isinstance(inner, str) and _blob(value, key, inner) in blobs for key, inner in value.items()):
        return _GONE
    return {key: left for key, inner in value.items() if (left := _entry(value, key, inner, blobs)) is not _GONE} or _GONE


def _entry(owner: Mapping[str, Any], key: str, inner: Any, blobs: Collection[str]) -> Any:
    if isinstance(inner, str):
        if _blob(owner, key, inner) not in blobs:
            return inner
        return inner.partition(_HUNG_ON)[0] if key in _IDS else _GONE
    if key in _KEYS and isinstance(inner, list):
        return [item for item in inner if item not in blobs] or _GONE
    left = _stripped(inner, blobs)
    return "" if left is _GONE and key == "content" else left
