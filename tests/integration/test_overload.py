"""More requests than the gateway serves at a time, and callers that read slowly: what waits, what is refused, and what that holds in memory."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import GatewayServer, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import OpenAISimulator

CHAT = "/v1/chat/completions"
BODY = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}
MIB = 1024 * 1024


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator) -> Iterator[GatewayServer]:
    config = f"""
    deployments:
      first: {{model: openai/gpt, api_base: "{cloud.url}/v1", clearance: confidential}}
    pools: {{local: [first]}}
    rules: [{{use: local}}]
    """
    with serve(tmp_path, config, max_in_flight=1, max_queued=1, queue_wait_s=20, cache_ttl=0) as server:
        yield server


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the other side is a thread, which sets no event of this loop
            await asyncio.sleep(0.002)


async def until_still(value: Callable[[], int]) -> int:
    """Return a value that has not changed for a while, as a sender's that is held back."""
    seen, since = value(), 0
    async with asyncio.timeout(20):
        while since < 25:
            await asyncio.sleep(0.01)
            seen, since = (seen, since + 1) if value() == seen else (value(), 0)
    return seen


def waiting(gateway: GatewayServer) -> int:
    slots = gateway.parts.admission._slots
    assert slots is not None
    return slots.waiting


async def hanging(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> asyncio.Task[Any]:
    """Hold the one slot with a request whose provider never answers."""
    cloud.fault = "hang.times-1"
    task = asyncio.create_task(http.post(gateway.url + CHAT, json=BODY))
    await until(lambda: cloud.requests)
    return task


async def test_a_request_waits_for_the_one_before_it_and_says_so(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    first = await hanging(http, gateway, cloud)
    second = asyncio.create_task(http.post(gateway.url + CHAT, json=BODY))
    await until(lambda: waiting(gateway))
    assert len(cloud.requests) == 1

    first.cancel()

    answer = await second
    assert answer.status == 200
    assert answer.headers["server-timing"].startswith("queue;dur=")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", CHAT), ("POST", "/v1/route"), ("POST", "/search"), ("POST", "/documents"), ("DELETE", "/documents/doc_1")]
)
async def test_what_finds_no_place_is_told_so_at_once(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, method: str, path: str
) -> None:
    first = await hanging(http, gateway, cloud)
    second = asyncio.create_task(http.post(gateway.url + CHAT, json=BODY))
    await until(lambda: waiting(gateway))

    third = await http.request(method, gateway.url + path, json=BODY)

    error = (await third.json())["error"]
    assert third.status == 503
    assert third.headers["retry-after"] == "20"
    assert (error["type"], error["code"], error["param"]) == ("server_error", "server_overloaded", None)
    first.cancel()
    assert (await second).status == 200


async def test_a_caller_waits_in_the_line_no_longer_than_it_has_time(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    held = await hanging(http, gateway, cloud)

    async with asyncio.timeout(5), http.post(gateway.url + CHAT, json=BODY, headers={"X-Timeout": "0.1"}) as response:
        answer = await response.json()

    held.cancel()
    assert (response.status, answer["error"]["code"], response.headers["retry-after"]) == (503, "server_overloaded", "20")
    assert len(cloud.calls) == 1


@pytest.mark.parametrize("path", ["/health", "/readyz", "/metrics", "/v1/models"])
async def test_what_an_operator_asks_is_never_queued(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, path: str) -> None:
    first = await hanging(http, gateway, cloud)
    second = asyncio.create_task(http.post(gateway.url + CHAT, json=BODY))
    await until(lambda: waiting(gateway))

    assert (await http.get(gateway.url + path)).status == 200

    first.cancel()
    await second


async def test_the_body_of_a_request_that_waits_is_not_read(http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    first = await hanging(http, gateway, cloud)
    body = json.dumps(BODY | {"pad": "x" * (24 * MIB)}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode())
    writer.write(body)
    await until(lambda: waiting(gateway))

    unsent = await until_still(writer.transport.get_write_buffer_size)

    assert unsent > 12 * MIB  # the rest is in the sockets' own buffers
    first.cancel()
    answer = await reader.read()
    assert b"field_not_cleared" in answer  # it was read to its end: what is over MAX_SCAN_BYTES is confidential, and `pad` is no field of OpenAI's
    writer.close()


@pytest.mark.parametrize(("path", "body"), [(CHAT, b"{"), (CHAT, b"x" * 100), ("/search", b"{"), ("/v1/route", b"x" * 100)])
async def test_a_caller_that_leaves_the_line_gives_its_place_at_once_and_leaves_no_trace(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, path: str, body: bytes
) -> None:
    first = await hanging(http, gateway, cloud)
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n".encode() + body)
    await until(lambda: waiting(gateway))

    writer.close()
    await until(lambda: not waiting(gateway))

    assert not first.done()
    first.cancel()
    assert (await http.post(gateway.url + CHAT, json=BODY)).status == 200
    slots = gateway.parts.admission._slots
    assert slots is not None
    await until(lambda: slots.taken == 0)


async def test_a_caller_that_reads_slowly_holds_its_provider_back(gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "words-120000"  # about 30 MB of events
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=64 * 1024)
    body = json.dumps(BODY | {"stream": True}).encode()
    writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    await reader.readuntil(b"data: ")

    sent = await until_still(lambda: cloud.requests[0].chunks_sent)

    assert not cloud.requests[0].finished
    assert sent < 110_000
    ended = b""
    while data := await reader.read(MIB):
        ended = (ended + data)[-200:]
    assert b"data: [DONE]" in ended
    writer.close()
