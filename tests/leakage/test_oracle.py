"""No oracle: answers, headers, lists and logs tell one tenant nothing of another."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from app.utils import logging
from tests.integration.gateway_server import serve
from tests.integration.redis_server import running_redis
from tests.leakage.canaries import CANARIES
from tests.leakage.lab import CHAT
from tests.simulators import OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

    from tests.integration.gateway_server import GatewayServer
    from tests.leakage.conftest import Evidence

KEYS = {"one": "one:a-key-of-the-first-tenant", "two": "two:a-key-of-the-second-tenant", "low": "low:public:a-key-of-low-clearance"}
WEAK = CANARIES["customer_number"].text  # internal: it may be cached
LONG = "The mill by the river is to be bought before the harvest is in."


@pytest.fixture(scope="module")
def cloud() -> Iterator[OpenAISimulator]:
    with OpenAISimulator(tag="cloud") as simulator:
        yield simulator


def config(cloud: OpenAISimulator, local: OpenAISimulator) -> str:
    return f"""
    deployments:
      cloud: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k, clearance: internal}}
      home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
    pools: {{inside: [cloud], local: [home]}}
    rules: [{{when: {{label: confidential}}, use: local}}, {{use: inside}}]
    """


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, cloud: OpenAISimulator) -> Iterator[GatewayServer]:
    with running_redis() as redis, OpenAISimulator(tag="local") as local:
        settings: dict[str, Any] = {"redis_url": redis.url, "gateway_secret": "a-secret-of-the-tests", "gateway_api_keys": ",".join(KEYS.values())}
        with serve(tmp_path_factory.mktemp("oracle"), config(cloud, local), **settings) as server:
            yield server


def bearer(who: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[who].rpartition(':')[2]}"}


async def ask(http: aiohttp.ClientSession, gateway: GatewayServer, who: str, text: str, **headers: str) -> tuple[dict[str, str], bytes]:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    response = await http.post(f"{gateway.url}{CHAT}", json=body, headers=bearer(who) | headers)
    assert response.status == 200
    return {name.lower(): value for name, value in response.headers.items()}, await response.read()


async def test_the_cache_tells_a_tenant_of_its_own_requests_alone(http: aiohttp.ClientSession, gateway: GatewayServer, evidence: Evidence) -> None:
    before = [(await ask(http, gateway, who, WEAK))[0]["x-gateway-cache"] for who in ("one", "two", "one", "two")]
    together = await asyncio.gather(*(ask(http, gateway, who, "Say hello.") for who in ("one", "two")))

    evidence("oracle", "the same request of two tenants, one after the other and at once", 6, before[:2].count("hit"))
    assert before == ["miss", "miss", "hit", "hit"]
    assert [headers["x-gateway-cache"] for headers, _ in together] == ["miss", "miss"]


async def test_a_cached_answer_comes_with_the_facts_of_the_request_that_it_answers(http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    await ask(http, gateway, "one", WEAK)
    again, _ = await ask(http, gateway, "one", WEAK)
    plain = [(await ask(http, gateway, "one", "Say hello."))[0] for _ in range(2)][-1]
    hinted = [(await ask(http, gateway, "one", "Say hello.", **{"x-sensitivity": "internal"}))[0] for _ in range(2)]

    assert (again["x-gateway-cache"], again["x-gateway-findings"]) == ("hit", "customer_number")
    assert "x-gateway-findings" not in plain
    assert [(headers["x-gateway-cache"], headers["x-gateway-label"]) for headers in (plain, *hinted)] == [
        ("hit", "public"),
        ("miss", "internal"),
        ("hit", "internal"),
    ]


async def test_calls_in_flight_join_within_one_tenant_and_label(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "slow-first-300"
    hint = {"x-sensitivity": "internal"}
    asked = [("one", {}), ("one", {}), ("one", hint), ("one", hint), ("two", {})]
    answers = await asyncio.gather(*(ask(http, gateway, who, "What is a flight?", **headers) for who, headers in asked))
    cloud.fault = None

    states = [headers["x-gateway-cache"] for headers, _ in answers]
    assert [sorted(states[:2]), sorted(states[2:4]), states[4]] == [["joined", "miss"], ["joined", "miss"], "miss"]  # which of two comes first is open


async def test_nobody_can_ask_whether_another_said_something(http: aiohttp.ClientSession, gateway: GatewayServer, evidence: Evidence) -> None:
    await ask(http, gateway, "one", LONG, **{"x-sensitivity": "confidential"})
    other, _ = await ask(http, gateway, "two", LONG)
    route = await http.post(f"{gateway.url}/v1/route", json={"model": "auto", "messages": [{"role": "user", "content": LONG}]}, headers=bearer("low"))

    told = (await route.json())["label_reason"]
    evidence("oracle", "a text of another's confidential conversation, asked and explained", 2, (other["x-gateway-label"] == "confidential") * len(LONG))
    assert (other["x-gateway-label"], told) == ("public", "default")


async def test_lists_are_the_same_for_everybody(http: aiohttp.ClientSession, gateway: GatewayServer) -> None:
    lists = [await (await http.get(f"{gateway.url}/v1/models", headers=bearer(who))).read() for who in KEYS]

    assert len(set(lists)) == 1


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/metrics", "/v1/models", "/"])
async def test_without_a_key_nothing_but_health_is_told(http: aiohttp.ClientSession, gateway: GatewayServer, path: str) -> None:
    response = await http.get(f"{gateway.url}{path}")

    assert response.status == 401


async def test_paths_are_logged_without_what_stands_behind_them(http: aiohttp.ClientSession, gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logging._sink, "stream", log)
    for path in ("/v1/models?q=sesame", "/documents/sesame", "/sesame", "/health?sesame"):
        await (await http.get(f"{gateway.url}{path}", headers=bearer("one"))).read()
    deadline = asyncio.get_running_loop().time() + 5
    while log.getvalue().count('"event":"request"') < 4 and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 -- lines are written in batches
        await asyncio.sleep(0.02)

    assert log.getvalue().count('"event":"request"') == 4
    assert "sesame" not in log.getvalue()


async def test_a_providers_words_go_to_the_caller_whose_request_it_was(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "echo-400"
    body = {"model": "auto", "messages": [{"role": "user", "content": f"A {WEAK}"}]}
    response = await http.post(f"{gateway.url}{CHAT}", json=body, headers=bearer("one"))
    refused = json.dumps(await response.json())
    cloud.fault = None
    _, answer = await ask(http, gateway, "two", "Say hello.")

    assert (response.status, WEAK in refused) == (400, True)
    assert WEAK.encode() not in answer
