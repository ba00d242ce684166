"""What a caller gets from each dialect, over sockets: OpenAI's shapes, the same streamed and whole, which the OpenAI SDK's own types read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from app.providers.translate import load
from tests.simulators import DIALECTS, OllamaModel, OllamaSimulator
from tests.simulators.model import MULTIBYTE
from tests.unit.providers.translate.support import MODELS, PNG, SCHEMA, TOOL, call, calls_of, chunks_of, deployment, lane_to, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulators import Simulator

DIALECT = {"anthropic": "anthropic", "bedrock": "bedrock", "cohere_chat": "cohere", "gemini": "gemini", "ollama_chat": "ollama"}
WHOLE_AND_STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(params=sorted(MODELS))
def provider(request: pytest.FixtureRequest) -> str:
    load()
    return str(request.param)


@pytest.fixture
def simulator(provider: str) -> Iterator[Simulator]:
    with DIALECTS[DIALECT[provider]](tag="them") as simulator:
        yield simulator


async def ask(provider: str, simulator: Simulator, *, stream: bool, fault: str = "", **body: Any) -> dict[str, Any]:
    """Return an answer as `{content, tool_calls, finish_reason, usage, dropped}`, after the SDK's types have read it."""
    model = "us.anthropic.claude" if provider == "bedrock" else MODELS[provider]
    lane, wire = lane_to(to := deployment(provider, simulator.base_url, f"{model}--{fault}" if fault else model, max_output_tokens=8192))
    try:
        answer = await lane.open(call(to, stream=stream, **body))
        raw = b"".join([part async for part in answer.events()]) if stream else await answer.body()
    finally:
        await wire.aclose()
    return {**(_streamed(raw) if stream else _whole(raw)), "dropped": answer.dropped_params}


def _whole(raw: bytes) -> dict[str, Any]:
    answer = json.loads(raw)
    ChatCompletion.model_validate(answer)
    choice = answer["choices"][0]
    calls = [(tool["function"]["name"], tool["function"]["arguments"]) for tool in choice["message"].get("tool_calls") or ()]
    return {"content": choice["message"]["content"] or "", "tool_calls": calls, "finish_reason": choice["finish_reason"], "usage": answer["usage"]}


def _streamed(raw: bytes) -> dict[str, Any]:
    chunks = chunks_of(raw)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert [choice["delta"].get("role") for choice in choices] == ["assistant"] + [None] * (len(choices) - 1)
    assert [bool(choice["finish_reason"]) for choice in choices] == [False] * (len(choices) - 1) + [True]
    assert len({chunk["id"] for chunk in chunks}) == 1
    return {"content": text_of(chunks), "tool_calls": calls_of(chunks), "finish_reason": choices[-1]["finish_reason"], "usage": chunks[-1]["usage"]}


@WHOLE_AND_STREAM
async def test_a_question_is_answered(provider: str, simulator: Simulator, stream: bool) -> None:
    got = await ask(provider, simulator, stream=stream)

    assert (got["content"], got["finish_reason"], got["tool_calls"], got["dropped"]) == ("[them] echo: hello", "stop", [], ())
    assert got["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}


@WHOLE_AND_STREAM
@pytest.mark.parametrize("fault", ["splitutf8", "crlf", "nospace", "commentfirst", "gzip", "connclose"])
async def test_an_answer_arrives_whole_however_it_is_sent(provider: str, simulator: Simulator, stream: bool, fault: str) -> None:
    got = await ask(provider, simulator, stream=stream, fault=fault)

    assert got["content"].startswith("[them] echo: hello")
    assert got["content"].endswith(MULTIBYTE) is (fault == "splitutf8")


@WHOLE_AND_STREAM
async def test_tools_are_called_at_once(provider: str, simulator: Simulator, stream: bool) -> None:
    got = await ask(provider, simulator, stream=stream, tools=[TOOL], messages=[{"role": "user", "content": "call twice"}])

    assert [(name, json.loads(arguments)) for name, arguments in got["tool_calls"]] == [("get_weather", {"city": "city"})] * 2
    assert (got["content"], got["finish_reason"]) == ("", "tool_calls")


@WHOLE_AND_STREAM
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=["required", "named"])
async def test_a_forced_tool_is_called(provider: str, simulator: Simulator, stream: bool, choice: Any) -> None:
    got = await ask(provider, simulator, stream=stream, tools=[TOOL], tool_choice=choice)

    assert [(name, json.loads(arguments)) for name, arguments in got["tool_calls"]] == [("get_weather", {"city": "city"})]
    assert (got["content"], got["finish_reason"], got["dropped"]) == ("", "tool_calls", ())


@WHOLE_AND_STREAM
@pytest.mark.parametrize("bare_calls", [False, True])
async def test_an_ollama_calls_a_forced_tool_whether_or_not_it_reads_the_call_itself(stream: bool, bare_calls: bool) -> None:
    load()
    model = MODELS["ollama_chat"]
    now = {"type": "function", "function": {"name": "now"}}
    with OllamaSimulator(models={model: OllamaModel(bare_calls=bare_calls)}) as simulator:
        got = await ask("ollama_chat", simulator, stream=stream, tools=[TOOL, now], tool_choice="required")

    assert [(name, json.loads(arguments)) for name, arguments in got["tool_calls"]] == [("get_weather", {"city": "city"})]
    assert (got["content"], got["finish_reason"]) == ("", "tool_calls")


@WHOLE_AND_STREAM
async def test_a_tools_result_is_answered(provider: str, simulator: Simulator, stream: bool) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "x"}'}}]
    messages = [
        {"role": "user", "content": "call the tool"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]

    got = await ask(provider, simulator, stream=stream, tools=[TOOL], messages=messages)

    assert "rain" in got["content"]
    assert got["finish_reason"] == "stop"


@WHOLE_AND_STREAM
async def test_a_schema_is_kept_to(provider: str, simulator: Simulator, stream: bool) -> None:
    got = await ask(provider, simulator, stream=stream, response_format=SCHEMA)

    assert json.loads(got["content"]).keys() == {"name", "values"}
    assert (got["tool_calls"], got["finish_reason"]) == ([], "stop")


@WHOLE_AND_STREAM
async def test_an_answer_that_reaches_its_bound_says_so(provider: str, simulator: Simulator, stream: bool) -> None:
    got = await ask(provider, simulator, stream=stream, max_completion_tokens=2)

    assert (got["content"], got["finish_reason"]) == ("[them] echo:", "length")


@WHOLE_AND_STREAM
async def test_an_image_arrives(provider: str, simulator: Simulator, stream: bool) -> None:
    content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PNG}}]

    await ask(provider, simulator, stream=stream, messages=[{"role": "user", "content": content}])

    assert PNG.partition(",")[2].encode() in simulator.calls[0].body


@WHOLE_AND_STREAM
async def test_what_a_provider_lacks_is_left_out_and_named(provider: str, simulator: Simulator, stream: bool) -> None:
    got = await ask(provider, simulator, stream=stream, logit_bias={"1": 2}, store=True, metadata={"a": "b"}, verbosity="low", service_tier="auto")

    assert got["dropped"] == ("logit_bias", "metadata", "service_tier", "store", "verbosity")
    assert b"logit_bias" not in simulator.calls[0].body
