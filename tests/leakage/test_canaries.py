"""What is confidential reaches no cloud provider and no sink, wherever in a request it stands and whatever fails."""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Attempt, Label, Plan
from app.gateway import chat as chat_module
from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.redis_server import running_redis
from tests.leakage.positions import POSITIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import OpenAISimulator

EMAIL = "henrietta.quackenbush@corvid-logistics.net"
KEY = "sk-proj-" + "Zq7Rt2Lw9Xk4Vb6N" * 3
CANARIES = {"email": EMAIL, "key": KEY}
ENCODINGS: dict[str, Callable[[str], str]] = {
    "url": lambda text: urllib.parse.quote(text, safe="").replace(".", "%2E"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "zero width": "\u200b".join,
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "html": lambda text: "".join(f"&#{ord(c)};" for c in text),
}


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with running_redis() as redis:
        yield redis.url


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator, local: OpenAISimulator, redis_url: str) -> Iterator[GatewayServer]:
    config = f"""
    deployments:
      cloud: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k1, clearance: internal}}
      home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
    pools: {{cheap: [cloud], long: [cloud], local: [home]}}
    rules: [{{when: {{label: confidential}}, use: local}}, {{use: cheap}}]
    fallback: local
    """
    with serve(tmp_path, config, redis_url=redis_url, gateway_secret="a-secret-of-the-tests", llm_timeout=2, connect_timeout_s=1) as server:
        yield server


async def post(http: aiohttp.ClientSession, gateway: GatewayServer, body: dict[str, Any]) -> tuple[int, str, str]:
    response = await http.post(f"{gateway.url}/v1/chat/completions", json=body)
    return response.status, response.headers.get("x-gateway-label", ""), (await response.read()).decode()


def forms(canary: str) -> list[bytes]:
    """The canary as it would look in a sink: plain, escaped, and in parts long enough to be no accident."""
    return [canary.encode(), json.dumps(canary).strip('"').encode(), canary[:16].encode()]


def assert_unseen(canary: str, *sinks: tuple[str, bytes]) -> None:
    for name, held in sinks:
        for form in forms(canary):
            assert form not in held, f"the canary is in {name}"


async def sinks(http: aiohttp.ClientSession, gateway: GatewayServer, output: str) -> list[tuple[str, bytes]]:
    metrics = await (await http.get(f"{gateway.url}/metrics")).read()
    import redis.asyncio as redis  # noqa: PLC0415 -- only here

    held = b""
    async with redis.Redis.from_url(str(gateway.parts.settings.redis_url)) as client:
        async for key in client.scan_iter("*"):
            held += key + b"\n"
            if await client.type(key) == b"string":
                held += (await client.get(key)) or b""
    return [("the log", output.encode()), ("the metrics", metrics), ("Redis", held)]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("kind", CANARIES)
async def test_no_position_leaks(
    http: aiohttp.ClientSession,
    gateway: GatewayServer,
    cloud: OpenAISimulator,
    capsys: pytest.CaptureFixture[str],
    position: str,
    kind: str,
) -> None:
    canary = CANARIES[kind]
    body = POSITIONS[position](canary)

    for stream in (False, True, False):
        status, label, _ = await post(http, gateway, body | {"stream": stream})
        assert status in (200, 400, 503)
        assert label == "confidential"

    assert cloud.connections == 0
    assert_unseen(canary, *await sinks(http, gateway, "".join(capsys.readouterr())))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("position", ["newest user turn", "tool result", "tool call arguments", "unknown deep field"])
async def test_no_encoding_leaks(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, encoding: str, position: str) -> None:
    _, label, _ = await post(http, gateway, POSITIONS[position](ENCODINGS[encoding](EMAIL)))

    assert label == "confidential"
    assert cloud.connections == 0


@pytest.mark.parametrize(
    "fault", ["status-429", "status-500", "status-400", "echo-400", "echo-500", "context", "hang", "refuse", "cut-2", "error-2", "malformed-1"]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_no_fault_of_the_local_server_leaks(
    http: aiohttp.ClientSession,
    gateway: GatewayServer,
    cloud: OpenAISimulator,
    local: OpenAISimulator,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    *,
    stream: bool,
) -> None:
    local.fault = fault

    status, _, answer = await post(http, gateway, POSITIONS["newest user turn"](f"Write to {EMAIL} please") | {"stream": stream})

    assert cloud.connections == 0
    assert_unseen(EMAIL, *await sinks(http, gateway, "".join(capsys.readouterr())))
    if status >= 500:
        assert_unseen(EMAIL, ("the error body", answer.encode()))


@pytest.mark.parametrize("model", ["auto", "cheap", "cloud", "long", "local", "home", "nothing"])
async def test_no_model_name_leaks(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, model: str) -> None:
    await post(http, gateway, POSITIONS["newest user turn"](EMAIL) | {"model": model})

    assert cloud.connections == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_scanner_that_fails_leaks_nothing(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(EMAIL)

    monkeypatch.setattr("app.policy.assess.collect", fail)

    _, label, _ = await post(http, gateway, POSITIONS["newest user turn"]("nothing at all") | {"stream": stream})

    assert label == "confidential"
    assert cloud.connections == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plan_that_names_the_cloud_is_stopped_by_egress(
    http: aiohttp.ClientSession,
    gateway: GatewayServer,
    cloud: OpenAISimulator,
    monkeypatch: pytest.MonkeyPatch,
    *,
    stream: bool,
) -> None:
    wrong = Plan("wrong", "cheap", (Attempt(gateway.parts.chat.table.deployments["cloud"], "because"),))
    monkeypatch.setattr(chat_module, "decide", lambda *_: wrong)

    status, _, answer = await post(http, gateway, POSITIONS["newest user turn"](EMAIL) | {"stream": stream})

    assert status == 502
    assert "cloud (not_cleared)" in answer
    assert cloud.connections == 0
    assert f'sluice_egress_refused_total{{label="{Label.CONFIDENTIAL}"}}'.encode() in (await sinks(http, gateway, ""))[1][1]


async def test_an_ordinary_request_does_reach_the_cloud(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    """The control: without it, a gateway that calls nobody would pass every test of this file."""
    _, label, _ = await post(http, gateway, POSITIONS["newest user turn"]("What is the capital of France?"))

    assert label == "public"
    assert cloud.saw(b"capital of France")
