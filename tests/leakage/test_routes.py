"""The census of routes: each one is known here, and each that can reach an upstream is limited, identified and assessed before anything is called."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from fastapi import APIRouter, FastAPI

from app import main
from app.main import build_app
from app.middleware import HotRoute
from app.policy.assess import Assessor
from tests.integration.gateway_server import serve
from tests.leakage.canaries import CANARIES, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.gateway_server import GatewayServer
    from tests.leakage.conftest import Evidence
    from tests.simulators import OpenAISimulator

EMAIL = CANARIES["email"].value

# What a route does with what it is sent. `assessed` ones can reach a provider, an embedder or the store, and are driven below; the others read no content.
ROUTES = {
    ("POST", "/v1/chat/completions"): "assessed",
    ("POST", "/v1/route"): "assessed",
    ("POST", "/search"): "assessed",
    ("POST", "/documents"): "assessed",
    ("DELETE", "/documents/{document_id}"): "assessed",
    ("GET", "/v1/models"): "limited",
    ("GET", "/v1/models/{model:path}"): "limited",
    ("GET", "/metrics"): "limited",
    ("POST", "/admin/reload"): "limited",  # of its body nothing is read; what its key is, and that no caller's will do, tests/integration/test_reload.py says
    ("GET", "/"): "limited",
    ("GET", "/health"): "open",
    ("GET", "/readyz"): "open",
    ("GET", "/openapi.json"): "limited",
    ("GET", "/docs"): "limited",
    ("GET", "/docs/oauth2-redirect"): "limited",
    ("GET", "/redoc"): "limited",
    **{(method, "/v1/chat/completions"): "limited" for method in ("GET", "OPTIONS", "PUT", "PATCH", "DELETE")},  # each is 405
}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/chat/completions"): {"model": "auto", "messages": [{"role": "user", "content": EMAIL}]},
    ("POST", "/v1/route"): {"model": "auto", "messages": [{"role": "user", "content": EMAIL}]},
    ("POST", "/search"): {"query": EMAIL},
    ("POST", "/documents"): {"documents": [{"text": EMAIL}]},
    ("DELETE", "/documents/{document_id}"): None,
}
ASSESSED = sorted(route for route, how in ROUTES.items() if how == "assessed")
KEYS = "owner:owner-key"


def routes_of(routes: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every method and path, of included routers and mounts too; anything else that serves is a fault."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routes_of(inner.routes, prefix + route.include_context.prefix)
        elif getattr(route, "methods", None):
            yield from ((method, prefix + route.path) for method in route.methods if method != "HEAD")
        else:
            yield type(route).__name__, prefix + getattr(route, "path", "?")


def census(parts: Any, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Return what the whole application serves: FastAPI's routes, and each path that is taken before them."""
    apis: list[FastAPI] = []
    hot: list[tuple[str, str]] = []
    real, init = main._fastapi, HotRoute.__init__

    def keep(*args: Any) -> FastAPI:
        apis.append(real(*args))
        return apis[-1]

    def note(self: HotRoute, app: Any, *, path: str, endpoint: Any) -> None:
        hot.append(("POST", path))
        init(self, app, path=path, endpoint=endpoint)

    monkeypatch.setattr(main, "_fastapi", keep)
    monkeypatch.setattr(HotRoute, "__init__", note)
    build_app(parts)
    return {*hot, *routes_of(apis[0].routes)}


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator, local: OpenAISimulator, request: pytest.FixtureRequest) -> Iterator[GatewayServer]:
    config = f"""
    deployments:
      cloud: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k, clearance: internal}}
      vectors: {{model: openai/text-embedding-3-small, api_base: "{cloud.url}/v1", api_key: k, clearance: internal}}
      home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
    pools: {{cheap: [cloud], local: [home]}}
    rules: [{{when: {{label: confidential}}, use: local}}, {{use: cheap}}]
    search: {{embedder: vectors}}
    """
    limit = getattr(request, "param", 0)
    local.fault = "status-500"  # it answers nobody, so that what an answer quotes is the gateway's own doing
    with serve(tmp_path, config, gateway_api_keys=KEYS, rate_limit_per_minute=limit, admin_api_key="an-administrators-own-key") as server:
        yield server


async def call(gateway: GatewayServer, route: tuple[str, str], *, key: str = "owner-key") -> tuple[aiohttp.ClientResponse, bytes]:
    method, path = route
    url = gateway.url + path.replace("{document_id}", EMAIL).replace("{model:path}", "auto")
    async with aiohttp.ClientSession() as http:
        response = await http.request(method, url, json=BODIES.get(route), headers={"authorization": f"Bearer {key}", "x-request-id": "the-callers-own"})
        return response, await response.read()


