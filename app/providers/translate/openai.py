"""Writing OpenAI's dialect: a whole `chat.completion`, or the events of its stream, each serialised once.

Shapes: `CreateChatCompletionResponse` and `CreateChatCompletionStreamResponse` of OpenAI's API description.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from app.domain import Failure
from app.errors import UpstreamError
from app.utils.json import dump_json

if TYPE_CHECKING:
    from app.providers.translate.pieces import Piece, Spoken, ToolPiece

DONE = b"data: [DONE]\n\n"  # gateway/streaming.py, which no provider may import, has it too
KEEP_ALIVE = b": keep-alive\n\n"  # what a provider's own ping becomes; the gateway says another thing where it waits
_AFTER_TEXT = b'},"logprobs":null,"finish_reason":null}]}\n\n'
_FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter"})


class _Choice:
    """What one choice has said so far."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, dict[str, Any]] = {}  # the provider's index -> OpenAI's tool call, its `index` dense
        self.logprobs: list[dict[str, Any]] = []
        self.finish: str | None = None
        self.silent: dict[int, int] = {}  # provider's index -> OpenAI's, of calls without a word of arguments yet

    def finish_reason(self) -> str:
        """Return OpenAI's reason. A call of tools is one whatever the provider calls its end, and no call is none."""
        if self.finish is None:
            raise UpstreamError(Failure.BROKEN)
        reason = self.finish if self.finish in _FINISHES else "stop"
        if self.calls and reason == "stop":
            return "tool_calls"
        return "stop" if reason == "tool_calls" and not self.calls else reason

    def call(self, tool: ToolPiece) -> tuple[dict[str, Any], bool]:
        """Return the call that a piece belongs to, and whether it is new."""
        known = self.calls.get(tool.index)
        if known is not None:
            return known, False
        call = {
            "index": len(self.calls),
            "id": tool.id or f"call_{uuid4().hex[:24]}",
            "type": "function",
            "function": {"name": tool.name or "", "arguments": ""},
        }
        self.calls[tool.index] = call
        return call, True


def completion(spoken: Spoken, model: str) -> bytes:
    """Return a whole answer. Raises UpstreamError (BROKEN) when a choice has no end."""
    choices: dict[int, _Choice] = {}
    for piece in spoken.pieces:
        _collect(choices.setdefault(piece.choice, _Choice()), piece)
    if not choices:
        raise UpstreamError(Failure.BROKEN)
    answer: dict[str, Any] = {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": spoken.model or model,
        "choices": [_whole_choice(index, choices[index]) for index in sorted(choices)],
    }
    if spoken.usage is not None:
        answer["usage"] = spoken.usage
    return dump_json(answer)


def _collect(choice: _Choice, piece: Piece) -> None:
    choice.content.append(piece.content)
    choice.reasoning.append(piece.reasoning)
    for tool in piece.tools:
        choice.call(tool)[0]["function"]["arguments"] += tool.arguments
    if piece.logprobs is not None:
        choice.logprobs.extend(piece.logprobs["content"])
    choice.finish = piece.finish or choice.finish


def _whole_choice(index: int, choice: _Choice) -> dict[str, Any]:
    content, reasoning = "".join(choice.content), "".join(choice.reasoning)
    message: dict[str, Any] = {"role": "assistant", "content": None if choice.calls and not content else content, "refusal": None}
    if reasoning:
        message["reasoning_content"] = reasoning
    if choice.calls:
        message["tool_calls"] = [_whole_call(call) for call in choice.calls.values()]
    logprobs = {"content": choice.logprobs, "refusal": None} if choice.logprobs else None
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason()}


def _whole_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {"id": call["id"], "type": "function", "function": {"name": function["name"], "arguments": function["arguments"] or "{}"}}


class ChunkWriter:
    """Writes a stream's events: one id, one time and one model; a role first and a reason last for each choice; then usage, then `[DONE]`."""

    def __init__(self, model: str) -> None:
        self._head: dict[str, Any] = {"id": f"chatcmpl-{uuid4().hex}", "object": "chat.completion.chunk", "created": int(time.time()), "model": model}
        self._choices: dict[int, _Choice] = {}
        self._before_text: dict[tuple[int, str], bytes] = {}  # by choice and field: what stands before the text, which alone differs from event to event

    def write(self, piece: Piece) -> bytes:
        """Return the events of a piece; a reason to finish is kept for the end."""
        choice = self._choices.get(piece.choice)
        if choice is not None and piece.finish is None and not piece.tools and piece.logprobs is None and not (piece.content and piece.reasoning):
            return self._text(piece)
        delta: dict[str, Any] = {}
        if choice is None:
            choice = self._choices[piece.choice] = _Choice()
            delta = {"role": "assistant", "content": None if piece.tools else ""}
        choice.finish = piece.finish or choice.finish
        if piece.reasoning:
            delta["reasoning_content"] = piece.reasoning
        if piece.content:
            delta["content"] = piece.content
        if piece.tools:
            calls = [_call_delta(choice, tool) for tool in piece.tools]
            if any(calls):
                delta["tool_calls"] = [call for call in calls if call]
        if not delta and piece.logprobs is None:
            return b""
        return self._event([{"index": piece.choice, "delta": delta, "logprobs": piece.logprobs, "finish_reason": None}])

    def _text(self, piece: Piece) -> bytes:
        """Return the event of a piece that is only text."""
        name, text = ("content", piece.content) if piece.content else ("reasoning_content", piece.reasoning)
        if not text:
            return b""
        before = self._before_text.get((piece.choice, name))
        if before is None:
            head = dump_json(self._head)[:-1]
            before = self._before_text[piece.choice, name] = b'data: %b,"choices":[{"index":%d,"delta":{"%b":' % (head, piece.choice, name.encode())
        return before + dump_json(text) + _AFTER_TEXT

    def end(self, usage: dict[str, Any] | None) -> bytes:
        """Return the stream's last events. Raises UpstreamError (BROKEN) when a choice has no end."""
        if not self._choices:
            raise UpstreamError(Failure.BROKEN)
        events = []
        for index, choice in sorted(self._choices.items()):
            empty = [{"index": call, "function": {"arguments": "{}"}} for call in choice.silent.values()]
            if empty:
                events.append(self._event([{"index": index, "delta": {"tool_calls": empty}, "logprobs": None, "finish_reason": None}]))
            events.append(self._event([{"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.finish_reason()}]))
        if usage is not None:
            events.append(self._event([], usage))
        return b"".join((*events, DONE))

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk = {**self._head, "choices": choices} if usage is None else {**self._head, "choices": choices, "usage": usage}
        return b"data: " + dump_json(chunk) + b"\n\n"


def _call_delta(choice: _Choice, tool: ToolPiece) -> dict[str, Any]:
    call, new = choice.call(tool)
    if tool.arguments:
        choice.silent.pop(tool.index, None)
    elif new:
        choice.silent[tool.index] = call["index"]
    if not new and not tool.arguments:
        return {}
    if new:
        return {**call, "function": {"name": call["function"]["name"], "arguments": tool.arguments}}
    return {"index": call["index"], "function": {"arguments": tool.arguments}}
