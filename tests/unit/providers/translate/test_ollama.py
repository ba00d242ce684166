from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain import Failure
from app.errors import UpstreamError
from tests.unit.providers.translate.support import PNG, SCHEMA, TOOL, answered, asked, calls_of, deployment, streamed, text_of

LLAMA = deployment("ollama_chat", num_ctx=8192)
NOW = {"type": "function", "function": {"name": "now"}}


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps({"model": "llama3.1", "created_at": "2026-11-21T09:00:00Z", **event}, ensure_ascii=False).encode() + b"\n" for event in events)


def said(content: str = "", **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **more}, "done": False}


def done(reason: str = "stop", **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": reason, "prompt_eval_count": 5, "eval_count": 7, **more}


@pytest.mark.parametrize("stream", [False, True])
async def test_every_call_has_the_deployments_window_and_is_never_cut_in_silence(stream: bool) -> None:
    wire, _ = await asked(LLAMA, stream=stream)

    assert wire.sent[0]["path"] == "/api/chat"
    assert (wire.body["truncate"], wire.body["shift"], wire.body["stream"]) == (False, False, stream)
    assert wire.body["options"]["num_ctx"] == 8192


async def test_without_a_window_ollama_chooses_its_own() -> None:
    wire, _ = await asked(deployment("ollama_chat"))

    assert "num_ctx" not in wire.body["options"]


async def test_parameters_have_ollamas_names() -> None:
    wire, dropped = await asked(
        LLAMA, max_completion_tokens=9, max_tokens=5, temperature=0, top_p=0.5, seed=3, stop="x", frequency_penalty=0, presence_penalty=1
    )

    assert wire.body["options"] == {
        "num_ctx": 8192,
        "num_predict": 9,
        "temperature": 0,
        "top_p": 0.5,
        "seed": 3,
        "stop": ["x"],
        "frequency_penalty": 0,
        "presence_penalty": 1,
    }
    assert dropped == ()


@pytest.mark.parametrize(("model", "think", "dropped"), [("gpt-oss:20b", "low", ()), ("llama3.1", None, ("reasoning_effort",))])
async def test_effort_goes_only_to_models_that_are_known_to_have_it(model: str, think: str | None, dropped: tuple[str, ...]) -> None:
    wire, left_out = await asked(deployment("ollama_chat", model=model), reasoning_effort="low")

    assert wire.body.get("think") == think
    assert left_out == dropped


async def test_a_schema_is_the_format() -> None:
    wire, _ = await asked(LLAMA, response_format=SCHEMA)
    plain, _ = await asked(LLAMA, response_format={"type": "json_object"})

    assert wire.body["format"] == SCHEMA["json_schema"]["schema"]  # type: ignore[index]  # a dictionary of the test's own
    assert plain.body["format"] == "json"


async def test_what_of_a_schema_would_end_the_server_is_left_out_and_named() -> None:
    schema = {"type": "object", "properties": {"zip": {"type": "string", "pattern": "^(?=a)b$"}}, "required": ["zip"], "additionalProperties": False}

    wire, left_out = await asked(LLAMA, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})

    assert wire.body["format"] == {**schema, "properties": {"zip": {"type": "string"}}}
    assert left_out == ("response_format.schema",)


@pytest.mark.parametrize(
    ("choice", "tools", "held"),
    [
        ("auto", ["get_weather", "now"], None),
        ("none", None, None),
        ("required", ["get_weather", "now"], ["get_weather", "now"]),
        ({"type": "function", "function": {"name": "now"}}, ["now"], ["now"]),
    ],
)
async def test_an_answer_that_must_be_a_call_is_held_to_one(choice: Any, tools: list[str] | None, held: list[str] | None) -> None:
    wire, left_out = await asked(LLAMA, tools=[TOOL, NOW], tool_choice=choice)

    assert [tool["function"]["name"] for tool in wire.body["tools"]] == tools if tools else "tools" not in wire.body
    form = wire.body.get("format")
    assert held == (form and [option["properties"]["name"]["const"] for option in form.get("anyOf", [form])])
    assert left_out == ()


@pytest.mark.parametrize(
    ("choice", "parallel", "dropped"), [("auto", False, ("parallel_tool_calls",)), ("required", False, ()), ("required", True, ("parallel_tool_calls",))]
)
async def test_a_forced_call_is_one_call(choice: str, parallel: bool, dropped: tuple[str, ...]) -> None:
    _, left_out = await asked(LLAMA, tools=[TOOL], tool_choice=choice, parallel_tool_calls=parallel)

    assert left_out == dropped


