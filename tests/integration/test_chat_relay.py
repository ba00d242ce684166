from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import GatewayServer, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import OpenAISimulator


def config(cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, model: str = "gpt") -> str:
    return f"""
    deployments:
      first: {{model: openai/{model}, api_base: "{cloud.url}/v1", api_key: k1, clearance: internal}}
      second: {{model: openai/gpt, api_base: "{other.url}/v1", api_key: k2, clearance: internal}}
      home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
    pools:
      cheap: [first, second]
      local: [home]
    rules:
      - {{when: {{label: confidential}}, use: local}}
      - {{use: cheap}}
    fallback: local
    """


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator) -> Iterator[GatewayServer]:
    with serve(tmp_path, config(cloud, other, local), llm_timeout=3, connect_timeout_s=1) as server:
        yield server


def chat(text: str = "Say hello.", **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}]} | fields


async def ask(http: aiohttp.ClientSession, gateway: GatewayServer, body: dict[str, Any], **headers: str) -> tuple[aiohttp.ClientResponse, Any]:
    response = await http.post(f"{gateway.url}/v1/chat/completions", json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return response, await response.json()


async def stream(http: aiohttp.ClientSession, gateway: GatewayServer, body: dict[str, Any]) -> tuple[aiohttp.ClientResponse, list[Any]]:
    response = await http.post(f"{gateway.url}/v1/chat/completions", json=body | {"stream": True})
    lines = (await response.read()).decode().split("\n\n")
    datas = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return response, [data if data == "[DONE]" else json.loads(data) for data in datas]


def said(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks if chunk != "[DONE]" for choice in chunk.get("choices", ()))


async def test_the_rules_choose_and_the_receipt_says_so(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    response, answer = await ask(http, gateway, chat())

    assert response.status == 200
    assert answer["choices"][0]["message"]["content"].startswith("[cloud]")
    assert response.headers["x-gateway-deployment"] == "first"
    assert response.headers["x-gateway-label"] == "public"
    assert response.headers["x-gateway-rule"] == "rule-2"
    assert response.headers["x-gateway-cache"] == "miss"
    assert response.headers["x-gateway-attempts"] == "1"
    assert "total;dur=" in response.headers["server-timing"]
    assert response.headers["x-request-id"].startswith("req_")
    assert cloud.requests[0].header("authorization") == "Bearer k1"


async def test_what_the_gateway_does_not_know_reaches_the_provider(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    body = chat(future={"Deep": [1, None, 12345678901234567890123]}, seed=7, metadata={"sensitivity": "public", "team": "a"})

    response, _ = await ask(http, gateway, body, OpenAI_Beta="assistants=v2", Authorization="Bearer mine", Cookie="a=b", X_Other="no")

    assert response.status == 200
    sent = cloud.requests[0]
    assert sent.json == body | {"model": "gpt", "metadata": {"team": "a"}}
    assert sent.header("openai-beta") == "assistants=v2"
    assert not cloud.saw(b"mine")
    assert sent.header("cookie") is None
    assert sent.header("x-other") is None


async def test_a_stream_passes_and_ends_with_done(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    response, chunks = await stream(http, gateway, chat())

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-gateway-deployment"] == "first"
    assert said(chunks).startswith("[cloud]")
    assert chunks[-1] == "[DONE]"
    assert not any(chunk.get("usage") for chunk in chunks[:-1])
    assert cloud.requests[0].json["stream_options"] == {"include_usage": True}


async def test_the_usage_chunk_comes_once_when_asked_for(http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    _, chunks = await stream(http, gateway, chat(stream_options={"include_usage": True}))

    assert [chunk["choices"] for chunk in chunks[:-1] if chunk.get("usage")] == [[]]


@pytest.mark.parametrize("fault", ["status-500", "status-429", "status-408", "status-401", "status-403", "status-404", "refuse", "hang", "html-502", "cut-0"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_provider_that_fails_is_followed_by_the_next(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, fault: str, *, streamed: bool
) -> None:
    cloud.fault = fault

    if streamed:
        response, chunks = await stream(http, gateway, chat())
        answered = said(chunks)
    else:
        response, answer = await ask(http, gateway, chat())
        answered = answer["choices"][0]["message"]["content"]

    assert response.status == 200
    assert answered.startswith("[other]")
    assert response.headers["x-gateway-attempts"] == "2"
    assert response.headers["x-gateway-deployment"] == "second"


async def test_at_last_the_local_pool_answers(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, other: OpenAISimulator) -> None:
    cloud.kill()
    other.kill()

    response, answer = await ask(http, gateway, chat())

    assert answer["choices"][0]["message"]["content"].startswith("[local]")
    assert response.headers["x-gateway-deployment"] == "home"
    assert response.headers["x-gateway-attempts"] == "3"


@pytest.mark.parametrize(
    ("fault", "status", "code"), [("status-500", 502, "upstream_error"), ("hang", 504, "upstream_timeout"), ("status-429", 503, "upstream_unavailable")]
)
async def test_when_all_fail_the_last_failure_decides(
    http: aiohttp.ClientSession,
    gateway: GatewayServer,
    cloud: OpenAISimulator,
    other: OpenAISimulator,
    local: OpenAISimulator,
    fault: str,
    status: int,
    code: str,
) -> None:
    for simulator in (cloud, other, local):
        simulator.fault = fault

    response, answer = await ask(http, gateway, chat())

    assert response.status == status
    assert answer["error"]["code"] == code
    assert "simulated" not in answer["error"]["message"]
    assert all(name in answer["error"]["message"] for name in ("first", "second", "home"))
    assert ("retry-after" in response.headers) is (status == 503)


@pytest.mark.parametrize("status", [400, 422])
async def test_the_callers_own_fault_ends_the_request_with_the_providers_text(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, other: OpenAISimulator, status: int
) -> None:
    cloud.fault = f"status-{status}"

    response, answer = await ask(http, gateway, chat())

    assert response.status == status
    assert f"simulated {status} from cloud" in answer["error"]["message"]
    assert other.requests == []


@pytest.mark.parametrize("fault", ["cut-3", "endclean-3", "malformed-3", "error-3"])
async def test_a_stream_that_breaks_after_its_first_token_ends_in_an_error(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, other: OpenAISimulator, fault: str
) -> None:
    cloud.fault = fault

    response, chunks = await stream(http, gateway, chat("one two three four five six seven eight"))

    assert response.status == 200
    assert chunks[-1]["error"]["code"] == "upstream_error"
    assert "[DONE]" not in chunks
    assert other.requests == []


@pytest.mark.parametrize("fault", ["nodone", "splitutf8", "commentfirst", "gzip", "connclose", "bigchunk"])
async def test_odd_but_whole_streams_pass_whole(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, fault: str) -> None:
    _, expected = await stream(http, gateway, chat("Grüße aus Köln"))
    cloud.fault = fault

    _, chunks = await stream(http, gateway, chat("Grüße aus Köln!"))

    assert said(expected) in said(chunks)
    assert chunks[-1] == "[DONE]"


async def test_a_confidential_request_stays_local(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, other: OpenAISimulator) -> None:
    response, answer = await ask(http, gateway, chat("My card is 4111 1111 1111 1111."))

    assert answer["choices"][0]["message"]["content"].startswith("[local]")
    assert response.headers["x-gateway-label"] == "confidential"
    assert "card" in response.headers["x-gateway-findings"]
    assert response.headers["x-gateway-cache"] == "bypass"
    assert cloud.connections == 0
    assert other.connections == 0


@pytest.mark.parametrize("model", ["auto", "cheap", "first"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_with_local_down_a_confidential_request_fails_and_goes_nowhere(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, model: str, *, streamed: bool
) -> None:
    local.kill()

    response, answer = await ask(http, gateway, chat("hello", model=model, stream=streamed), X_Sensitivity="confidential")

    assert response.status == 503
    assert "retry-after" in response.headers
    assert answer["error"]["type"] == "server_error"
    assert cloud.connections == 0
    assert other.connections == 0


async def test_the_same_request_again_comes_from_the_cache(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    _, first = await ask(http, gateway, chat())
    response, second = await ask(http, gateway, chat())

    assert second == first
    assert response.headers["x-gateway-cache"] == "hit"
    assert response.headers["x-gateway-deployment"] == "first"
    assert len(cloud.requests) == 1


async def test_a_stored_stream_is_replayed_as_a_stream(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    _, first = await stream(http, gateway, chat())
    response, second = await stream(http, gateway, chat())

    assert second == first
    assert response.headers["x-gateway-cache"] == "hit"
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("directive", ["no-cache", "no-store", "max-age=0"])
async def test_cache_control_is_honoured(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, directive: str) -> None:
    await ask(http, gateway, chat())
    response, _ = await ask(http, gateway, chat(), Cache_Control=directive)

    assert response.headers["x-gateway-cache"] == "bypass"
    assert len(cloud.requests) == 2


async def test_a_broken_stream_is_not_stored(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "cut-3"
    await stream(http, gateway, chat("one two three four five"))
    cloud.fault = None

    _, chunks = await stream(http, gateway, chat("one two three four five"))

    assert chunks[-1] == "[DONE]"
    assert len(cloud.requests) == 2


async def test_identical_calls_in_flight_are_made_once(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    import asyncio  # noqa: PLC0415 -- only here

    cloud.fault = "slow-first-300"
    results = await asyncio.gather(*(ask(http, gateway, chat()) for _ in range(5)))

    assert len(cloud.requests) == 1
    assert sorted(response.headers["x-gateway-cache"] for response, _ in results) == ["joined"] * 4 + ["miss"]


async def test_a_context_that_is_exceeded_is_the_callers_to_know(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "context"

    response, answer = await ask(http, gateway, chat())

    assert response.status == 400
    assert answer["error"]["code"] == "context_length_exceeded"


async def test_an_unknown_model_is_openais_404(http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    response, answer = await ask(http, gateway, chat(model="gpt-99"))

    assert response.status == 404
    assert answer["error"]["code"] == "model_not_found"
    assert answer["error"]["param"] == "model"


async def test_a_wrong_hint_is_refused(http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    response, answer = await ask(http, gateway, chat(), X_Sensitivity="secret")

    assert response.status == 400
    assert answer["error"]["param"] == "X-Sensitivity"


@pytest.mark.parametrize("name", ["Idempotency-Key", "OpenAI-Beta"])
async def test_a_header_that_goes_out_is_scanned_too(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, local: OpenAISimulator, name: str
) -> None:
    response, _ = await ask(http, gateway, chat(), **{name.replace("-", "_"): "henrietta.quackenbush@corvid-logistics.net"})

    assert response.headers["x-gateway-label"] == "confidential"
    assert cloud.connections == 0
    assert local.saw(b"quackenbush")
