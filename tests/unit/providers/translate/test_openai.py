from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.translate.openai import ChunkWriter, completion
from app.providers.translate.pieces import Piece, Spoken, ToolPiece, usage
from app.utils.json import dump_json
from tests.unit.providers.translate.support import calls_of, chunks_of, text_of

LOGPROBS: dict[str, Any] = {"content": [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}], "refusal": None}


def stream(*pieces: Piece, counted: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    writer = ChunkWriter("m")
    return chunks_of(b"".join(writer.write(piece) for piece in pieces) + writer.end(counted))


def whole(*pieces: Piece, counted: dict[str, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(completion(Spoken(pieces, counted), "m"))
    return answer


def test_a_stream_has_one_id_one_time_and_one_model() -> None:
    chunks = stream(Piece(content="a"), Piece(content="b"), Piece(finish="stop"), counted=usage(1, 2))

    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert chunks[0]["id"].startswith("chatcmpl-")
    assert chunks[0]["object"] == "chat.completion.chunk"


def test_each_choice_says_its_role_first_and_its_end_last() -> None:
    chunks = stream(Piece(0, "a"), Piece(1, "b"), Piece(0, finish="stop"), Piece(1, "c"), Piece(1, finish="length"))
    choices = [choice for chunk in chunks for choice in chunk["choices"]]

    for index, reason in ((0, "stop"), (1, "length")):
        mine = [choice for choice in choices if choice["index"] == index]
        assert [choice["delta"].get("role") for choice in mine] == ["assistant"] + [None] * (len(mine) - 1)
        assert [choice["finish_reason"] for choice in mine] == [None] * (len(mine) - 1) + [reason]
    assert (text_of(chunks, 0), text_of(chunks, 1)) == ("a", "bc")


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), choice=st.integers(0, 3), field=st.sampled_from(["content", "reasoning"]))
def test_an_event_of_text_is_written_as_any_other(text: str, choice: int, field: str) -> None:
    writer = ChunkWriter('a "model" %d \N{SNOWMAN}')
    first = json.loads(writer.write(Piece(choice, "a"))[6:])
    piece = Piece(choice, **{field: text})  # type: ignore[arg-type]  # the name is one of two

    written = writer.write(piece)

    delta = {{"content": "content", "reasoning": "reasoning_content"}[field]: text}
    assert written == b"data: " + dump_json({**first, "choices": [{"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}]}) + b"\n\n"
    assert writer.write(Piece(choice)) == b""


def test_usage_comes_in_a_chunk_of_its_own_without_choices() -> None:
    chunks = stream(Piece(content="a", finish="stop"), counted=usage(1, 2))

    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 3
    assert all("usage" not in chunk for chunk in chunks[:-1])


def test_an_empty_answer_still_has_its_role_and_end() -> None:
    chunks = stream(Piece(finish="stop"))

    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]] == [{"role": "assistant", "content": ""}, {}]


def test_tool_calls_are_numbered_from_nought_and_say_id_and_name_once() -> None:
    chunks = stream(
        Piece(tools=(ToolPiece(3, "a", "f"),)),
        Piece(tools=(ToolPiece(3, arguments='{"x":'),)),
        Piece(tools=(ToolPiece(3, arguments=""),)),
        Piece(tools=(ToolPiece(3, arguments="1}"), ToolPiece(5, "b", "g", "{}"))),
        Piece(finish="stop"),
    )
    deltas = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls") or ()]

    assert [call["index"] for call in deltas] == [0, 0, 0, 1]
    assert [call.get("id") for call in deltas] == ["a", None, None, "b"]
    assert calls_of(chunks) == [("f", '{"x":1}'), ("g", "{}")]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_without_arguments_has_an_empty_object() -> None:
    silent = Piece(tools=(ToolPiece(0, "a", "f"),), finish="tool_calls")

    assert calls_of(stream(silent)) == [("f", "{}")]
    assert whole(silent)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_call_without_an_id_is_given_one() -> None:
    call = whole(Piece(tools=(ToolPiece(0, None, "f", "{}"),), finish="stop"))["choices"][0]["message"]["tool_calls"][0]

    assert call["id"].startswith("call_")


@pytest.mark.parametrize(
    ("theirs", "ours"), [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("tool_calls", "stop"), ("odd", "stop")]
)
def test_the_end_is_one_of_openais(theirs: str, ours: str) -> None:
    assert whole(Piece(content="a", finish=theirs))["choices"][0]["finish_reason"] == ours
    assert stream(Piece(content="a", finish=theirs))[-1]["choices"][0]["finish_reason"] == ours


def test_an_answer_cut_at_its_length_stays_so_though_it_called_a_tool() -> None:
    assert whole(Piece(tools=(ToolPiece(0, "a", "f", "{"),), finish="length"))["choices"][0]["finish_reason"] == "length"


def test_a_whole_answer_has_openais_shape() -> None:
    answer = whole(Piece(content="Hel"), Piece(content="lo", finish="stop"), counted=usage(1, 2))

    assert answer.keys() == {"id", "object", "created", "model", "choices", "usage"}
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == [{"index": 0, "message": {"role": "assistant", "content": "Hello", "refusal": None}, "logprobs": None, "finish_reason": "stop"}]


def test_content_is_null_where_there_are_only_calls() -> None:
    assert whole(Piece(tools=(ToolPiece(0, "a", "f", "{}"),), finish="stop"))["choices"][0]["message"]["content"] is None
    assert stream(Piece(tools=(ToolPiece(0, "a", "f", "{}"),), finish="stop"))[0]["choices"][0]["delta"]["content"] is None
    assert whole(Piece(finish="stop"))["choices"][0]["message"]["content"] == ""


def test_thoughts_and_logprobs_are_kept() -> None:
    piece = Piece(content="a", reasoning="hm", logprobs=LOGPROBS, finish="stop")

    assert whole(piece)["choices"][0]["message"]["reasoning_content"] == "hm"
    assert whole(piece)["choices"][0]["logprobs"] == LOGPROBS
    assert stream(piece)[0]["choices"][0]["delta"]["reasoning_content"] == "hm"
    assert stream(piece)[0]["choices"][0]["logprobs"] == LOGPROBS


@pytest.mark.parametrize("pieces", [(), (Piece(content="a"),), (Piece(0, finish="stop"), Piece(1, "b"))])
def test_an_answer_without_its_end_is_broken(pieces: tuple[Piece, ...]) -> None:
    with pytest.raises(UpstreamError) as in_whole:
        whole(*pieces)
    with pytest.raises(UpstreamError) as in_stream:
        stream(*pieces)

    assert (in_whole.value.failure, in_stream.value.failure) == (Failure.BROKEN, Failure.BROKEN)
