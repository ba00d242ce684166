"""Our readers of streams beside LiteLLM's, on the simulators' streams and on made-up ones: what a caller is told is the same, event for event."""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.providers.translate import load
from app.providers.translate.openai import ChunkWriter
from app.providers.translate.pieces import Piece, piece_of
from tests.contract.stream_source import source
from tests.unit.providers.translate.support import deployment, sse

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

    from app.providers.translate.dialect import Reader

load()
anthropic: Any = importlib.import_module("app.providers.translate.anthropic")
gemini: Any = importlib.import_module("app.providers.translate.gemini")
AnthropicIterator: Any = importlib.import_module("litellm.llms.anthropic.chat.handler").ModelResponseIterator

_SPEAKING = frozenset({"content_block_start", "content_block_delta", "content_block_stop", "message_delta"})
_MADE_UP_ID = re.compile(r"call_[0-9a-f]{24,32}")


class LiteLLMsAnthropic(anthropic._AnthropicReader):  # type: ignore[misc, name-defined, unused-ignore]
    """Reads every event that says something by LiteLLM's iterator."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._iterator = AnthropicIterator(streaming_response=iter(()), sync_stream=True, json_mode=False)

    def event(self, kind: str, event: dict[str, Any]) -> list[Piece]:
        if event.get("type") not in _SPEAKING:
            return list(super().event(kind, event))
        if event["type"] == "message_delta":
            self._count(event.get("usage"))
        choice = self._iterator.chunk_parser({key: value for key, value in event.items() if key != "usage"}).choices[0]
        return [piece_of(choice, choice.delta, finish=choice.finish_reason or None)]


class LiteLLMsGemini(gemini._GeminiReader):  # type: ignore[misc, name-defined, unused-ignore]
    """Reads every event by LiteLLM's iterator."""

    def _plain(self, _event: dict[str, Any]) -> None:
        return None


def told(reader: Reader, raw: bytes) -> tuple[Any, ...]:
    """Return what a caller is told of a stream: its events, without ids that are made up, and how it ends."""
    writer, written, failure = ChunkWriter("m"), b"", ""
    try:
        for pieces in (reader.feed(raw), reader.flush()):
            for piece in pieces:
                written += writer.write(piece)
        written += writer.end(reader.usage)
    except UpstreamError as error:
        failure = error.failure
    except Exception:  # noqa: BLE001 -- the lane calls whatever a reader raises broken
        failure = "broken"
    events = [json.loads(_MADE_UP_ID.sub("call_", line[6:])) for line in written.decode().split("\n\n") if line.startswith("data: {")]
    return [{**event, "id": "", "created": 0} for event in events], reader.usage, reader.model, reader.ended, failure


def agree(provider: str, raw: bytes) -> tuple[Any, ...]:
    to = deployment(provider)
    ours, theirs = (gemini._GeminiReader, LiteLLMsGemini) if provider == "gemini" else (anthropic._AnthropicReader, LiteLLMsAnthropic)

    heard = told(ours(to), raw)

    assert heard == told(theirs(to), raw)
    return heard


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["", "data:", "data:audio/mp3;base64,QUJD", "<think>"])
COUNT = st.integers(-1, 2**54) | st.just(0) | st.none()
ODD: SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"type": "ping"}, {"type": "unheard_of", "delta": {"text": "x"}}, {}, {"error": {"type": "overloaded_error", "message": "x"}}]
)