async def test_a_forced_call_goes_before_a_format() -> None:
    wire, _ = await asked(LLAMA, tools=[TOOL], tool_choice="required", response_format=SCHEMA)

    assert wire.body["format"]["properties"]["name"] == {"const": "get_weather"}


async def test_a_forced_tool_that_is_none_of_the_requests_is_refused() -> None:
    with pytest.raises(UpstreamError) as caught:
        await asked(LLAMA, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "now"}})

    assert (caught.value.failure, caught.value.param) == (Failure.REJECTED, "tool_choice")


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_forced_call_is_read_out_of_the_text(size: int) -> None:
    forced = {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}
    text = '{"name": "get_weather", "arguments": {"city": "é}"}}'

    chunks = await streamed(LLAMA, lines(said(text[:9]), said(text[9:45]), said(text[45:]), done()), size=size, **forced)
    whole = await answered(LLAMA, lines({**done(), "message": {"role": "assistant", "content": text}}), **forced)

    (call,) = whole["choices"][0]["message"]["tool_calls"]
    assert calls_of(chunks) == [("get_weather", '{"city": "é}"}')] == [(call["function"]["name"], call["function"]["arguments"])]
    assert (chunks[-2]["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]) == ("tool_calls", "tool_calls")
    assert (text_of(chunks), whole["choices"][0]["message"]["content"]) == ("", None)


async def test_an_answer_without_the_forced_call_is_broken() -> None:
    for ask, raw in ((streamed, lines(said("sunny"), done())), (answered, lines({**done(), "message": {"role": "assistant", "content": "sunny"}}))):
        with pytest.raises(UpstreamError) as caught:
            await ask(LLAMA, raw, tools=[TOOL], tool_choice="required")

        assert caught.value.failure is Failure.BROKEN


async def test_images_are_base64_and_results_have_their_tools_name() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": '{"tz": "é"}'}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
    ]

    wire, _ = await asked(LLAMA, messages=messages)

    user, assistant, tool = wire.body["messages"]
    assert (user["content"], user["images"]) == ("what?", [PNG.partition(",")[2]])
    assert assistant["tool_calls"][0]["function"] == {"name": "now", "arguments": {"tz": "é"}}
    assert (tool["content"], tool["tool_name"]) == ("noon", "now")


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_stream_is_read_whatever_its_cuts(size: int) -> None:
    call = {"function": {"name": "now", "arguments": {"tz": "é"}}}
    raw = lines(said(thinking="hm"), said("Hel\u2028"), said("lo é"), said(tool_calls=[call]), said(tool_calls=[call]), done())

    chunks = await streamed(LLAMA, raw, size=size)

    assert text_of(chunks) == "Hel\u2028lo é"
    assert calls_of(chunks) == [("now", '{"tz":"é"}')] * 2
    assert chunks[0]["choices"][0]["delta"]["reasoning_content"] == "hm"
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"] == {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


@pytest.mark.parametrize("text", ["<think>", "a <think> tag is </think> closed", "</think>"])
async def test_what_looks_like_a_tag_is_text(text: str) -> None:
    whole = await answered(LLAMA, lines({**done(), "message": {"role": "assistant", "content": text}}))

    assert whole["choices"][0]["message"]["content"] == text
    assert text_of(await streamed(LLAMA, lines(said(text), said(" and more"), done()))) == text + " and more"


@pytest.mark.parametrize(("reason", "finish"), [("stop", "stop"), ("length", "length"), ("load", "stop"), (None, "stop")])
async def test_the_end_has_openais_reason(reason: Any, finish: str) -> None:
    whole = await answered(LLAMA, lines(done(reason)))

    assert whole["choices"][0]["finish_reason"] == finish


async def test_what_was_not_counted_is_not_made_up() -> None:
    whole = await answered(LLAMA, lines(done(prompt_eval_count=None)))

    assert "usage" not in whole


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "http://127.0.0.1:1/v1", "http://127.0.0.1:1/api", "http://127.0.0.1:1/api/chat"])
async def test_a_base_may_be_any_of_ollamas(base: str) -> None:
    wire, _ = await asked(deployment("ollama_chat", base))

    assert wire.sent[0]["path"] == "/api/chat"


async def test_a_key_is_sent_where_there_is_one() -> None:
    wire, _ = await asked(deployment("ollama_chat", api_key="k"))

    assert wire.header["authorization"] == "Bearer k"
