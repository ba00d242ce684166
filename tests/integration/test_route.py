"""POST /v1/route agrees with what the real path does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import GatewayServer, serve
from tests.leakage.positions import POSITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import OpenAISimulator

TEXTS = [
    "Say hello.",
    "Write to henrietta.quackenbush@corvid-logistics.net today.",
    "Prove step by step that the design of this distributed consensus protocol tolerates two faults, and compare the trade-offs. " * 3,
    "word " * 3000,
]
MODELS = ["auto", "cheap", "strong", "local", "first", "home", "nothing"]


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator) -> Iterator[GatewayServer]:
    config = f"""
    deployments:
      first: {{model: openai/gpt-4o-mini, api_base: "{cloud.url}/v1", api_key: k1}}
      second: {{model: openai/gpt-4o, api_base: "{other.url}/v1", api_key: k2}}
      home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential, capabilities: [tools, json_object]}}
    pools: {{cheap: [first], strong: [second, first], long: [second], local: [home]}}
    rules:
      - {{when: {{label: confidential}}, use: local}}
      - {{when: {{min_tokens: 2000}}, use: long}}
      - {{when: {{complexity: complex}}, use: strong}}
      - {{use: cheap}}
    fallback: local
    """
    with serve(tmp_path, config, cache_ttl=0) as server:
        yield server


async def both(http: aiohttp.ClientSession, gateway: GatewayServer, body: dict[str, Any], headers: dict[str, str]) -> tuple[Any, aiohttp.ClientResponse, Any]:
    explained = await http.post(f"{gateway.url}/v1/route", json=body, headers=headers)
    real = await http.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers)
    return await explained.json(), real, await real.json()


def bodies() -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    for text in TEXTS:
        for model in MODELS:
            yield f"{model}: {text[:20]}", {"model": model, "messages": [{"role": "user", "content": text}]}, {}
    for name, position in POSITIONS.items():
        yield name, position("4929 1234 5678 9010"), {}
    yield "hint", {"model": "auto", "messages": [{"role": "user", "content": "a"}]}, {"X-Sensitivity": "internal", "X-Complexity": "complex"}
    yield "n", {"model": "home", "messages": [{"role": "user", "content": "a"}], "n": 2}, {}


async def test_explain_is_execute(http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    for name, body, headers in bodies():
        explained, real, answer = await both(http, gateway, body, headers)

        assert real.headers["x-gateway-label"] == explained["label"], name
        assert real.headers.get("x-gateway-complexity") in {explained["complexity"]["tier"], None}, name  # None: no rule read it
        assert real.headers.get("x-gateway-findings", "") == ",".join(sorted({found["kind"] for found in explained["findings"]})), name
        if explained["plan"] is None:
            assert answer["error"] == explained["error"], name
        else:
            assert real.headers["x-gateway-rule"] == explained["plan"]["rule"], name
            assert real.headers["x-gateway-deployment"] == explained["plan"]["attempts"][0]["deployment"], name


async def test_explaining_calls_nobody_and_shows_no_value(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, local: OpenAISimulator
) -> None:
    response = await http.post(f"{gateway.url}/v1/route", json={"model": "auto", "messages": [{"role": "user", "content": TEXTS[1]}]})
    explained = await response.json()

    assert explained["findings"][0]["position"] == "messages[0].content"
    assert explained["rules"][0] == {"rule": "rule-1", "use": "local", "reject": None, "matched": True, "why_not": None}
    assert "quackenbush" not in await response.text()
    assert cloud.connections + local.connections == 0


async def test_contributions_add_up_to_the_score(http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    response = await http.post(f"{gateway.url}/v1/route", json={"model": "auto", "messages": [{"role": "user", "content": TEXTS[2]}]})
    complexity = (await response.json())["complexity"]

    assert sum(complexity["contributions"].values()) == pytest.approx(complexity["score"], abs=0.001)


async def test_a_body_that_is_invalid_is_refused_as_the_real_path_does(http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    response = await http.post(f"{gateway.url}/v1/route", data=b"{", headers={"content-type": "application/json"})

    assert response.status == 400
    assert (await response.json())["error"]["code"] == "invalid_json"
