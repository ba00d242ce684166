from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain import Failure
from app.errors import UpstreamError
from tests.unit.providers.translate.support import SCHEMA, TOOL, answered, asked, calls_of, deployment, sse, streamed, text_of

COMMAND = deployment("cohere_chat")
NOW = {"type": "function", "function": {"name": "now"}}
START = {"type": "message-start", "id": "x", "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}}}


def said(text: str) -> dict[str, Any]:
    return {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}}


def called(index: int, call_id: str, name: str, *pieces: str) -> list[dict[str, Any]]:
    start = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    deltas = [{"type": "tool-call-delta", "index": index, "delta": {"message": {"tool_calls": {"function": {"arguments": piece}}}}} for piece in pieces]
    return [{"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": start}}}, *deltas, {"type": "tool-call-end", "index": index}]


def ended(reason: str) -> dict[str, Any]:
    usage = {"billed_units": {"input_tokens": 3, "output_tokens": 4}, "tokens": {"input_tokens": 13, "output_tokens": 4}}
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": usage}}


def message(reason: str, **more: Any) -> bytes:
    said = {"role": "assistant", "content": [{"type": "text", "text": "Hi"}], **more}
    return json.dumps({"id": "x", "finish_reason": reason, "message": said, "usage": {"tokens": {"input_tokens": 13, "output_tokens": 4}}}).encode()


async def test_a_request_is_v2() -> None:
    wire, dropped = await asked(COMMAND, top_p=0.5, max_completion_tokens=9, stop="x", seed=3, parallel_tool_calls=True, tools=[TOOL], stream=True)

    assert wire.sent[0]["path"] == "/v2/chat"
    assert wire.header["authorization"] == "Bearer test-key"
    assert {key: wire.body[key] for key in ("p", "max_tokens", "stop_sequences", "seed", "stream")} == {
        "p": 0.5,
        "max_tokens": 9,
        "stop_sequences": ["x"],
        "seed": 3,
        "stream": True,
    }
    assert wire.body["tools"][0]["function"]["name"] == "get_weather"
    assert dropped == ("parallel_tool_calls",)


@pytest.mark.parametrize(
    ("choice", "theirs", "tools"),
    [("auto", None, 2), ("required", "REQUIRED", 2), ("none", "NONE", 2), ({"type": "function", "function": {"name": "now"}}, "REQUIRED", 1)],
)
async def test_a_choice_of_tools_is_coheres(choice: Any, theirs: str | None, tools: int) -> None:
    wire, _ = await asked(COMMAND, tools=[TOOL, NOW], tool_choice=choice)

    assert (wire.body.get("tool_choice"), len(wire.body["tools"])) == (theirs, tools)


async def test_a_tool_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(UpstreamError) as caught:
        await asked(COMMAND, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "other"}})

    assert (caught.value.failure, caught.value.param) == (Failure.REJECTED, "tool_choice")


async def test_messages_have_no_names() -> None:
    wire, dropped = await asked(COMMAND, messages=[{"role": "user", "content": "hi", "name": "ann"}])

    assert wire.body["messages"] == [{"role": "user", "content": "hi"}]
    assert dropped == ("messages.name",)


async def test_a_schema_is_a_json_object_of_that_schema() -> None:
    schema, _ = await asked(COMMAND, response_format=SCHEMA)
    plain, _ = await asked(COMMAND, response_format={"type": "json_object"})

    assert schema.body["response_format"]["json_schema"]["required"] == ["name", "values"]
    assert plain.body["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("size", [1, 9, 100_000])
async def test_a_stream_is_read_whatever_its_cuts(size: int) -> None:
    plan = {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "hm"}}}
    opened = {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}
    raw = sse(START, plan, opened, said("Hel\u2028"), said("lo é"), *called(0, "a", "now", '{"tz":', '"é"}'), *called(1, "b", "now"), ended("TOOL_CALL"))

    chunks = await streamed(COMMAND, raw, size=size)

    assert text_of(chunks) == "Hel\u2028lo é"
    assert calls_of(chunks) == [("now", '{"tz":"é"}'), ("now", "{}")]
    assert chunks[0]["choices"][0]["delta"]["reasoning_content"] == "hm"
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"] == {"prompt_tokens": 13, "completion_tokens": 4, "total_tokens": 17}


async def test_a_whole_answer_is_read() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "now", "arguments": '{"tz":"é"}'}}

    whole = await answered(COMMAND, message("TOOL_CALL", content=None, tool_plan="hm", tool_calls=[call]))

    said = whole["choices"][0]["message"]
    assert (said["content"], said["reasoning_content"], said["tool_calls"]) == (None, "hm", [call])
    assert whole["usage"]["total_tokens"] == 17


@pytest.mark.parametrize(
    ("reason", "finish"), [("COMPLETE", "stop"), ("MAX_TOKENS", "length"), ("STOP_SEQUENCE", "stop"), ("ERROR_TOXIC", "content_filter"), ("NEW", "stop")]
)
async def test_the_end_has_openais_reason(reason: str, finish: str) -> None:
    whole = await answered(COMMAND, message(reason))
    chunks = await streamed(COMMAND, sse(START, said("Hi"), ended(reason)))

    assert (whole["choices"][0]["finish_reason"], chunks[-2]["choices"][0]["finish_reason"]) == (finish, finish)


@pytest.mark.parametrize(("reason", "failure"), [("ERROR", Failure.BROKEN), ("ERROR_LIMIT", Failure.CONTEXT_EXCEEDED), ("TIMEOUT", Failure.TIMEOUT)])
async def test_an_end_that_is_an_error_is_one(reason: str, failure: Failure) -> None:
    with pytest.raises(UpstreamError) as caught:
        await streamed(COMMAND, sse(START, said("Hi"), ended(reason)))

    assert caught.value.failure is failure


@pytest.mark.parametrize("raw", [b'{"message": "an error"}', b"{}"])
async def test_an_answer_without_a_message_is_broken(raw: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        await answered(COMMAND, raw)

    assert caught.value.failure is Failure.BROKEN


async def test_a_stream_without_its_end_is_broken() -> None:
    with pytest.raises(UpstreamError) as caught:
        await streamed(COMMAND, sse(START, said("Hi")))

    assert caught.value.failure is Failure.BROKEN
