"""A request leaves nothing that the garbage collector would have to find, whatever becomes of it: its body would be held until that comes by."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import TYPE_CHECKING

import pytest

from app.errors import UpstreamError
from app.gateway.attempts import Walk
from app.gateway.streaming import StreamWatch
from app.http_cycle import HeldCycle
from app.http_protocol import HeldHttpProtocol
from app.providers.wire_connection import Connection
from tests.integration.gateway_server import GatewayServer, serve
from tests.simulators import AnthropicSimulator, OllamaSimulator, OpenAISimulator, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = (UpstreamError, ConnectionError, Walk, StreamWatch, HeldCycle, HeldHttpProtocol, Connection)
FAULTS = [
    "ok",
    "status-500",
    "status-429",
    "status-401",
    "html-502",
    "refuse",
    "stall-0",
    "cut-1",
    "cut-3",
    "endclean-3",
    "malformed-1",
    "malformed-3",
    "error-0",
    "error-3",
]
PROVIDERS: dict[str, type[Simulator]] = {"openai/gpt": OpenAISimulator, "anthropic/claude": AnthropicSimulator, "ollama_chat/llama": OllamaSimulator}


@pytest.fixture(scope="module", params=PROVIDERS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayServer, Simulator]]:
    with PROVIDERS[request.param]() as provider:
        config = f"""
        deployments:
          only: {{model: {request.param}, api_base: "{provider.url}{"/v1" if request.param == "openai/gpt" else ""}", api_key: k, clearance: confidential}}
        attempts: {{breaker: {{failures: 1000, calls: 10000}}}}
        rules: [{{use: only}}]
        """
        with serve(tmp_path_factory.mktemp("garbage"), config, llm_timeout=0.6, stream_idle_s=0.3, cache_ttl=0) as server:
            yield server, provider


def request_of(*, stream: bool) -> bytes:
    body = json.dumps({"model": "auto", "stream": stream, "messages": [{"role": "user", "content": "Say a lot."}]}).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def found() -> list[object]:
    """Return all of KINDS that there is, but for connections that may serve again."""
    return [thing for thing in gc.get_objects() if isinstance(thing, KINDS) and not (isinstance(thing, Connection) and thing.is_open)]


async def left_by(port: int, sent: bytes, *, reads: bool = True) -> list[str]:
    """Send a request, and return what of KINDS is left two seconds after its connection's end, with the collector off."""
    gc.collect()
    before = set(map(id, found()))
    gc.disable()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        if reads:
            assert (await reader.read()).startswith(b"HTTP/1.1 ")
        else:
            await asyncio.sleep(0.1)
        writer.transport.abort()
        for _ in range(100):
            left = [type(thing).__name__ for thing in found() if id(thing) not in before]
            if not left:
                break
            await asyncio.sleep(0.02)
    finally:
        gc.enable()
    return left


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_of_any_kind_leaves_no_garbage(served: tuple[GatewayServer, Simulator], fault: str, *, stream: bool) -> None:
    gateway, provider = served
    provider.fault = fault

    async with asyncio.timeout(10):
        assert await left_by(gateway.port, request_of(stream=stream)) == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", ["hang", "stall-2", "slow-stream-50"])
async def test_a_caller_that_leaves_leaves_no_garbage(served: tuple[GatewayServer, Simulator], fault: str, *, stream: bool) -> None:
    gateway, provider = served
    provider.fault = fault

    async with asyncio.timeout(10):
        assert await left_by(gateway.port, request_of(stream=stream), reads=False) == []


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: %b\r\n\r\n" % (b"a" * 70_000),
        b"GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        request_of(stream=False)[:-1] + b"!",
    ],
    ids=["no HTTP", "a large head", "nowhere", "no JSON"],
)
async def test_a_request_that_is_refused_leaves_no_garbage(served: tuple[GatewayServer, Simulator], sent: bytes) -> None:
    async with asyncio.timeout(10):
        assert await left_by(served[0].port, sent) == []
