"""Egress holds alone: an egress that refuses everything lets no byte of any lane through, whatever the request carries."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from app.providers import egress as egress_module
from tests.integration.gateway_server import serve
from tests.leakage.canaries import CANARIES
from tests.leakage.lab import MODELS, refusals
from tests.simulators import OllamaSimulator
from tests.simulators.ollama import OllamaModel

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from tests.leakage.conftest import Evidence
    from tests.leakage.lab import Lab
    from tests.simulators import OpenAISimulator

PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "place", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}}
ADDRESS = "http://localhost/a.png"  # the test puts a server in its place that listens
EMAIL = CANARIES["email"].text
REQUESTS: dict[str, dict[str, Any]] = {
    "text": {"messages": [{"role": "user", "content": f"Write to {EMAIL}."}]},
    "tools": {"messages": [{"role": "user", "content": f"Look up {EMAIL}."}], "tools": [TOOL]},
    "schema": {"messages": [{"role": "user", "content": f"Where is {EMAIL}?"}], "response_format": SCHEMA},
    "image": {"messages": [{"role": "user", "content": [{"type": "text", "text": EMAIL}, {"type": "image_url", "image_url": {"url": PNG}}]}]},
    "image by address": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]}]},
    "public text": {"messages": [{"role": "user", "content": "Say hello."}]},
}
ELSEWHERE = [("127.0.0.1", 11434), ("127.0.0.1", 80), ("127.0.0.1", 443)]  # where libraries go when nobody tells them where


@pytest.fixture
def looks_up(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every name that is resolved and every address that is connected to by Python's own sockets; the test's client goes to the gateway alone."""
    asked: list[Any] = []
    connect = socket.socket.connect

    def noting(self: socket.socket, address: Any) -> None:
        asked.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noting)
    return asked


def refuse_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module.Egress, "admit", lambda _self, label, target: egress_module._refuse(label, target))
    monkeypatch.setattr(egress_module.Egress, "admit_peer", lambda _self, label, target, _peer: egress_module._refuse(label, target))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("request_of", REQUESTS)
async def test_an_egress_that_refuses_everything_lets_nothing_out(
    lab: Lab, other: OpenAISimulator, looks_up: list[Any], monkeypatch: pytest.MonkeyPatch, evidence: Evidence, request_of: str, *, stream: bool
) -> None:
    names = [f"{where}-{dialect}" for where in ("cloud", "home") for dialect in MODELS]
    body = json.loads(json.dumps(REQUESTS[request_of]).replace(ADDRESS, f"{other.url}/a.png"))
    monkeypatch.setattr(lab.gateway.parts.chat, "cache", None)
    before = {simulator.url: simulator.connections for simulator in lab.everyone}
    refuse_everything(monkeypatch)

    answers = [await lab.post(body | {"model": name, "stream": stream}) for name in names]

    evidence("egress refuses all", f"{request_of}, each lane and dialect, cloud and local", len(answers), lab.arrived(*lab.everyone, other))
    assert [answer.status for answer in answers if answer.status == 200] == []
    assert {url: count for simulator in lab.everyone if (count := simulator.connections - before[url := simulator.url])} == {}
    assert lab.arrived(*lab.everyone) == 0
    assert other.connections == 0
    assert [address for address in looks_up if address[:2] in ELSEWHERE or (isinstance(address, tuple) and address[1] == other.port)] == []


async def test_an_egress_as_it_is_lets_local_requests_through(lab: Lab, evidence: Evidence) -> None:
    """The control: the same requests do arrive at each local server, and at no cloud."""
    answers = [await lab.post(REQUESTS["tools"] | {"model": f"home-{dialect}"}) for dialect in MODELS]

    silent = [dialect for dialect, home in lab.homes.items() if not home.saw(EMAIL.encode())]
    evidence("control", "the same requests arrive at each local dialect", len(answers), sum(home.saw(EMAIL.encode()) for home in lab.homes.values()))
    assert [answer.status for answer in answers] == [200] * len(MODELS)
    assert silent == []
    assert lab.connections() == 0


async def test_each_refusal_is_counted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_everything(monkeypatch)
    before = refusals()

    answer = await lab.post(REQUESTS["text"] | {"model": "auto"})

    assert answer.status == 502
    assert refusals() - before == len(MODELS)


@pytest.mark.parametrize(("path", "body"), [("/search", {"query": EMAIL}), ("/documents", {"documents": [{"text": EMAIL}]})])
async def test_an_embedder_elsewhere_is_stopped_by_egress_too(
    tmp_path: Path,
    http: aiohttp.ClientSession,
    cloud: OpenAISimulator,
    local: OpenAISimulator,
    monkeypatch: pytest.MonkeyPatch,
    evidence: Evidence,
    path: str,
    body: Any,
) -> None:
    config = f"""
    deployments:
      home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
      vectors: {{model: openai/text-embedding-3-small, api_base: "{cloud.url}/v1", api_key: k, clearance: internal}}
    pools: {{local: [home]}}
    rules: [{{use: local}}]
    search: {{embedder: vectors}}
    """
    with serve(tmp_path, config) as gateway:
        monkeypatch.setattr("app.gateway.search.SearchGateway._check_clearance", lambda *_: None)
        response = await http.post(f"{gateway.url}{path}", json=body)
        answer = await response.read()

    evidence("embedder", "a search that forgets clearances, before an embedder in the cloud", 1, len(cloud.raw))
    assert response.status >= 400
    assert cloud.connections == 0
    assert EMAIL.encode() not in answer


@pytest.mark.parametrize(("path", "body"), [("/search", {"query": EMAIL}), ("/documents", {"documents": [{"text": EMAIL}]})])
@pytest.mark.parametrize("remote", [False, True], ids=["there", "elsewhere"])
async def test_an_embedder_whose_server_passes_it_on_gets_nothing_confidential(
    tmp_path: Path, http: aiohttp.ClientSession, evidence: Evidence, path: str, body: Any, *, remote: bool
) -> None:
    model = OllamaModel(remote_host="https://ollama.com:443" if remote else "")
    with OllamaSimulator(models={"embed": model}) as ollama:
        config = f"""
        deployments: {{vectors: {{model: openai/embed, api_base: "{ollama.url}/v1", clearance: confidential}}}}
        rules: [{{use: vectors}}]
        search: {{embedder: vectors}}
        """
        with serve(tmp_path, config) as gateway:
            response = await http.post(f"{gateway.url}{path}", json=body)
            await response.read()
        asked, got = [request.path for request in ollama.requests], ollama.raw.count(EMAIL.encode())

    if remote:
        evidence("embedder", "an Ollama that passes the embedder's model on to another host", 1, got * len(EMAIL))
        assert (response.status, got) == (502, 0)
    else:
        assert (response.ok, got) == (True, 1)
    assert asked[:1] == ["/api/tags"]
