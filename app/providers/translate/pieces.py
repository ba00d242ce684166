"""What a model said, in no dialect: the middle between a provider's answer and OpenAI's, streamed and whole alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.utils.json import dump_json

_COUNT_LIMIT = 2**53


@dataclass(frozen=True, slots=True)
class ToolPiece:
    """A part of a tool call: its id and name once, its arguments as text in any number of parts. `index` tells the calls of one choice apart."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one choice."""

    choice: int = 0
    content: str = field(default="", repr=False)
    reasoning: str = field(default="", repr=False)
    tools: tuple[ToolPiece, ...] = ()
    finish: str | None = None
    logprobs: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def says_something(self) -> bool:
        """Say whether a caller would notice it: many a dialect opens with an event that only announces the answer."""
        return bool(self.content or self.reasoning or self.tools or self.finish) or self.logprobs is not None


@dataclass(frozen=True, slots=True)
class Spoken:
    """A whole answer. `usage` is OpenAI's object, None where the provider did not count; `model` the provider's name of who answered."""

    pieces: tuple[Piece, ...]
    usage: dict[str, Any] | None = None
    model: str | None = None


def usage(prompt: int, completion: int, *, cached: int = 0, reasoning: int = 0) -> dict[str, Any] | None:
    """Return OpenAI's usage object. `cached` and `reasoning` are parts of `prompt` and `completion`.

    None where the provider cannot have counted: below 0, or beyond what every JSON reader takes for an integer. Costs and quotas are made of these figures.
    """
    if not all(0 <= count < _COUNT_LIMIT for count in (prompt, completion, cached, reasoning)):
        return None
    counted: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    if cached:
        counted["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning:
        counted["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return counted


def usage_of(counted: Any) -> dict[str, Any] | None:
    """Read LiteLLM's `Usage`."""
    if counted is None:
        return None
    prompt, completion = getattr(counted, "prompt_tokens_details", None), getattr(counted, "completion_tokens_details", None)
    return usage(
        int(counted.prompt_tokens or 0),
        int(counted.completion_tokens or 0),
        cached=int(getattr(prompt, "cached_tokens", None) or 0),
        reasoning=int(getattr(completion, "reasoning_tokens", None) or 0),
    )


def piece_of(choice: Any, said: Any, *, finish: str | None) -> Piece:
    """Read one choice of LiteLLM's `ModelResponse` or `ModelResponseStream`; `said` is its message or delta."""
    calls = said.tool_calls or ()
    logprobs = getattr(choice, "logprobs", None)
    return Piece(
        choice=int(choice.index or 0),
        content=said.content or "",
        reasoning=getattr(said, "reasoning_content", None) or "",
        tools=tuple(_tool_piece(number, call) for number, call in enumerate(calls)),
        finish=finish,
        logprobs=None if logprobs is None else _plain(logprobs),
    )


def _tool_piece(number: int, call: Any) -> ToolPiece:
    index = getattr(call, "index", None)
    return ToolPiece(number if index is None else int(index), call.id, call.function.name, as_text(call.function.arguments))


def _plain(model: Any) -> dict[str, Any]:
    """Return logprobs as OpenAI writes them: `bytes` and `refusal` may be null but not absent."""
    tokens = model.model_dump().get("content") or []
    content = [{"token": t["token"], "logprob": t["logprob"], "bytes": None, "top_logprobs": _tops(t)} for t in tokens]
    return {"content": content, "refusal": None}


def _tops(token: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"token": top["token"], "logprob": top["logprob"], "bytes": None} for top in token.get("top_logprobs") or []]


def as_text(arguments: Any) -> str:
    """Return a tool call's arguments as the JSON text that OpenAI has, whatever the provider made of them."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else dump_json(arguments).decode()