def some(**fields: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    """Return dictionaries that have some of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


# Anthropic's blocks: each with its start and the deltas that belong to it, or to another kind.
_ARGUMENTS = st.builds(lambda text: {"type": "input_json_delta", "partial_json": text}, st.sampled_from(["", '{"a":', "1}"]))
_DELTAS = {
    "text": st.builds(lambda text: {"type": "text_delta", "text": text}, TEXT) | st.just({"type": "citations_delta", "citation": {"cited_text": "x"}}),
    "thinking": st.builds(lambda text: {"type": "thinking_delta", "thinking": text}, TEXT) | st.just({"type": "signature_delta", "signature": "s"}),
    "tool_use": _ARGUMENTS,
    "server_tool_use": _ARGUMENTS,
    "web_search_tool_result": _ARGUMENTS,
    "redacted_thinking": st.just({"type": "unheard_of_delta", "x": 1}),
}


@st.composite
def _block(draw: DrawFn, index: int) -> list[dict[str, Any]]:
    kind = draw(st.sampled_from(sorted(_DELTAS)))
    named = {"id": f"toolu_{index}", "name": "now", "input": {}, "data": "d", "thinking": "", "content": [], "tool_use_id": "t"}
    deltas = draw(st.lists(_DELTAS[kind], min_size=1, max_size=4))
    return [
        {"type": "content_block_start", "index": index, "content_block": {"type": kind, "text": draw(TEXT), **named}},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


@st.composite
def anthropic_streams(draw: DrawFn) -> list[dict[str, Any]]:
    counted = some(input_tokens=COUNT, output_tokens=COUNT, cache_read_input_tokens=COUNT, cache_creation_input_tokens=COUNT)
    reason = draw(st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "pause_turn", "unheard_of", None]))
    events = [{"type": "message_start", "message": {"model": "claude", **draw(some(usage=counted))}}]
    for index in range(draw(st.integers(0, 4))):
        events += draw(_block(index))
    events += [{"type": "message_delta", "delta": {"stop_reason": reason}, **draw(some(usage=counted))}, {"type": "message_stop"}]
    for _ in range(draw(st.integers(0, 2))):
        events.insert(draw(st.integers(0, len(events))), draw(ODD))
    lost = draw(st.integers(-1, len(events) - 1))  # no delta: to a call without any LiteLLM gives no arguments, and ours gives `{}`
    return [event for place, event in enumerate(events) if place != lost or event.get("type") == "content_block_delta"]


_PART = (
    some(text=TEXT, thought=st.booleans(), thoughtSignature=st.just("c2ln"))
    | st.just({"functionCall": {"name": "now", "args": {"tz": "é"}}})
    | st.just({"functionCall": {"name": "now", "args": {}, "id": "f1"}, "thoughtSignature": "c2ln"})
    | st.just({"inlineData": {"mimeType": "image/png", "data": "QUJD"}})
    | st.just({"executableCode": {"language": "PYTHON", "code": "1"}})
)
_TOKEN = {"token": "a", "logProbability": -0.5}
_CANDIDATE = some(
    content=some(parts=st.lists(_PART, max_size=3), role=st.just("model")),
    index=st.integers(0, 2),
    finishReason=st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "MALFORMED_FUNCTION_CALL", "OTHER", "UNHEARD_OF"]),
    safetyRatings=st.just([{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]),
    citationMetadata=st.just({"citationSources": []}),
    groundingMetadata=st.just({"webSearchQueries": ["x"]}),
    logprobsResult=st.just({"chosenCandidates": [_TOKEN], "topCandidates": [{"candidates": [_TOKEN]}]}),
)
_TALLY = st.integers(0, 2**54)
_COUNTS = st.builds(
    lambda prompt, more: {"promptTokenCount": prompt, **more},
    _TALLY,
    some(
        candidatesTokenCount=_TALLY,
        thoughtsTokenCount=_TALLY,
        cachedContentTokenCount=_TALLY,
        toolUsePromptTokenCount=_TALLY,
        totalTokenCount=_TALLY,
        promptTokensDetails=st.just([{"modality": "TEXT", "tokenCount": 3}]),
        trafficType=st.just("ON_DEMAND"),
    ),
)
_INCLUSIVE = st.just({"promptTokenCount": 4, "candidatesTokenCount": 7, "thoughtsTokenCount": 3, "totalTokenCount": 11})
_WORDS = st.fixed_dictionaries({"parts": st.lists(some(text=TEXT, thought=st.booleans(), thoughtSignature=st.just("c2ln")), max_size=3)})
_SPEAKER = st.fixed_dictionaries({"content": _WORDS}, optional={"index": st.integers(0, 2), "finishReason": st.sampled_from(["STOP", "SAFETY", "UNHEARD_OF"])})


def _apart(candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the candidates, none of which has the number of another, as LiteLLM numbers them."""
    return list({candidate.get("index", place): candidate for place, candidate in enumerate(candidates)}.values())


gemini_streams = st.lists(
    st.fixed_dictionaries({"candidates": st.lists(_SPEAKER, min_size=1, max_size=2).map(_apart), "usageMetadata": _COUNTS | _INCLUSIVE})
    | some(
        candidates=st.lists(_SPEAKER | _CANDIDATE, max_size=2).map(_apart),
        usageMetadata=_COUNTS | _INCLUSIVE,
        modelVersion=st.sampled_from(["gemini-2.5-flash", "gemini@default"]),
        responseId=st.just("r"),
        promptFeedback=st.just({"blockReason": "SAFETY"}),
    )
    | ODD,
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(events=anthropic_streams())
def test_our_reader_of_anthropics_streams_says_what_litellms_says(events: list[dict[str, Any]]) -> None:
    agree("anthropic", sse(*events))


@settings(max_examples=300, deadline=None)
@given(events=gemini_streams)
def test_our_reader_of_geminis_streams_says_what_litellms_says(events: list[dict[str, Any]]) -> None:
    agree("gemini", sse(*events))


@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
@pytest.mark.parametrize("text", ["Hi", "a b c <think> d </think>", "[x] \u2028 é 😀"])
async def test_the_simulators_streams_are_read_alike(provider: str, text: str) -> None:
    events, usage, model, ended, failure = agree(provider, (await source(provider, text)).raw)

    assert "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"]) == text
    assert (usage is not None, bool(model), ended, failure) == (True, True, True, "")
