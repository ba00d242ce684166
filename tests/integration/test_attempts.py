"""Attempts over real sockets: who is asked, how often and for how long, and that every connection ends with its caller."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.redis_server import running_redis
from tests.integration.test_chat_relay import ask, chat, said, stream
from tests.integration.test_disconnects import NOTICED_WITHIN_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import OpenAISimulator


def config(cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, *, hedge: bool = False, first: str = "", more: str = "") -> str:
    return f"""
    deployments:
      first: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k1, clearance: internal{first}}}
      second: {{model: openai/gpt, api_base: "{other.url}/v1", api_key: k2, clearance: internal, price: {{input: 1000000, output: 0}}}}
      home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
      den: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
    pools:
      cheap: {{members: [first, second], hedge: {str(hedge).lower()}}}
      long: [second]
      local: {{members: [home, den], hedge: {str(hedge).lower()}}}
    rules:
      - {{when: {{label: confidential}}, use: local}}
      - {{use: cheap}}
    {more}
    """


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator) -> Iterator[GatewayServer]:
    with serve(tmp_path, config(cloud, other, local), llm_timeout=5, cache_ttl=0) as server:
        yield server


def learn_times(gateway: GatewayServer, pool: str = "cheap") -> None:
    """Let the pool be known as one that usually answers within 30 ms."""
    for _ in range(20):
        for streamed in (False, True):
            gateway.parts.chat.vitals.sample(pool, 0.03, stream=streamed)


# The caller's bounds.


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_can_lower_the_time_that_its_request_takes(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, *, streamed: bool
) -> None:
    cloud.fault = "hang"
    start = time.monotonic()

    response, answer = await ask(http, gateway, chat(stream=streamed), X_Timeout="0.4", X_No_Fallback="true")

    assert 0.3 < time.monotonic() - start < 1.5
    assert (response.status, answer["error"]["code"]) == (504, "upstream_timeout")
    assert answer["error"]["message"] == "The limit of 0.4 s (X-Timeout) was reached before the answer's end. Tried: first (timeout)."


@pytest.mark.parametrize(("bound", "limit"), [({"x-timeout": "0.5"}, "The limit of 0.5 s (X-Timeout)"), ({}, "The gateway's limit of 1 s (LLM_TIMEOUT)")])
async def test_the_time_is_for_all_of_a_stream(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, bound: dict[str, str], limit: str
) -> None:
    cloud.fault = "slow-stream-50.words-100"
    with serve(tmp_path, config(cloud, other, local), llm_timeout=1, cache_ttl=0) as gateway:
        start = time.monotonic()
        response = await http.post(f"{gateway.url}/v1/chat/completions", json=chat(stream=True), headers=bound)
        text = (await response.read()).decode()

    assert time.monotonic() - start < 2.5
    assert f"{limit} was reached before the answer's end." in text
    assert '"content"' in text
    assert '"code":"upstream_timeout"' in text
    assert "[DONE]" not in text


@pytest.mark.parametrize(("header", "value"), [("X-Timeout", "0"), ("X-Timeout", "soon"), ("X-No-Fallback", "perhaps")])
async def test_a_bound_that_is_none_is_refused(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, header: str, value: str) -> None:
    response, answer = await ask(http, gateway, chat(), **{header: value})

    assert (response.status, answer["error"]["param"]) == (400, header)
    assert cloud.connections == 0


@pytest.mark.parametrize("hedge", [False, True])
async def test_without_fallback_no_second_host_hears_anything(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, *, hedge: bool
) -> None:
    more = "attempts: {breaker: {failures: 1000, calls: 1000}}\n    fallback: local"
    with serve(tmp_path, config(cloud, other, local, hedge=hedge, more=more), llm_timeout=0.3, cache_ttl=0) as gateway:
        learn_times(gateway)
        for cloud.fault in ("status-503", "status-429", "refuse", "hang", "cut-0", "context", "malformed-0"):
            for streamed in (False, True):
                response, _ = await ask(http, gateway, chat(stream=streamed), X_No_Fallback="1")

                assert response.status >= 400

    assert (other.connections, local.connections) == (0, 0)


async def test_without_fallback_a_named_model_that_rests_is_503_and_no_other_host_hears_anything(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator
) -> None:
    cloud.fault = "status-500"
    with serve(tmp_path, config(cloud, other, local, more="attempts: {retries: 0}\n    fallback: local"), cache_ttl=0) as gateway:
        answers = [await ask(http, gateway, chat() | {"model": "first"}, X_No_Fallback="true") for _ in range(5)]
        dry = await (await http.post(f"{gateway.url}/v1/route", json=chat() | {"model": "first"}, headers={"x-no-fallback": "true"})).json()
        secret, refused = await ask(http, gateway, chat("4111 1111 1111 1111") | {"model": "first"}, X_No_Fallback="true")

    assert [response.status for response, _ in answers] == [502, 502, 502, 503, 503]
    assert 1 <= int(answers[-1][0].headers["retry-after"]) <= 5
    assert [attempt["deployment"] for attempt in dry["plan"]["attempts"]] == ["first"]
    assert (secret.status, refused["error"]["code"]) == (403, "label_not_cleared")
    assert (len(cloud.requests), other.connections, local.connections) == (3, 0, 0)


# Retries.


async def test_a_deployment_that_is_briefly_unavailable_is_asked_again(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "status-503.times-1"

    response, _ = await ask(http, gateway, chat())

    assert (response.headers["x-gateway-deployment"], response.headers["x-gateway-attempts"]) == ("first", "2")


@pytest.mark.parametrize("header", ["retryms-300", "retry-1"])
async def test_a_providers_retry_after_is_obeyed(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, header: str) -> None:
    cloud.fault = f"status-429-{header}.times-1"

    response, _ = await ask(http, gateway, chat())

    assert response.headers["x-gateway-deployment"] == "first"
    assert cloud.requests[1].at - cloud.requests[0].at >= (0.3 if "ms" in header else 1.0)


async def test_a_retry_after_that_does_not_fit_is_left_to_the_next(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "status-429-retry-60"

    first, _ = await ask(http, gateway, chat())
    second, _ = await ask(http, gateway, chat())

    assert [response.headers["x-gateway-deployment"] for response in (first, second)] == ["second", "second"]
    assert len(cloud.requests) == 1  # and it is left alone for as long as it asked


@pytest.mark.parametrize("fault", ["status-503", "status-500", "cut-0", "hang"])
async def test_what_is_to_be_kept_is_sent_to_a_provider_once(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, fault: str) -> None:
    cloud.fault = fault

    await ask(http, gateway, chat(store=True), X_Timeout="0.5")

    assert len(cloud.requests) == 1


async def test_after_the_first_token_nothing_is_asked_again(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, other: OpenAISimulator
) -> None:
    cloud.fault = "cut-3"

    _, chunks = await stream(http, gateway, chat("one two three four five six"))

    assert said(chunks)
    assert "error" in chunks[-1]
    assert (len(cloud.requests), other.connections) == (1, 0)


# Fallback by class.


@pytest.mark.parametrize(("fault", "kind"), [("status-503", "unavailable"), ("refuse", "unavailable"), ("status-429", "rate_limited"), ("hang", "timeout")])
async def test_an_operator_chooses_which_failures_lead_to_another(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, fault: str, kind: str
) -> None:
    cloud.fault = fault
    others = {"unavailable", "rate_limited", "timeout", "context_exceeded", "content_refused"} - {kind}
    with serve(tmp_path, config(cloud, other, local, more=f"attempts: {{retries: 0, fallback_on: [{', '.join(others)}]}}"), llm_timeout=0.6) as gateway:
        response, _ = await ask(http, gateway, chat())

    assert response.status in (503, 504)
    assert other.connections == 0


# Rests and limits.


async def test_three_failures_let_a_deployment_rest_and_a_probe_brings_it_back(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator
) -> None:
    policy = "attempts: {retries: 0, breaker: {failures: 3, cooldown_s: 0.3}}"
    with serve(tmp_path, config(cloud, other, local, more=policy), cache_ttl=0) as gateway:
        cloud.fault = "status-500"
        for _ in range(5):
            await ask(http, gateway, chat())
        asked = len(cloud.requests)
        ready = await (await http.get(f"{gateway.url}/readyz")).json()
        metrics = await (await http.get(f"{gateway.url}/metrics")).text()
        cloud.fault = "ok"
        await asyncio.sleep(0.35)
        response, _ = await ask(http, gateway, chat())

    assert asked == 3
    assert "first" in ready["checks"]["deployments"]
    assert 'sluice_breaker_open{deployment="first"} 1.0' in metrics
    assert response.headers["x-gateway-deployment"] == "first"


async def test_one_caller_probes_while_the_others_go_elsewhere(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator
) -> None:
    policy = "attempts: {retries: 0, breaker: {failures: 1, cooldown_s: 0.1}}"
    with serve(tmp_path, config(cloud, other, local, more=policy), cache_ttl=0) as gateway:
        cloud.fault = "status-500"
        await ask(http, gateway, chat())
        cloud.fault = "slow-first-300"
        await asyncio.sleep(0.15)
        answers = await asyncio.gather(*(ask(http, gateway, chat(f"{number}")) for number in range(6)))

    assert sorted(response.headers["x-gateway-deployment"] for response, _ in answers) == ["first"] + ["second"] * 5


async def test_a_rest_is_shared_by_replicas(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator
) -> None:
    text = config(cloud, other, local, more="attempts: {retries: 0, breaker: {failures: 1, cooldown_s: 30}}")
    shared = {"gateway_secret": "a-secret-of-both-replicas", "cache_ttl": 0}
    with running_redis() as redis, serve(tmp_path, text, redis_url=redis.url, **shared) as one, serve(tmp_path, text, redis_url=redis.url, **shared) as two:
        cloud.fault = "status-500"
        await ask(http, one, chat())
        await until(lambda: "first" in two.parts.chat.vitals.resting())
        response, _ = await ask(http, two, chat())

    assert response.headers["x-gateway-deployment"] == "second"
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("limits", ["requests_per_minute: 2", "tokens_per_minute: 1100"])
async def test_a_deployment_is_asked_no_more_than_its_limits_allow(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, limits: str
) -> None:
    cloud.fault = "slow-first-500"  # so that what was reserved is not settled before all have asked
    with serve(tmp_path, config(cloud, other, local, first=f", limits: {{{limits}}}"), cache_ttl=0) as gateway:
        answers = await asyncio.gather(*(ask(http, gateway, chat(f"{number}")) for number in range(5)))
        cloud.fault = None
        alone, error = await ask(http, gateway, chat() | {"model": "first"}, X_Timeout="0.3")

    served = [response.headers["x-gateway-deployment"] for response, _ in answers]
    assert sorted(served) == ["first"] * 2 + ["second"] * 3
    if limits.startswith("requests"):
        assert (alone.status, error["error"]["code"]) == (503, "upstream_unavailable")
        assert 1 <= int(alone.headers["retry-after"]) <= 30


# Hedging.


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_slow_first_is_raced_and_its_connection_closed(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, *, streamed: bool
) -> None:
    cloud.fault = "hang"
    with serve(tmp_path, config(cloud, other, local, hedge=True), cache_ttl=0) as gateway:
        learn_times(gateway)
        start = time.monotonic()
        response = await http.post(f"{gateway.url}/v1/chat/completions", json=chat(stream=streamed))
        await response.read()
        took = time.monotonic() - start
        await until(lambda: cloud.disconnects, within_s=NOTICED_WITHIN_S)

    assert (response.headers["x-gateway-deployment"], response.headers["x-gateway-attempts"]) == ("second", "2")
    assert took < 1
    assert cloud.open_connections == 0


async def test_the_loser_of_a_race_is_in_the_bill(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator
) -> None:
    cloud.fault = "slow-first-200"
    other.fault = "hang"
    with serve(tmp_path, config(cloud, other, local, hedge=True), cache_ttl=0) as gateway:
        learn_times(gateway)
        response, _ = await ask(http, gateway, chat())
        metrics = await (await http.get(f"{gateway.url}/metrics")).text()
        await until(lambda: other.disconnects, within_s=NOTICED_WITHIN_S)

    assert response.headers["x-gateway-deployment"] == "first"
    assert float(response.headers["x-gateway-cost-usd"]) >= 1  # a dollar a token, for the prompt alone
    assert 'sluice_attempts_total{deployment="second",outcome="cancelled"}' in metrics
    assert 'sluice_hedges_total{answered="first",pool="cheap"}' in metrics


async def test_a_pool_that_does_not_ask_for_it_is_not_raced(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, other: OpenAISimulator
) -> None:
    cloud.fault = "slow-first-200"
    learn_times(gateway)

    await ask(http, gateway, chat())

    assert other.connections == 0


async def test_a_race_of_confidential_calls_stays_at_home(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator
) -> None:
    local.fault = "slow-first-200"
    with serve(tmp_path, config(cloud, other, local, hedge=True), cache_ttl=0) as gateway:
        learn_times(gateway, "local")
        response, _ = await ask(http, gateway, chat("My SSN is 536-22-1234."))

    assert response.headers["x-gateway-attempts"] == "2"
    assert len(local.calls) == 2
    assert (cloud.connections, other.connections) == (0, 0)


# Callers that leave.


async def open_request(gateway: GatewayServer, body: dict[str, Any]) -> asyncio.StreamWriter:
    raw = json.dumps(body).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
    writer.write(head.encode() + raw)
    await writer.drain()
    return writer


@pytest.mark.parametrize("streamed", [False, True])
async def test_both_calls_of_a_race_end_with_their_caller_and_are_accounted_for(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, *, streamed: bool
) -> None:
    cloud.fault = other.fault = "hang"
    with serve(tmp_path, config(cloud, other, local, hedge=True), cache_ttl=0) as gateway:
        learn_times(gateway)
        writer = await open_request(gateway, chat(stream=streamed))
        await until(lambda: cloud.requests and other.requests)

        left = time.monotonic()
        writer.close()
        await until(lambda: cloud.disconnects and other.disconnects)
        vitals = gateway.parts.chat.vitals
        metrics = await (await http.get(f"{gateway.url}/metrics")).text()

    assert max(cloud.disconnects[0].at, other.disconnects[0].at) - left < NOTICED_WITHIN_S
    assert not any(vitals.in_flight.values())
    assert 'sluice_attempts_total{deployment="first",outcome="cancelled"}' in metrics


async def test_a_caller_that_leaves_while_a_retry_is_waited_for_asks_nobody_again(
    gateway: GatewayServer, cloud: OpenAISimulator, other: OpenAISimulator
) -> None:
    cloud.fault = "status-429-retry-1.times-1"
    writer = await open_request(gateway, chat())
    await until(lambda: cloud.requests)

    writer.close()
    await asyncio.sleep(1.2)

    assert (len(cloud.requests), other.connections) == (1, 0)
