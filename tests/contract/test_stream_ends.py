"""Ends are honest: whatever byte a provider's stream is cut after, the caller sees a clean end only where the dialect's own end had arrived."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import pytest

from app.errors import UpstreamError
from app.gateway.streaming import DONE, StreamWatch
from tests.contract.stream_source import PROVIDERS, play, readers, resumed, source

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = " ".join("abcdefghij"[i % 10] for i in range(64))

# What stands in the chunk that ends a stream in each dialect. OpenAI's has ended when every choice has its reason, also without `[DONE]`, which some servers
# leave out.
_LAST_WORDS = {
    "openai": b'"finish_reason":"stop"',
    "anthropic": b'"message_stop"',
    "bedrock": b"metadata",
    "cohere_chat": b'"message-end"',
    "gemini": b'"STOP"',
    "ollama_chat": b'"done":true',
}


def whole_from(provider: str, chunks: Sequence[bytes]) -> int:
    """Return from which byte on a stream whose HTTP ends as it should is whole: the blank line after the last event may be missing."""
    number = next(number for number, chunk in enumerate(chunks) if _LAST_WORDS[provider] in chunk)
    last = chunks[number] if provider == "bedrock" else chunks[number].rstrip()
    return sum(map(len, chunks[:number])) + len(last)


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_connection_that_breaks_is_told_whatever_chunk_it_breaks_after(provider: str) -> None:
    stream = await source(provider, WORDS)
    last = len(stream.chunks) if provider == "gemini" else len(stream.chunks) - 1  # Gemini's only last word is HTTP's own

    for count in range(last):
        heard = await play(stream.to, stream.chunks[:count], cut=True)

        assert heard.is_error, count
        assert WORDS.startswith(heard.text)


async def test_a_connection_that_breaks_after_the_dialects_last_word_is_whole(provider: str) -> None:
    stream = await source(provider, WORDS)

    heard = await play(stream.to, stream.chunks, cut=True)

    assert heard.is_clean is (provider != "gemini")
    assert heard.text == WORDS


async def test_a_clean_end_of_http_is_none_of_the_stream_whatever_chunk_it_comes_after(provider: str) -> None:
    stream = await source(provider, WORDS)
    whole = whole_from(provider, stream.chunks)

    for count in range(len(stream.chunks) + 1):
        heard = await play(stream.to, stream.chunks[:count])

        assert heard.is_clean is (sum(map(len, stream.chunks[:count])) >= whole), count
        assert heard.is_clean or heard.is_error


async def test_a_clean_end_of_http_is_none_of_openais_stream_whatever_byte_it_comes_after() -> None:
    stream = await source("openai", WORDS)
    raw, whole = stream.raw, whole_from("openai", stream.chunks)
    ends = {end for end in accumulate(map(len, stream.chunks)) if end >= whole}  # in the middle of the usage chunk an error is the truth too

    for at in range(len(raw)):
        watch = StreamWatch(include_usage=True)
        try:
            ended = (watch.feed(raw[:at]) + watch.finish()).endswith(DONE)
        except UpstreamError:
            ended = False

        assert not ended or at >= whole, at
        assert ended or at not in ends


@pytest.mark.parametrize("provider", PROVIDERS[1:])
async def test_a_clean_end_of_http_is_none_of_the_stream_whatever_byte_it_comes_after(provider: str) -> None:
    stream = await source(provider, WORDS)
    whole, begun = whole_from(provider, stream.chunks), 0
    known = list(readers(stream))

    for number, chunk in enumerate(stream.chunks):
        before = stream.chunks[max(0, number - 2) : number]
        for at in range(len(chunk)):
            answer = resumed(stream.to, known[max(0, number - 2)](), [*before, chunk[:at]])
            try:
                ended = b"".join([data async for data in answer.events()]).endswith(b"data: [DONE]\n\n")
            except UpstreamError:
                ended = False

            assert ended is (begun + at >= whole), (number, at)
        begun += len(chunk)
