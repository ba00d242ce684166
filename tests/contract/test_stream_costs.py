"""Streamed or whole, the same answer costs the same: in every dialect, whatever its provider counts, and where it counts nothing."""

from __future__ import annotations

import asyncio
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Usage
from app.gateway.receipt import cost_usd
from tests.contract.stream_source import PROMPT_TOKENS, PROVIDERS, play, play_whole, source, target, whole_source
from tests.simulators.bedrock import _event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain import Deployment
    from tests.contract.stream_source import Heard

WORDS = "one two three four five"
EXAMPLES = 60


@dataclass(frozen=True)
class Counts:
    """What a provider says that it counted: `prompt` with what came from its cache or went there, `completion` with thoughts and audio."""

    prompt: int
    cached: int
    written: int
    completion: int
    thought: int
    audio: int


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    number = st.integers(0, 200_000)
    cached, written, rest, said, thought = (draw(number) for _ in range(5))
    return Counts(cached + written + rest, cached, written, said + thought, thought, draw(st.integers(0, said)))


def _openai(of: Counts) -> dict[str, Any]:
    counted = {"prompt_tokens": of.prompt, "completion_tokens": of.completion, "total_tokens": of.prompt + of.completion}
    spoken = {"audio_tokens": of.audio, "reasoning_tokens": of.thought}
    return {"usage": counted | {"prompt_tokens_details": {"cached_tokens": of.cached, "audio_tokens": 0}, "completion_tokens_details": spoken}}


def _anthropic(of: Counts) -> dict[str, Any]:
    read = {"cache_read_input_tokens": of.cached, "cache_creation_input_tokens": of.written}
    return {"usage": {"input_tokens": of.prompt - of.cached - of.written, **read, "output_tokens": of.completion}}


def _bedrock(of: Counts) -> dict[str, Any]:
    read = {"cacheReadInputTokens": of.cached, "cacheWriteInputTokens": of.written}
    return {"usage": {"inputTokens": of.prompt - of.cached - of.written, **read, "outputTokens": of.completion, "totalTokens": of.prompt + of.completion}}


def _cohere(of: Counts) -> dict[str, Any]:
    return {"usage": {"billed_units": {"input_tokens": 1, "output_tokens": 1}, "tokens": {"input_tokens": of.prompt, "output_tokens": of.completion}}}


def _gemini(of: Counts) -> dict[str, Any]:
    counted = {"promptTokenCount": of.prompt, "cachedContentTokenCount": of.cached, "candidatesTokenCount": of.completion - of.thought}
    return {"usageMetadata": counted | {"thoughtsTokenCount": of.thought, "totalTokenCount": of.prompt + of.completion}}


def _ollama(of: Counts) -> dict[str, Any]:
    return {"prompt_eval_count": of.prompt, "eval_count": of.completion}


_TOLD: dict[str, Callable[[Counts], dict[str, Any]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "cohere_chat": _cohere,
    "gemini": _gemini,
    "ollama_chat": _ollama,
}
_HAVE_NO_CACHE = {"cohere_chat", "ollama_chat"}  # or do not count it


def recounted(value: Any, told: dict[str, Any]) -> Any:
    """Return a JSON value with every count replaced by what is `told`, and without it where that is nothing."""
    if isinstance(value, list):
        return [recounted(item, told) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "message_delta" and told:  # Anthropic's last count says what is new alone, beside what its first event said
        return {**value, "usage": {"output_tokens": told["usage"]["output_tokens"]}}
    names = {"usage", "usageMetadata", "prompt_eval_count", "eval_count"}
    return {name: told.get(name) if name in names else recounted(item, told) for name, item in value.items() if name not in names or name in told}


def recounted_chunk(provider: str, chunk: bytes, told: dict[str, Any]) -> bytes:
    if provider == "bedrock":
        return _event("metadata", told | {"metrics": {"latencyMs": 1}}) if b"metadata" in chunk else chunk
    begin, end = chunk.find(b"{"), chunk.rfind(b"}") + 1
    return chunk if begin < 0 else chunk[:begin] + json.dumps(recounted(json.loads(chunk[begin:end]), told)).encode() + chunk[end:]


@functools.cache
def answers_of(provider: str) -> tuple[bytes, Sequence[bytes]]:
    """Return what a provider says, whole and streamed."""
    return asyncio.run(whole_source(provider, WORDS)), asyncio.run(source(provider, WORDS)).chunks


def both(provider: str, told: dict[str, Any]) -> tuple[Heard, Heard]:
    """Return what the caller is told, and the account, of the same answer whole and streamed."""
    return asyncio.run(_both(target(provider), told, *answers_of(provider)))


async def _both(to: Deployment, told: dict[str, Any], whole: bytes, chunks: Sequence[bytes]) -> tuple[Heard, Heard]:
    heard = await play_whole(to, json.dumps(recounted(json.loads(whole), told)).encode())
    streamed = await play(to, [recounted_chunk(to.provider, chunk, told) for chunk in chunks], include_usage=True)
    assert streamed.is_clean
    return heard, streamed


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_streamed_answer_costs_what_it_costs_whole(provider: str) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(counts())
    def holds(of: Counts) -> None:
        whole, streamed = both(provider, _TOLD[provider](of))

        assert json.loads(whole.raw)["usage"] == streamed.usages[0]
        assert len(streamed.usages) == 1
        assert whole.receipt.usage == streamed.receipt.usage == Usage(of.prompt, of.completion, 0 if provider in _HAVE_NO_CACHE else of.cached)
        assert whole.receipt.cost_usd == streamed.receipt.cost_usd == cost_usd(target(provider), whole.receipt.usage)

    holds()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_nobody_counted_is_estimated_alike(provider: str) -> None:
    whole, streamed = both(provider, {})

    assert whole.receipt.usage == streamed.receipt.usage == Usage(PROMPT_TOKENS, -(-len(WORDS) // 4), estimated=True)
    assert whole.receipt.cost_usd == streamed.receipt.cost_usd
    assert streamed.usages[0]["estimated"] is True
