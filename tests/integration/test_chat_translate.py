"""The whole gateway in front of providers that do not speak OpenAI's dialect: every one, streamed and not, with tools and structured output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.test_chat_relay import ask, chat, said, stream
from tests.simulators import BEDROCK_CREDENTIALS, AnthropicSimulator, BedrockSimulator, CohereSimulator, GeminiSimulator, OllamaSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import Simulator

SIMULATORS: dict[str, type[Simulator]] = {
    "anthropic": AnthropicSimulator,
    "gemini": GeminiSimulator,
    "bedrock": BedrockSimulator,
    "cohere": CohereSimulator,
    "ollama": OllamaSimulator,
}
DEPLOYMENTS = {
    "anthropic": "model: anthropic/claude-sonnet-4-5{fault}, api_key: k",
    "gemini": "model: gemini/gemini-2.5-flash{fault}, api_key: k",
    "bedrock": "model: bedrock/amazon.nova-pro-v1:0{fault}, aws_region_name: us-east-1, "
    f"aws_access_key_id: {BEDROCK_CREDENTIALS.access_key_id}, aws_secret_access_key: {BEDROCK_CREDENTIALS.secret_access_key}",
    "cohere": "model: cohere_chat/command-r{fault}, api_key: k",
    "ollama": "model: ollama_chat/llama3.1{fault}, num_ctx: 4096",
}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


@pytest.fixture(params=SIMULATORS)
def provider(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with SIMULATORS[request.param](tag=request.param) as simulator:
        yield simulator


@pytest.fixture
def gateway(tmp_path: Path, provider: Simulator) -> Iterator[GatewayServer]:
    spec = DEPLOYMENTS[provider.tag].format(fault="")
    config = f"""
    deployments:
      only: {{{spec}, api_base: "{provider.url}", clearance: confidential}}
    pools: {{local: [only]}}
    rules: [{{use: local}}]
    """
    with serve(tmp_path, config, llm_timeout=5) as server:
        yield server


async def test_a_chat_is_answered_in_openais_shape(http: aiohttp.ClientSession, gateway: GatewayServer, provider: Simulator) -> None:
    response, answer = await ask(http, gateway, chat(temperature=0.2, max_tokens=50))

    assert response.status == 200, answer
    choice = answer["choices"][0]
    assert answer["object"] == "chat.completion"
    assert choice["message"]["content"].startswith(f"[{provider.tag}]")
    assert choice["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


async def test_a_stream_has_one_id_one_finish_reason_and_an_end(http: aiohttp.ClientSession, gateway: GatewayServer, provider: Simulator) -> None:
    _, chunks = await stream(http, gateway, chat(stream_options={"include_usage": True}))

    assert chunks[-1] == "[DONE]"
    assert said(chunks).startswith(f"[{provider.tag}]")
    assert len({chunk["id"] for chunk in chunks[:-1]}) == 1
    reasons = [choice["finish_reason"] for chunk in chunks[:-1] for choice in chunk["choices"] if choice.get("finish_reason")]
    assert reasons == ["stop"]
    assert [chunk["choices"] for chunk in chunks[:-1] if chunk.get("usage")] == [[]]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called(http: aiohttp.ClientSession, gateway: GatewayServer, *, streamed: bool) -> None:
    body = chat("Please call the tool.", tools=[TOOL])
    if streamed:
        _, chunks = await stream(http, gateway, body)
        deltas = [call for chunk in chunks[:-1] for choice in chunk["choices"] for call in choice["delta"].get("tool_calls") or ()]
        assert {call["index"] for call in deltas} == {0}
        name = "".join(call["function"].get("name") or "" for call in deltas)
        arguments = "".join(call["function"].get("arguments") or "" for call in deltas)
        reason = next(choice["finish_reason"] for chunk in chunks[:-1] for choice in chunk["choices"] if choice.get("finish_reason"))
    else:
        _, answer = await ask(http, gateway, body)
        call = answer["choices"][0]["message"]["tool_calls"][0]
        name, arguments, reason = call["function"]["name"], call["function"]["arguments"], answer["choices"][0]["finish_reason"]

    assert name == "look_up"
    assert set(json.loads(arguments)) == {"q"}
    assert reason == "tool_calls"


async def test_a_tools_result_is_taken(http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": "x"}'}}
    messages: list[Any] = [
        {"role": "user", "content": "Look it up."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]

    response, answer = await ask(http, gateway, chat(messages=messages, tools=[TOOL]))

    assert response.status == 200, answer


@pytest.mark.parametrize("streamed", [False, True])
async def test_structured_output_is_an_instance_of_its_schema(http: aiohttp.ClientSession, gateway: GatewayServer, *, streamed: bool) -> None:
    body = chat("Name a city.", response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}})
    if streamed:
        _, chunks = await stream(http, gateway, body)
        text = said(chunks)
    else:
        _, answer = await ask(http, gateway, body)
        text = answer["choices"][0]["message"]["content"]

    assert set(json.loads(text)) == {"city"}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("status-500", 502),
        ("status-429", 503),
        ("status-503", 503),
        ("status-400", 400),
        ("context", 400),
        ("refuse", 503),
        ("hang", 504),
        ("malformed-0", 502),
    ],
)
async def test_each_failure_has_its_status(http: aiohttp.ClientSession, gateway: GatewayServer, provider: Simulator, fault: str, status: int) -> None:
    provider.fault = fault

    response, answer = await ask(http, gateway, chat())

    assert response.status == status, answer
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    if fault == "context":
        assert answer["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("fault", ["cut-6", "endclean-6", "malformed-6", "error-6"])
async def test_a_stream_that_breaks_ends_in_an_error(http: aiohttp.ClientSession, gateway: GatewayServer, provider: Simulator, fault: str) -> None:
    provider.fault = f"m.slow-stream-5.{fault}"

    _, chunks = await stream(http, gateway, chat("one two three four five six seven eight nine ten"))

    assert "error" in chunks[-1]
    assert "[DONE]" not in chunks


async def test_what_only_tunes_is_dropped_by_name(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    with AnthropicSimulator(tag="anthropic") as provider:
        config = f"""
        deployments:
          only: {{model: anthropic/claude-sonnet-4-5, api_key: k, api_base: "{provider.url}", clearance: confidential}}
        pools: {{cheap: [only]}}
        rules: [{{use: cheap}}]
        """
        with serve(tmp_path, config) as gateway:
            response, _ = await ask(http, gateway, chat(seed=1, frequency_penalty=0.5, store=False))
            refused, answer = await ask(http, gateway, chat(model="only", n=2))

    assert response.headers["x-gateway-dropped-params"] == "frequency_penalty,seed,store"
    assert refused.status == 400
    assert answer["error"]["param"] == "n"


@pytest.mark.parametrize(("fault", "command"), [("status-404", "ollama pull llama3.1"), ("refuse", "ollama serve")])
async def test_an_ollama_that_cannot_answer_names_the_command(http: aiohttp.ClientSession, tmp_path: Path, fault: str, command: str) -> None:
    with OllamaSimulator(tag="ollama") as provider:
        config = f"""
        deployments:
          only: {{model: ollama_chat/llama3.1, num_ctx: 4096, api_base: "{provider.url}", clearance: confidential}}
        pools: {{local: [only]}}
        rules: [{{use: local}}]
        """
        provider.fault = fault
        with serve(tmp_path, config) as gateway:
            if fault == "refuse":
                provider.kill()
            response, answer = await ask(http, gateway, chat())

    assert response.status == 503
    assert command in answer["error"]["message"]


async def test_anthropic_hears_nothing_that_nobody_wrote(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    calling = [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_1", "content": "found"}]
    with AnthropicSimulator(tag="anthropic") as provider:
        config = f"""
        deployments:
          only: {{{DEPLOYMENTS["anthropic"].format(fault="")}, api_base: "{provider.url}", clearance: confidential}}
        pools: {{local: [only]}}
        rules: [{{use: local}}]
        """
        with serve(tmp_path, config, cache_ttl=0) as gateway:
            hello = {"role": "user", "content": "Look it up."}
            served, answer = await ask(http, gateway, {"model": "auto", "messages": [hello, *calling], "tools": [TOOL]})
            refused, error = await ask(http, gateway, {"model": "auto", "messages": [{"role": "user", "content": ""}]})
        sent = [request.body for request in provider.requests]

    assert served.status == 200, answer
    assert (refused.status, error["error"]["param"]) == (400, "messages[0].content")
    assert len(sent) == 1
    assert b"sanitised" not in sent[0]
