from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jiter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.gateway.stream_shape import Shape
from app.gateway.streaming import StreamWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(text: str, *, index: int = 0, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": None}], "usage": None, **more}


def event(said: Mapping[str, Any], *, spaces: bool = False) -> bytes:
    return b"data: " + json.dumps(said, ensure_ascii=False, separators=None if spaces else (",", ":")).encode()


def shape_of(said: dict[str, Any], *, spaces: bool = False) -> Shape | None:
    return Shape.of(event(said, spaces=spaces), said)


@pytest.mark.parametrize("spaces", [False, True])
@pytest.mark.parametrize("more", [{}, {"obfuscation": "Xq3"}])
def test_a_chunk_of_the_same_shape_is_read_for_its_text(more: dict[str, Any], *, spaces: bool) -> None:
    shape = shape_of(chunk("one", **more), spaces=spaces)
    other = event({**chunk("Grüße, 世界"), **dict.fromkeys(more, "other")}, spaces=spaces) + b"\n\n"

    assert shape is not None
    assert shape.read(other) == "Grüße, 世界"
    assert shape.read(other + other) == "Grüße, 世界" * 2
    assert [shape.read(data) for data in (b"before" + other, other + b"after", other[:-1], other + other[:-1])] == [None] * 4


@given(st.binary(max_size=20) | st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_stands_in_the_hole_is_read_as_a_parser_reads_it_or_not_at_all(put: bytes) -> None:
    model = event(chunk("one"))
    shape = shape_of(chunk("one"))
    assert shape is not None
    before, _, after = model.partition(b"one")
    data = before + put + after + b"\n\n"

    found = shape.read(data)

    if found is not None:
        assert found == put.decode()
        assert jiter.from_json(data[6:-2]) == chunk(put.decode())


@pytest.mark.parametrize(
    "said",
    [
        chunk(""),
        chunk("one", usage={"prompt_tokens": 1}),
        chunk("one", x_groq={}),
        chunk('a "quoted" word'),
        {**HEAD, "choices": [{"delta": {"content": "one"}, "finish_reason": "stop"}]},
        {**HEAD, "choices": [{"delta": {"content": "one"}, "usage": {"prompt_tokens": 1}}]},
        {**HEAD, "choices": [{"delta": {"content": "one", "tool_calls": []}}]},
        {**HEAD, "choices": [{"delta": {"content": "one", "refusal": "no"}}]},
        {**HEAD, "choices": [{"delta": None}]},
        {**HEAD, "choices": [{"delta": {"content": "one"}}] * 2},
        {**HEAD, "content": "one", "choices": [{"delta": {"content": "one"}}]},  # the first that is found is another key's
        chunk("one", obfuscation='"'),
    ],
)
def test_a_chunk_that_does_more_or_cannot_be_told_apart_has_no_shape(said: dict[str, Any]) -> None:
    assert shape_of(said) is None


def test_a_text_that_is_written_in_escapes_has_no_shape() -> None:
    said = chunk("Grüße")

    assert Shape.of(b"data: " + json.dumps(said, separators=(",", ":")).encode(), said) is None
    assert Shape.of(b'data: {"choices": [{"delta": {"content":"one"}}]', {"choices": [{"delta": {"content": "one"}}]}) is None


TEXTS = st.text(max_size=6) | st.sampled_from(["a", "word", 'a"b', "a\\b", "a\nb", "\u2028", "\x7f", "😀", "data: [DONE]", '","finish_reason":"stop'])
CHUNKS = st.lists(
    st.builds(chunk, TEXTS, index=st.sampled_from([0, 0, 0, 1]))
    | st.builds(chunk, TEXTS, usage=st.sampled_from([None, {"prompt_tokens": 3, "completion_tokens": 2}]))
    | st.builds(chunk, TEXTS, error=st.sampled_from([None, {"message": "broken"}]))
    | st.builds(chunk, TEXTS, obfuscation=TEXTS),
    max_size=12,
)


def told(data: bytes, sizes: list[int], *, shapes: bool) -> tuple[Any, ...]:
    watch = StreamWatch(include_usage=True)
    if not shapes:
        watch._shapes_left = 0
    passed = bytearray()
    at = 0
    failed = False
    for number in range(len(data) + 1):
        size = sizes[number % len(sizes)]
        if at >= len(data) or failed or watch.broken is not None:
            break
        try:
            passed += watch.feed(data[at : at + size])
        except UpstreamError:
            failed = True
        at += size
    return bytes(passed), failed, watch.broken is not None, watch.started, watch.content_chars, watch.usage, watch._seen, watch._finished, watch.ended


@given(CHUNKS, st.lists(st.integers(1, 400) | st.just(100_000), min_size=1, max_size=4), st.booleans())
def test_a_stream_is_read_alike_with_and_without_shapes(chunks: list[dict[str, Any]], sizes: list[int], ended: bool) -> None:
    data = b"".join(event(said) + b"\n\n" for said in chunks) + (b"data: [DONE]\n\n" if ended else b"")

    assert told(data, sizes, shapes=True) == told(data, sizes, shapes=False)


def test_a_stream_without_a_common_shape_is_not_tried_for_ever() -> None:
    watch = StreamWatch(include_usage=False)
    for number in range(20):
        watch.feed(event(chunk("one", created=number)) + b"\n\n")

    assert watch._shapes_left == 0
    assert watch.content_chars == 60
