"""Every provider's stream, broken in every way at many places, through the whole gateway over sockets: a fallback before the first token, one error after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.gateway.vitals import Vitals
from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.test_chat_relay import chat, said, stream
from tests.integration.test_chat_translate import DEPLOYMENTS, SIMULATORS
from tests.simulators import OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import Simulator

PROVIDERS: dict[str, type[Simulator]] = {"openai": OpenAISimulator, **SIMULATORS}
SPECS = {"openai": "model: openai/gpt-4o{fault}, api_key: k", **DEPLOYMENTS}
TEXT = " ".join(f"w{number}" for number in range(64))


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with PROVIDERS[request.param](tag=request.param) as simulator:
        yield simulator


@pytest.fixture
def gateway(tmp_path: Path, provider: Simulator, other: OpenAISimulator) -> Iterator[GatewayServer]:
    base = f"{provider.url}/v1" if provider.tag == "openai" else provider.url
    config = f"""
    deployments:
      first: {{{SPECS[provider.tag].format(fault="")}, api_base: "{base}", clearance: confidential}}
      second: {{model: openai/gpt, api_base: "{other.url}/v1", clearance: confidential}}
    pools: {{local: [first, second]}}
    rules: [{{use: local}}]
    """
    with serve(tmp_path, config, llm_timeout=5, cache_ttl=0) as server:
        yield server


async def heard(http: aiohttp.ClientSession, gateway: GatewayServer) -> tuple[aiohttp.ClientResponse, list[Any]]:
    gateway.parts.chat.vitals = Vitals()  # so that no breaker keeps the provider from breaking again
    return await stream(http, gateway, chat(TEXT))


@pytest.mark.parametrize("fault", ["error-0", "cut-0", "reset-0", "endclean-0", "malformed-1"])
async def test_a_stream_that_breaks_before_its_first_token_is_answered_by_another(
    http: aiohttp.ClientSession, gateway: GatewayServer, provider: Simulator, fault: str
) -> None:
    provider.fault = fault

    response, events = await heard(http, gateway)

    assert response.status == 200
    assert response.headers["x-gateway-deployment"] == "second"
    assert said(events).startswith("[other]")
    assert events[-1] == "[DONE]"


async def test_a_stream_that_breaks_after_its_first_token_ends_in_one_typed_error(
    http: aiohttp.ClientSession, gateway: GatewayServer, provider: Simulator, other: OpenAISimulator
) -> None:
    for kind in ("error", "cut", "endclean", "malformed"):  # a reset may take the first token with it
        for count in (6, 17, 40, 62):
            provider.fault = f"{kind}-{count}"

            _, events = await heard(http, gateway)

            errors = [event["error"] for event in events if event != "[DONE]" and "error" in event]
            assert events[-1] == {"error": errors[0]}, (kind, count)
            assert (len(errors), errors[0]["type"], errors[0]["code"]) == (1, "server_error", "upstream_error")
            assert not any(choice.get("finish_reason") for event in events[:-1] for choice in event["choices"])
            assert f"[{provider.tag}] echo: {TEXT}".startswith(said(events[:-1]))
            assert said(events[:-1])
    assert other.requests == []