def test_every_route_is_known(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch, evidence: Evidence) -> None:
    found = census(gateway.parts, monkeypatch)

    evidence("route census", "every registered route, of included routers too, is in the table", len(found), 0)
    assert found == set(ROUTES)
    assert set(BODIES) == set(ASSESSED)


def test_a_new_route_in_an_included_router_is_seen() -> None:
    inner, outer, api = APIRouter(prefix="/inner"), APIRouter(prefix="/outer"), FastAPI(openapi_url=None)
    inner.get("/new")(lambda: None)
    outer.include_router(inner)
    api.include_router(outer)
    api.mount("/mounted", FastAPI(openapi_url=None))

    assert set(routes_of(api.routes)) == {("GET", "/outer/inner/new"), ("Mount", "/mounted")}


@pytest.mark.parametrize("route", ASSESSED, ids=" ".join)
async def test_what_can_reach_an_upstream_is_assessed_and_identified(
    gateway: GatewayServer, cloud: OpenAISimulator, monkeypatch: pytest.MonkeyPatch, evidence: Evidence, route: tuple[str, str]
) -> None:
    assessed: list[str] = []
    monkeypatch.setattr(Assessor, "assess", noting(Assessor.assess, assessed))

    response, body = await call(gateway, route)

    evidence("route", "assessed before anything is called, with a request id", 1, len(cloud.raw) + seen(CANARIES["email"], body))
    assert any(EMAIL in text for text in assessed) or route[0] == "DELETE"  # where it cannot be an id, nobody needs to ask
    assert response.headers["x-request-id"] == "the-callers-own"
    assert cloud.connections == 0
    assert seen(CANARIES["email"], body) == 0


def noting(real: Callable[..., Any], assessed: list[str]) -> Callable[..., Any]:
    def assess(self: Any, body: Any, *more: Any) -> Any:
        assessed.append(repr(body))
        return real(self, body, *more)

    return assess


@pytest.mark.parametrize("route", ASSESSED, ids=" ".join)
async def test_an_assessor_that_fails_closes_the_route(
    gateway: GatewayServer, cloud: OpenAISimulator, monkeypatch: pytest.MonkeyPatch, evidence: Evidence, route: tuple[str, str]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(EMAIL)

    monkeypatch.setattr("app.policy.sensitivity.scanner.Scanner.scan", fail)

    response, body = await call(gateway, route)

    evidence("route", "closed while the scanner fails", 1, len(cloud.raw) + seen(CANARIES["email"], body))
    assert response.status >= 400 or route[1] == "/v1/route"
    assert cloud.connections == 0
    assert seen(CANARIES["email"], body) == 0


@pytest.mark.parametrize("gateway", [1], indirect=True)
@pytest.mark.parametrize("route", sorted(route for route, how in ROUTES.items() if how in {"assessed", "limited"}), ids=" ".join)
async def test_a_route_is_limited_and_asks_for_a_key(gateway: GatewayServer, cloud: OpenAISimulator, route: tuple[str, str]) -> None:
    first, _ = await call(gateway, route, key="nobodys")
    second, _ = await call(gateway, route)

    assert (first.status, second.status) == (401, 429)
    assert first.headers["x-request-id"] == second.headers["x-request-id"] == "the-callers-own"
    assert cloud.connections == 0


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("app.gateway.chat.ChatGateway.run", ("POST", "/v1/chat/completions")),
        ("app.routers.route.explain", ("POST", "/v1/route")),
        ("app.gateway.search.SearchGateway.find", ("POST", "/search")),
        ("app.gateway.search.SearchGateway.add", ("POST", "/documents")),
    ],
)
async def test_a_fault_of_ours_shows_no_content(
    gateway: GatewayServer, cloud: OpenAISimulator, monkeypatch: pytest.MonkeyPatch, evidence: Evidence, target: str, route: tuple[str, str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"while reading {EMAIL}") from ValueError(EMAIL)

    monkeypatch.setattr(target, fail)
    log = io.StringIO()
    monkeypatch.setattr("app.utils.logging._sink.threshold", 0)
    monkeypatch.setattr("app.utils.logging._sink.stream", log)

    response, body = await call(gateway, route)
    await cloud.until(lambda: "request_failed" in log.getvalue())  # which may be written a moment after the answer

    found = seen(CANARIES["email"], body + log.getvalue().encode() + repr(response.headers).encode())
    evidence("fault of ours", "an exception that quotes the request, chained, at debug level", 1, found)
    assert response.status == 500
    assert found == 0
