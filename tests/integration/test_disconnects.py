from __future__ import annotations

import asyncio
import io
import json
import time
from typing import TYPE_CHECKING

import pytest

from app.utils import logging
from tests.integration.gateway_server import GatewayServer, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.simulators import OpenAISimulator

NOTICED_WITHIN_S = 0.2


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator) -> Iterator[GatewayServer]:
    config = f"""
    deployments:
      first: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k1, clearance: internal}}
      home: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k1, clearance: confidential}}
    pools: {{cheap: [first], local: [home]}}
    rules: [{{when: {{label: confidential}}, use: local}}, {{use: cheap}}]
    """
    with serve(tmp_path, config, llm_timeout=20) as server:
        yield server


async def open_request(gateway: GatewayServer, *, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    text = "one two three four five six seven eight nine ten " * 20
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}], "stream": stream}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def until(condition: object, *, within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("after_s", [0.02, 0.3])
async def test_an_upstream_call_ends_with_its_caller_before_the_first_token(
    gateway: GatewayServer, cloud: OpenAISimulator, *, stream: bool, after_s: float
) -> None:
    cloud.fault = "hang"
    _, writer = await open_request(gateway, stream=stream)
    await until(lambda: cloud.requests)
    await asyncio.sleep(after_s)

    left = time.monotonic()
    writer.close()
    await until(lambda: cloud.disconnects)

    assert cloud.disconnects[0].at - left < NOTICED_WITHIN_S


async def test_an_upstream_stream_ends_with_its_caller(gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "slow-stream-20"
    reader, writer = await open_request(gateway, stream=True)
    await reader.readuntil(b"data: ")
    await asyncio.sleep(0.15)

    left = time.monotonic()
    writer.close()
    await until(lambda: cloud.disconnects)

    assert cloud.disconnects[0].at - left < NOTICED_WITHIN_S
    assert cloud.open_connections == 0


async def test_a_caller_that_leaves_within_its_body_calls_nobody(gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await asyncio.sleep(0.1)

    assert cloud.connections == 0


@pytest.mark.parametrize(("path", "body"), [("/search", {"query": "anything"}), ("/documents", {"documents": [{"text": "anything"}]})])
async def test_a_call_to_an_embedder_ends_with_its_caller(tmp_path: Path, cloud: OpenAISimulator, path: str, body: dict[str, object]) -> None:
    cloud.fault = "hang"
    config = f"""
    deployments:
      vectors: {{model: openai/text-embedding-3-small, api_base: "{cloud.url}/v1", api_key: k1}}
      home: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k1, clearance: confidential}}
    pools: {{local: [home]}}
    rules: [{{use: local}}]
    search: {{embedder: vectors}}
    """
    with serve(tmp_path, config, llm_timeout=20) as gateway:
        raw = json.dumps(body).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
        writer.write(head.encode() + raw)
        await writer.drain()
        await until(lambda: cloud.requests)

        left = time.monotonic()
        writer.close()
        await until(lambda: cloud.disconnects)

    assert cloud.disconnects[0].at - left < NOTICED_WITHIN_S


async def test_a_stream_that_its_caller_leaves_is_logged_as_left(gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "slow-stream-20"
    output = io.StringIO()
    logging.configure("info", readable=False, stream=output)
    try:
        reader, writer = await open_request(gateway, stream=True)
        await reader.readuntil(b"data: ")
        writer.close()
        await until(lambda: '"event":"request"' in output.getvalue())
    finally:
        logging.configure("info", readable=False)
    line = next(event for event in map(json.loads, output.getvalue().splitlines()) if event["event"] == "request")

    assert (line["status"], line["ended"]) == (200, "left")
