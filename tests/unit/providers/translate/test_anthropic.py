from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain import Failure
from app.errors import UpstreamError
from tests.unit.providers.translate.support import PNG, SCHEMA, TOOL, answered, asked, calls_of, deployment, sse, streamed, text_of

CLAUDE = deployment("anthropic", max_output_tokens=4096)
OLD = deployment("anthropic", model="claude-3-haiku-20240307", max_output_tokens=4096)  # without structured output: a tool stands for the schema
START = {
    "type": "message_start",
    "message": {
        "id": "m",
        "role": "assistant",
        "content": [],
        "model": "claude-sonnet-4-5-20250929",
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 5, "output_tokens": 1},
    },
}
STOP = {"type": "message_stop"}


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    start = {"type": "content_block_start", "index": index, "content_block": content}
    return [start, *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas), {"type": "content_block_stop", "index": index}]


def text(index: int, *pieces: str) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def tool(index: int, name: str, *pieces: str) -> list[dict[str, Any]]:
    return block(
        index,
        {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}},
        *({"type": "input_json_delta", "partial_json": piece} for piece in pieces),
    )


def ended(reason: str = "end_turn") -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 89}}


def message(*content: dict[str, Any], reason: str = "end_turn") -> bytes:
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3, "output_tokens": 5}
    return json.dumps(
        {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "content": content, "stop_reason": reason, "usage": usage}
    ).encode()


async def test_a_request_is_a_message() -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PNG}}]},
    ]

    wire, dropped = await asked(CLAUDE, messages=messages, temperature=0.5, stop=["x"], user="tenant-1", seed=3, presence_penalty=1)

    assert wire.sent[0]["path"] == "/v1/messages"
    assert wire.header["x-api-key"] == "test-key"
    assert wire.header["anthropic-version"] == "2023-06-01"
    body = wire.body
    assert (body["model"], body["max_tokens"], body["temperature"], body["stop_sequences"]) == ("claude-sonnet-4-5", 4096, 0.5, ["x"])
    assert body["system"] == [{"type": "text", "text": "be brief"}]
    assert body["metadata"] == {"user_id": "tenant-1"}
    assert [part["type"] for part in body["messages"][0]["content"]] == ["text", "image"]
    assert not {"json_mode", "fake_stream", "user", "stop"} & body.keys()
    assert dropped == ("presence_penalty", "seed")


async def test_a_user_who_is_a_mail_address_is_not_told_and_is_named() -> None:
    wire, dropped = await asked(CLAUDE, user="ann@example.com")

    assert "metadata" not in wire.body
    assert dropped == ("user",)


async def test_tools_and_their_results_are_blocks() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "é"}'}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
    ]

    wire, _ = await asked(CLAUDE, messages=messages, tools=[TOOL], tool_choice="required", parallel_tool_calls=False)

    assert wire.body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert wire.body["tools"][0]["input_schema"] == TOOL["function"]["parameters"]  # type: ignore[index]  # a dictionary of the test's own
    used, result = wire.body["messages"][1]["content"][0], wire.body["messages"][2]["content"][0]
    assert (used["type"], used["id"], used["input"]) == ("tool_use", "c1", {"city": "é"})
    assert (result["type"], result["tool_use_id"]) == ("tool_result", "c1")


async def test_a_schema_is_structured_output_where_the_model_has_it() -> None:
    wire, _ = await asked(CLAUDE, response_format=SCHEMA)

    assert wire.body["output_format"]["type"] == "json_schema"
    assert "structured-outputs" in wire.header["anthropic-beta"]
    assert "tools" not in wire.body


@pytest.mark.parametrize("size", [1, 11, 100_000])
async def test_elsewhere_a_schema_is_a_tool_whose_call_is_the_answer(size: int) -> None:
    wire, _ = await asked(OLD, response_format=SCHEMA)
    assert wire.body["tool_choice"]["name"] == wire.body["tools"][0]["name"]
    name, answer = wire.body["tools"][0]["name"], '{"name": "é", "values": [1]}'

    chunks = await streamed(OLD, sse(START, *tool(0, name, '{"name": "é",', ' "values": [1]}'), ended("tool_use"), STOP), size=size, response_format=SCHEMA)
    whole = await answered(OLD, message({"type": "tool_use", "id": "t", "name": name, "input": json.loads(answer)}, reason="tool_use"), response_format=SCHEMA)

    assert json.loads(text_of(chunks)) == json.loads(answer)
    assert json.loads(whole["choices"][0]["message"]["content"]) == json.loads(answer)
    assert (chunks[-2]["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]) == ("stop", "stop")
    assert "tool_calls" not in whole["choices"][0]["message"]


@pytest.mark.parametrize("arguments", [(), ("",)])
async def test_a_call_of_the_schemas_tool_without_arguments_is_an_empty_object(arguments: tuple[str, ...]) -> None:
    chunks = await streamed(OLD, sse(START, *tool(0, "json_tool_call", *arguments), ended("tool_use"), STOP), response_format=SCHEMA)

    assert text_of(chunks) == "{}"


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_stream_is_read_whatever_its_cuts(size: int) -> None:
    thought = block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "s"})
    raw = sse(
        START,
        *thought,
        {"type": "ping"},
        *text(1, "Hel\u2028", "lo é"),
        *tool(2, "get_weather", "", '{"city":', '"x"}'),
        *tool(3, "now"),
        ended("tool_use"),
        STOP,
    )

    chunks = await streamed(CLAUDE, raw, size=size)

    assert text_of(chunks) == "Hel\u2028lo é"
    assert "".join(choice["delta"].get("reasoning_content", "") for chunk in chunks for choice in chunk["choices"]) == "hm"
    assert calls_of(chunks) == [("get_weather", '{"city":"x"}'), ("now", "{}")]
    assert {chunk["model"] for chunk in chunks} == {"claude-sonnet-4-5-20250929"}
    assert chunks[-1]["usage"] == {"prompt_tokens": 30, "completion_tokens": 89, "total_tokens": 119, "prompt_tokens_details": {"cached_tokens": 5}}


