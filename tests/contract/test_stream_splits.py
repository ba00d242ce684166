"""Whatever pieces a provider's bytes arrive in, the caller reads the same: characters of several bytes, line ends and JSON are cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.stream_source import PROVIDERS, Heard, Source, play, source
from tests.simulators.model import MULTIBYTE

TEXT = f"[x] {MULTIBYTE} end"  # U+2028 and its like too, at which careless readers of lines break


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def check(heard: Heard) -> None:
    assert heard.is_clean
    assert heard.text == TEXT
    assert len(heard.usages) == 1


async def test_a_stream_that_arrives_byte_by_byte_is_read_whole(provider: str) -> None:
    stream = await source(provider, TEXT)

    check(await play(stream.to, [bytes([byte]) for byte in stream.raw], include_usage=True))


async def test_a_stream_is_read_whole_wherever_it_is_cut_in_two(provider: str) -> None:
    stream = await source(provider, TEXT)

    for at in range(1, len(stream.raw)):
        check(await play(stream.to, [stream.raw[:at], stream.raw[at:]], include_usage=True))


def _pieces(stream: Source, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream.raw), *(cut % len(stream.raw) for cut in cuts)})
    return [stream.raw[a:b] for a, b in pairwise(edges)]


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 100_000), max_size=40))
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stream_is_read_whole_whatever_pieces_it_comes_in(provider: str, cuts: list[int]) -> None:
    stream = await source(provider, TEXT)

    check(await play(stream.to, _pieces(stream, cuts), include_usage=True))


@pytest.mark.parametrize("provider", ["openai", "anthropic", "cohere_chat", "gemini"])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
async def test_line_ends_and_comments_of_every_kind_pass_cut_anywhere(provider: str, end: bytes) -> None:
    stream = await source(provider, "a b c")
    events = [b": keep-alive\n\n", *(chunk.replace(b"\r\n", b"\n") for chunk in stream.chunks)]
    raw = b": ping\n\n".join(events).replace(b"\n", end)

    for size in (1, 2, 3, 7, 1000):
        heard = await play(stream.to, [raw[at : at + size] for at in range(0, len(raw), size)], include_usage=True)

        assert heard.is_clean
        assert heard.text == "a b c"


async def test_comments_after_the_first_token_reach_the_caller_of_a_relay() -> None:
    stream = await source("openai", "a b c")

    heard = await play(stream.to, [*stream.chunks[:3], b": ping\n\n", *stream.chunks[3:]])

    assert b": ping\n\n" in heard.raw
    assert heard.is_clean
