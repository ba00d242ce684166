"""What a caller is told where nothing can answer, over real sockets: what stands in the way, and what to do or when to come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.test_chat_relay import ask
from tests.simulators import OllamaModel, OllamaSimulator, OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

STREAMED = pytest.mark.parametrize("streamed", [False, True])
WORDS = "hello " * 2_999 + "hello"  # 3,000 tokens by o200k_base, and 7 of the chat format


def body(text: str, *, streamed: bool, **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], "stream": streamed, **fields}


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaSimulator]:
    with OllamaSimulator(models={"llama3.1": OllamaModel()}) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def gone() -> str:
    """The address of a server that has stopped."""
    with OllamaSimulator() as simulator:
        return simulator.base_url


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAISimulator]:
    with OpenAISimulator(tag="cloud") as simulator:
        yield simulator


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, provider: OpenAISimulator, ollama: OllamaSimulator, gone: str) -> Iterator[GatewayServer]:
    config = f"""
    deployments:
      mini: {{model: openai/gpt-4o-mini, api_base: "{provider.url}/v1", api_key: k, context_window: 2000}}
      llama: {{model: ollama_chat/llama3.1, api_base: "{ollama.base_url}", num_ctx: 2048, clearance: confidential}}
      not-pulled: {{model: "ollama_chat/missing:8b", api_base: "{ollama.base_url}", num_ctx: 2048, clearance: confidential}}
      not-running: {{model: ollama_chat/llama3.1, api_base: "{gone}", num_ctx: 2048, clearance: confidential}}
    pools: {{local: [llama]}}
    rules:
      - {{when: {{label: confidential}}, use: local}}
      - {{use: mini}}
    """
    with serve(tmp_path_factory.mktemp("gateway"), config, cache_ttl=0, llm_timeout=10) as server:
        yield server


@STREAMED
async def test_a_prompt_that_fits_nothing_is_refused_in_openais_words_before_any_call(
    streamed: bool, http: aiohttp.ClientSession, gateway: GatewayServer, provider: OpenAISimulator
) -> None:
    response, answer = await ask(http, gateway, body(WORDS, streamed=streamed))

    assert response.status == 400
    assert response.headers["content-type"] == "application/json"
    assert answer["error"] == {
        "message": "This model's maximum context length is 2000 tokens. However, your messages resulted in 3007 tokens. "
        "Please reduce the length of the messages.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    assert provider.history == []


@STREAMED
async def test_an_answer_that_does_not_fit_beside_the_prompt_is_refused_likewise(
    streamed: bool, http: aiohttp.ClientSession, gateway: GatewayServer, provider: OpenAISimulator
) -> None:
    response, answer = await ask(http, gateway, body("hello", streamed=streamed, max_completion_tokens=4_000))

    assert response.status == 400
    assert answer["error"]["code"] == "context_length_exceeded"
    assert answer["error"]["message"] == (
        "This model's maximum context length is 2000 tokens. However, you requested 4008 tokens (8 in the messages, 4000 in the completion). "
        "Please reduce the length of the messages or completion."
    )
    assert provider.history == []


@STREAMED
async def test_a_confidential_prompt_that_fits_no_cleared_window_is_refused_before_any_call(
    streamed: bool, http: aiohttp.ClientSession, gateway: GatewayServer, provider: OpenAISimulator, ollama: OllamaSimulator
) -> None:
    before = len(ollama.requests)

    response, answer = await ask(http, gateway, body(f"My SSN is 536-22-1234. {WORDS}", streamed=streamed))

    assert response.status == 400
    assert answer["error"]["message"].startswith("This model's maximum context length is 2048 tokens. However, your messages resulted in about ")
    assert (provider.history, len(ollama.requests)) == ([], before)


@STREAMED
async def test_a_model_that_is_not_pulled_is_told_with_the_command_that_pulls_it(streamed: bool, http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    response, answer = await ask(http, gateway, {**body("hello", streamed=streamed), "model": "not-pulled"})

    assert response.status == 503
    assert answer["error"]["code"] == "upstream_unavailable"
    assert answer["error"]["message"].endswith("Run `ollama pull missing:8b`.")
    assert int(response.headers["retry-after"]) >= 1


@STREAMED
async def test_a_server_that_does_not_run_is_told_with_the_command_that_starts_it_also_while_it_rests(
    streamed: bool, http: aiohttp.ClientSession, gateway: GatewayServer
) -> None:
    told = [await ask(http, gateway, {**body("My SSN is 536-22-1234.", streamed=streamed), "model": "not-running"}) for _ in range(3)]

    for response, answer in told:
        assert response.status == 503
        assert answer["error"]["code"] == "upstream_unavailable"
        assert answer["error"]["message"].endswith("Start it with `ollama serve`.")
    assert "(resting)" in told[-1][1]["error"]["message"]


@STREAMED
async def test_where_every_deployment_rests_the_caller_is_told_when_to_come_back_and_nobody_is_asked(
    streamed: bool, http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator
) -> None:
    cloud.fault = other.fault = "status-500"
    config = f"""
    deployments:
      first: {{model: openai/gpt, api_base: "{cloud.url}/v1", clearance: confidential}}
      second: {{model: openai/gpt, api_base: "{other.url}/v1", clearance: confidential}}
    pools: {{both: [first, second]}}
    rules: [{{use: both}}]
    attempts: {{retries: 0, breaker: {{failures: 1, cooldown_s: 30}}}}
    """

    with serve(tmp_path, config, cache_ttl=0) as gateway:
        failed, _ = await ask(http, gateway, body("hello", streamed=streamed))
        asked = len(cloud.history), len(other.history)
        resting, answer = await ask(http, gateway, body("hello", streamed=streamed))

    assert (failed.status, resting.status) == (502, 503)
    assert 1 <= int(resting.headers["retry-after"]) <= 30
    assert answer["error"]["code"] == "upstream_unavailable"
    assert "first (resting), second (resting)" in answer["error"]["message"]
    assert (len(cloud.history), len(other.history)) == asked