async def test_a_whole_message_is_read() -> None:
    content: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t1", "name": "now", "input": {}},
    ]

    whole = await answered(CLAUDE, message(*content, reason="tool_use"))

    said = whole["choices"][0]["message"]
    assert (said["content"], said["reasoning_content"], said["tool_calls"][0]["function"]) == ("Hi", "hm", {"name": "now", "arguments": "{}"})
    assert whole["usage"] == {"prompt_tokens": 15, "completion_tokens": 5, "total_tokens": 20, "prompt_tokens_details": {"cached_tokens": 3}}
    assert whole.keys() == {"id", "object", "created", "model", "choices", "usage"}
    assert said.keys() == {"role", "content", "refusal", "reasoning_content", "tool_calls"}


@pytest.mark.parametrize(
    ("reason", "finish"), [("end_turn", "stop"), ("max_tokens", "length"), ("stop_sequence", "stop"), ("refusal", "content_filter"), ("unheard_of", "stop")]
)
async def test_the_end_has_openais_reason(reason: str, finish: str) -> None:
    whole = await answered(CLAUDE, message({"type": "text", "text": "Hi"}, reason=reason))
    chunks = await streamed(CLAUDE, sse(START, *text(0, "Hi"), ended(reason), STOP))

    assert whole["choices"][0]["finish_reason"] == finish
    assert chunks[-2]["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(
    ("kind", "failure"),
    [("overloaded_error", Failure.UNAVAILABLE), ("rate_limit_error", Failure.RATE_LIMITED), ("api_error", Failure.BROKEN), (None, Failure.BROKEN)],
)
async def test_an_error_inside_a_stream_is_what_it_says(kind: str | None, failure: Failure) -> None:
    raw = sse(START, *text(0, "Hi"), {"type": "error", "error": {"type": kind, "message": "SECRET"}})

    with pytest.raises(UpstreamError) as caught:
        await streamed(CLAUDE, raw)

    assert caught.value.failure is failure


async def test_a_stream_that_stops_before_its_message_does_is_broken() -> None:
    with pytest.raises(UpstreamError) as caught:
        await streamed(CLAUDE, sse(START, *text(0, "Hi"), ended()))

    assert caught.value.failure is Failure.BROKEN


@pytest.mark.parametrize(
    ("body", "thinks", "dropped"),
    [
        ({"reasoning_effort": "low"}, True, ()),
        ({"reasoning_effort": "low", "max_tokens": 100}, False, ("reasoning_effort",)),
        ({"reasoning_effort": "low", "tools": [TOOL], "tool_choice": "required"}, False, ("reasoning_effort",)),
        ({"reasoning_effort": "low", "temperature": 0.1}, True, ("temperature",)),
    ],
)
async def test_effort_is_thinking_where_that_is_allowed(body: dict[str, Any], thinks: bool, dropped: tuple[str, ...]) -> None:
    wire, left_out = await asked(CLAUDE, **body)

    assert ("thinking" in wire.body) is thinks
    assert left_out == dropped


@pytest.mark.parametrize(
    ("body", "choice", "dropped"),
    [
        ({}, {"type": "tool", "name": "json_tool_call"}, ()),
        ({"tools": [TOOL]}, {"type": "any"}, ()),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"type": "any", "disable_parallel_tool_use": True}, ()),
        ({"tools": [TOOL], "tool_choice": "required"}, {"type": "any"}, ()),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}, {"type": "tool", "name": "get_weather"}, ()),
        ({"reasoning_effort": "low"}, {"type": "tool", "name": "json_tool_call"}, ("reasoning_effort",)),
    ],
)
async def test_a_schema_stands_beside_the_callers_tools(body: dict[str, Any], choice: dict[str, Any], dropped: tuple[str, ...]) -> None:
    wire, left_out = await asked(deployment("anthropic", model="claude-3-7-sonnet-20250219"), response_format=SCHEMA, **body)

    assert wire.body["tool_choice"] == choice
    assert "thinking" not in wire.body
    assert left_out == dropped
