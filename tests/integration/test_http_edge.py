"""What surrounds the chat path: keys, limits, sizes, types, ids, hosts, origins and unknown paths."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import OpenAISimulator

DEMO = """
deployments:
  cloud: {model: openai/gpt-4o-mini, api_key: "${OPENAI_API_KEY}", clearance: internal}
  llama: {model: ollama_chat/llama3.1, api_base: "${OLLAMA_BASE_URL}", num_ctx: 4096, clearance: confidential}
pools: {cheap: [cloud], local: [llama]}
rules: [{when: {label: confidential}, use: local}, {use: cheap}]
fallback: local
"""
BODY = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[GatewayServer]:
    with serve(tmp_path, DEMO, max_body_bytes=2000, allowed_origins="https://app.example.com") as server:
        yield server


async def error_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    body = await response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])


async def test_with_nothing_configured_the_demo_model_says_what_was_decided(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    response = await http.post(f"{demo.url}/v1/chat/completions", json=BODY)
    answer = await response.json()

    assert response.headers["x-gateway-deployment"] == "demo"
    assert "label: public" in answer["choices"][0]["message"]["content"]


async def test_the_demo_model_streams(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    response = await http.post(f"{demo.url}/v1/chat/completions", json=BODY | {"stream": True, "n": 2})

    assert (await response.read()).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("padding", [b" " * 3000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413(http: aiohttp.ClientSession, demo: GatewayServer, padding: bytes, *, chunked: bool) -> None:
    async def parts() -> Any:
        for _ in range(3):
            yield padding[:1000]

    headers = {"content-type": "application/json"}
    for path in ("/v1/chat/completions", "/search"):
        response = await http.post(demo.url + path, data=parts() if chunked else padding, headers=headers)
        assert response.status == 413
        assert (await error_of(response))["code"] == "request_too_large"


@pytest.mark.parametrize("headers", [{"content-type": "text/plain"}, {"content-type": "application/json", "content-encoding": "gzip"}])
async def test_a_body_that_is_not_json_is_415(http: aiohttp.ClientSession, demo: GatewayServer, headers: dict[str, str]) -> None:
    response = await http.post(f"{demo.url}/v1/chat/completions", data=json.dumps(BODY), headers=headers)

    assert response.status == 415
    assert (await error_of(response))["code"] == "unsupported_media_type"


async def test_a_charset_beside_the_type_is_fine(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}

    assert (await http.post(f"{demo.url}/v1/chat/completions", data=json.dumps(BODY), headers=headers)).status == 200


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/responses", "/v1/embeddings", "/nothing", "/v1/chat/completions/"])
async def test_an_unknown_path_is_404_in_openais_shape(http: aiohttp.ClientSession, demo: GatewayServer, path: str) -> None:
    response = await http.post(demo.url + path, json=BODY)

    assert response.status == 404
    assert (await error_of(response))["code"] == "unknown_url"
    assert response.headers["x-request-id"]


async def test_another_method_on_the_chat_path_is_405(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    response = await http.get(f"{demo.url}/v1/chat/completions")

    assert response.status == 405
    assert (await error_of(response))["code"] == "method_not_allowed"


@pytest.mark.parametrize(("given", "taken"), [("abc-DEF_1", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("ä", False)])
async def test_a_request_id_is_taken_over_when_it_is_harmless(http: aiohttp.ClientSession, demo: GatewayServer, given: str, *, taken: bool) -> None:
    response = await http.get(f"{demo.url}/health", headers={"X-Request-ID": given})

    assert (response.headers["x-request-id"] == given) is taken


@pytest.mark.parametrize("given", ["4111111111111111", "sk-proj-" + "Zq7Rt2Lw9Xk4Vb6N" * 3])
async def test_a_request_id_that_holds_content_is_not_taken_over(http: aiohttp.ClientSession, demo: GatewayServer, given: str) -> None:
    response = await http.get(f"{demo.url}/health", headers={"X-Request-ID": given[:64]})

    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("host", ["[", "evil.example.com", "127.0.0.1.evil.example.com", "10.0.0.1:8000", "localhost.evil.example.com"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/health", "/documents"])
async def test_without_keys_another_host_name_is_refused(http: aiohttp.ClientSession, demo: GatewayServer, host: str, path: str) -> None:
    response = await http.post(demo.url + path, json=BODY, headers={"Host": host})

    assert response.status == 403
    assert (await error_of(response))["code"] == "host_not_allowed"


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://localhost.evil.example.com"])
async def test_without_keys_a_foreign_page_is_refused(http: aiohttp.ClientSession, demo: GatewayServer, origin: str) -> None:
    response = await http.post(f"{demo.url}/v1/chat/completions", json=BODY, headers={"Origin": origin})

    assert response.status == 403
    assert (await error_of(response))["code"] == "origin_not_allowed"


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://app.example.com"])
async def test_a_local_or_listed_origin_passes(http: aiohttp.ClientSession, demo: GatewayServer, origin: str) -> None:
    response = await http.post(f"{demo.url}/v1/chat/completions", json=BODY, headers={"Origin": origin})

    assert response.status == 200


async def test_cors_answers_a_listed_origin_only(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    listed = await http.options(f"{demo.url}/v1/chat/completions", headers={"Origin": "https://app.example.com", **ask})

    assert listed.status == 200
    assert listed.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_the_models_are_auto_pools_and_active_deployments(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    listed = await (await http.get(f"{demo.url}/v1/models")).json()
    one = await (await http.get(f"{demo.url}/v1/models/auto")).json()
    missing = await http.get(f"{demo.url}/v1/models/cloud")

    assert [model["id"] for model in listed["data"]] == ["auto", "cheap", "local", "demo"]
    assert one["object"] == "model"
    assert missing.status == 404
    assert (await error_of(missing))["code"] == "model_not_found"


async def test_health_ready_metrics_and_root_answer(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    await http.post(f"{demo.url}/v1/chat/completions", json=BODY)
    health = await (await http.get(f"{demo.url}/health")).json()
    ready = await http.get(f"{demo.url}/readyz")
    metrics = await (await http.get(f"{demo.url}/metrics")).text()
    root = await (await http.get(f"{demo.url}/")).json()

    assert set(health) == {"status", "checks", "timestamp", "configuration"}
    assert ready.status == 200
    assert 'sluice_requests_total{route="/v1/chat/completions",status="200"}' in metrics
    assert root["name"] == "sluice"


async def test_the_description_shows_every_route(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    described = await (await http.get(f"{demo.url}/openapi.json")).json()

    assert {"/v1/chat/completions", "/v1/models", "/search", "/documents", "/health", "/readyz", "/metrics", "/"} <= set(described["paths"])
    assert (await http.get(f"{demo.url}/docs")).status == 200
    assert not any(operation["security"] for path in described["paths"].values() for operation in path.values())


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[GatewayServer]:
    with serve(tmp_path, DEMO, gateway_api_keys="team:internal:key-one,key-two", rate_limit_per_minute=30) as server:
        yield server


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer ", "Basic key-one", "key-one"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("POST", "/v1/route"),
        ("POST", "/search"),
        ("POST", "/documents"),
        ("DELETE", "/documents/x"),
        ("GET", "/metrics"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/nothing"),
        ("GET", "/"),
    ],
)
async def test_without_a_known_key_it_is_401(http: aiohttp.ClientSession, keyed: GatewayServer, authorization: str | None, method: str, path: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    response = await http.request(method, keyed.url + path, json=BODY, headers=headers)

    assert response.status == 401
    assert (await error_of(response))["code"] == "invalid_api_key"


@pytest.mark.parametrize("key", ["key-one", "key-two"])
async def test_a_known_key_passes_from_any_host(http: aiohttp.ClientSession, keyed: GatewayServer, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "Host": "gateway.example.com"}

    assert (await http.post(f"{keyed.url}/v1/chat/completions", json=BODY, headers=headers)).status == 200


async def test_the_description_says_which_routes_want_a_key(http: aiohttp.ClientSession, keyed: GatewayServer) -> None:
    described = await (await http.get(f"{keyed.url}/openapi.json", headers={"Authorization": "Bearer key-one"})).json()

    assert described["components"]["securitySchemes"]["gateway_key"]["scheme"] == "bearer"
    assert {path for path, operations in described["paths"].items() if not any(operation["security"] for operation in operations.values())} == {
        "/health",
        "/readyz",
    }


@pytest.mark.parametrize("path", ["/health", "/readyz"])
async def test_health_needs_no_key(http: aiohttp.ClientSession, keyed: GatewayServer, path: str) -> None:
    assert (await http.get(keyed.url + path)).status == 200


async def test_over_the_limit_it_is_429_with_when_to_come_back(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    with serve(tmp_path, DEMO, rate_limit_per_minute=3) as gateway:
        answers = [await http.post(f"{gateway.url}/v1/chat/completions", json=BODY) for _ in range(2)]
        answers.append(await http.get(f"{gateway.url}/v1/models"))
        refused = [await http.post(f"{gateway.url}/v1/chat/completions", json=BODY), await http.get(f"{gateway.url}/v1/models")]

    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0"]
    for response in refused:
        assert response.status == 429
        assert (await error_of(response))["code"] == "rate_limit_exceeded"
        assert int(response.headers["retry-after"]) >= 1
        assert response.headers["x-ratelimit-limit-requests"] == "3"
        assert response.headers["x-ratelimit-remaining-requests"] == "0"


async def test_forwarded_addresses_count_behind_a_trusted_proxy_only(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def statuses(**settings: Any) -> list[int]:
        with serve(tmp_path, DEMO, rate_limit_per_minute=1, **settings) as gateway:
            found = []
            for address in ("203.0.113.1", "203.0.113.2"):
                response = await http.post(f"{gateway.url}/v1/chat/completions", json=BODY, headers={"X-Forwarded-For": address})
                found.append(response.status)
            return found

    assert await statuses() == [200, 429]
    assert await statuses(trusted_proxies="127.0.0.1") == [200, 200]


async def test_invalid_documents_are_refused_without_an_echo(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    response = await http.post(f"{demo.url}/search", json={"query": "x", "limit": "canary-4711"})

    assert response.status == 400
    error = await error_of(response)
    assert error["param"] == "limit"
    assert "canary" not in json.dumps(error)


async def test_the_callers_name_is_in_the_access_log(http: aiohttp.ClientSession, keyed: GatewayServer, capsys: pytest.CaptureFixture[str]) -> None:
    await http.get(f"{keyed.url}/v1/models", headers={"Authorization": "Bearer key-one", "X-Request-ID": "mine-1"})

    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["tenant"], event["request_id"]) for event in logged if event["event"] == "request"] == [("team", "mine-1")]


async def test_a_refusal_is_in_the_access_log_with_its_route_and_code(
    http: aiohttp.ClientSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], cloud: OpenAISimulator
) -> None:
    config = f"""
    deployments: {{cloud: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k, clearance: confidential}}}}
    pools: {{local: [cloud]}}
    rules: [{{use: local}}]
    """
    cloud.fault = "status-400"
    bearer = {"Authorization": "Bearer key-one"}
    with serve(tmp_path, config, rate_limit_per_minute=5, gateway_api_keys="team:key-one") as gateway:
        await http.post(f"{gateway.url}/v1/chat/completions", json=BODY)
        for path, body in [("/v1/chat/completions", b"{"), ("/v1/chat/completions", json.dumps(BODY)), ("/nowhere-canary", b""), ("/search", b"{}")]:
            await http.post(gateway.url + path, data=body, headers=bearer | {"Content-Type": "application/json"})
        await http.post(f"{gateway.url}/v1/chat/completions", json=BODY, headers=bearer)
        await http.get(f"{gateway.url}/v1/models", headers=bearer)
        await http.get(f"{gateway.url}/nowhere-canary", headers=bearer)

    out = capsys.readouterr().out
    logged = [json.loads(line) for line in out.splitlines()]
    assert [(event["route"], event["status"], event["error"]) for event in logged if event["event"] == "request"] == [
        ("/v1/chat/completions", 401, "invalid_api_key"),
        ("/v1/chat/completions", 400, "invalid_json"),
        ("/v1/chat/completions", 400, "refused_by_provider"),
        ("unrouted", 404, "unknown_url"),
        ("/search", 400, "missing_required_parameter"),
        ("/v1/chat/completions", 429, "rate_limit_exceeded"),
        ("/v1/models", 429, "rate_limit_exceeded"),
        ("unrouted", 429, "rate_limit_exceeded"),
    ]
    assert "canary" not in out


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/v1/responses", 'use /v1/chat/completions (with openai-agents: set_default_openai_api("chat_completions"))'),
        ("/v1/responses/resp_canary", "use /v1/chat/completions"),
        ("/v1/completions", "use /v1/chat/completions"),
        ("/v1/embeddings", "use /v1/chat/completions"),
        ("/chat/completions", "End the client's base_url in /v1"),
        ("/models", "End the client's base_url in /v1"),
        ("/v1/chat/completions/chat/completions", "End the client's base_url in /v1"),
        ("/v1/v1/models", "End the client's base_url in /v1"),
        ("/v1/canary", "what /openapi.json lists"),
    ],
)
async def test_a_path_that_is_not_served_is_404_and_says_what_is(http: aiohttp.ClientSession, demo: GatewayServer, path: str, advice: str) -> None:
    response = await http.post(demo.url + path, json=BODY)
    error = await error_of(response)

    assert (response.status, error["code"]) == (404, "unknown_url")
    assert advice in error["message"]
    assert "canary" not in error["message"]


async def test_a_provider_that_fails_shows_in_readiness(http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator) -> None:
    config = f"""
    deployments:
      first: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k, clearance: confidential}}
      second: {{model: openai/gpt, api_base: "{other.url}/v1", api_key: k, clearance: confidential}}
    pools: {{local: [first, second]}}
    rules: [{{use: local}}]
    """
    cloud.kill()
    with serve(tmp_path, config, cache_ttl=0) as gateway:
        states = []
        for _ in range(2):
            await http.post(f"{gateway.url}/v1/chat/completions", json=BODY)
            ready = await http.get(f"{gateway.url}/readyz")
            states.append((ready.status, (await ready.json())["status"]))
            other.kill()
        cloud.revive()
        await http.post(f"{gateway.url}/v1/chat/completions", json=BODY)
        ready = await http.get(f"{gateway.url}/readyz")

    assert states == [(200, "degraded"), (503, "unavailable")]
    assert ready.status == 200


async def test_a_redis_that_comes_back_is_found_without_a_request(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    with running_redis() as redis, serve(tmp_path, DEMO, redis_url=redis.url, gateway_secret="a-secret-of-the-tests") as gateway:
        redis.stop()
        await http.post(f"{gateway.url}/v1/chat/completions", json=BODY)
        lost = (await (await http.get(f"{gateway.url}/health")).json())["checks"]["cache"]
        redis.start()
        deadline = time.monotonic() + 15
        while (await (await http.get(f"{gateway.url}/health")).json())["status"] != "ok":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)

    assert lost == "degraded"


async def test_health_answers_head_too(http: aiohttp.ClientSession, demo: GatewayServer) -> None:
    assert (await http.head(f"{demo.url}/health")).status == 200
