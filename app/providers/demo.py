"""The demo lane: a built-in model that answers while nothing is configured. It says what was decided about the request, in OpenAI's shape; no I/O."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import orjson

from app.domain import Failure
from app.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from app.domain import Call, Facts


class DemoAnswer:
    """An answer made on the spot."""

    dropped_params: tuple[str, ...] = ()

    def __init__(self, call: Call) -> None:
        self._call = call
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": "demo"}
        text = _text(call)
        self._words = text.split(" ")
        self._text = text
        self._n = call.body.get("n") or 1
        prompt = call.facts.tokens_about if call.facts is not None else 0
        completion = len(self._words) * self._n
        self._usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    async def body(self) -> bytes:
        """Return a `chat.completion`."""
        message = {"role": "assistant", "content": self._text, "refusal": None}
        choices = [{"index": index, "message": message, "logprobs": None, "finish_reason": "stop"} for index in range(self._n)]
        return orjson.dumps({**self._head, "object": "chat.completion", "choices": choices, "usage": self._usage})

    async def events(self) -> AsyncIterator[bytes]:
        """Yield `chat.completion.chunk` events, a word each."""
        for index in range(self._n):
            yield self._chunk(index, {"role": "assistant", "content": ""})
            for place, word in enumerate(self._words):
                yield self._chunk(index, {"content": word if place == 0 else f" {word}"})
            yield self._chunk(index, {}, "stop")
        yield self._event({"choices": [], "usage": self._usage})
        yield b"data: [DONE]\n\n"

    def offer(self, take: Callable[[bytes], bool]) -> None:
        """Offer nothing: the words are all there."""

    def error_inside(self, error: Mapping[str, Any]) -> UpstreamError:  # noqa: ARG002 -- the port's
        """Return a fault of ours: the demo model's streams hold no errors."""
        return UpstreamError(Failure.BROKEN)

    def close(self) -> None:
        """Nothing is held."""

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self._event({"choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    def _event(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps({**self._head, "object": "chat.completion.chunk", **fields}) + b"\n\n"


class DemoLane:
    """Answers without an upstream."""

    async def open(self, call: Call) -> DemoAnswer:
        """Return an answer at once."""
        return DemoAnswer(call)


def _text(call: Call) -> str:
    facts = call.facts
    decided: dict[str, Any] = {"rule": call.rule} | (_decided(facts) if facts is not None else {})
    if (call.body.get("response_format") or {}).get("type") == "json_object":
        return orjson.dumps(decided).decode()
    listed = ", ".join(f"{name}: {value}" for name, value in decided.items())
    intro = "This is Sluice's built-in demo model, because no deployment is active. Your request was decided as follows:"
    return f"{intro} {listed}. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or OLLAMA_BASE_URL in .env and restart to get a real answer."


def _decided(facts: Facts) -> dict[str, Any]:
    return {
        "label": str(facts.label),
        "label_reason": facts.label_reason,
        "findings": " ".join(facts.kinds) or "none",
        "complexity": f"{facts.complexity.tier} ({facts.complexity.score:.2f})",
        "prompt_tokens": facts.tokens_about,
    }
