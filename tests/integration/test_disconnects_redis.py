"""A caller that leaves while Redis hangs, with the cache, the limits and the marks in it: what is asked for it ends as soon as without Redis."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY

from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.redis_server import BOUND_S, RedisServer, running_redis
from tests.integration.test_attempts import config, learn_times
from tests.integration.test_chat_relay import chat
from tests.integration.test_disconnects import NOTICED_WITHIN_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.simulators import OpenAISimulator

PUBLIC = "Say hello."
CONFIDENTIAL = "Please charge my card 4111 1111 1111 1111 for the two seats in the third row on Sunday evening."


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path, redis: RedisServer, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator) -> Iterator[GatewayServer]:
    settings = {"redis_url": redis.url, "gateway_secret": "a-secret-of-all-replicas", "rate_limit_per_minute": 1000}
    redis.command("FLUSHALL")
    with serve(tmp_path, config(cloud, other, local, hedge=True), llm_timeout=20, **settings) as server:
        learn_times(server)
        yield server


async def send(gateway: GatewayServer, body: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    raw = json.dumps(body).encode()
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that who does not read soon holds what is sent to it
    caller.connect(("127.0.0.1", gateway.port))
    reader, writer = await asyncio.open_connection(sock=caller)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(raw), raw))
    await writer.drain()
    return reader, writer


async def leave(writers: Sequence[asyncio.StreamWriter], asked: Sequence[OpenAISimulator]) -> float:
    """Leave; return how long after that the last call was ended of those that each of the simulators had for each caller."""
    left = time.monotonic()
    for writer in writers:
        writer.close()
    await until(lambda: all(len(simulator.disconnects) == len(writers) for simulator in asked))
    return max(gone.at for simulator in asked for gone in simulator.disconnects) - left


def served() -> float | None:
    return REGISTRY.get_sample_value("sluice_in_flight")


async def test_every_call_of_a_request_ends_with_its_caller_when_redis_hung_before_it_came(
    gateway: GatewayServer, redis: RedisServer, cloud: OpenAISimulator, other: OpenAISimulator
) -> None:
    cloud.fault = other.fault = "hang"
    with redis.hanging():
        callers = [await send(gateway, chat(PUBLIC, stream=stream)) for stream in (False, True)]
        await until(lambda: len(cloud.requests) == len(other.requests) == 2)  # a second call beside each first, which is late
        took = await leave([writer for _, writer in callers], [cloud, other])
        await until(lambda: served() == 0, within_s=NOTICED_WITHIN_S)

    assert took < NOTICED_WITHIN_S
    assert (cloud.open_connections, other.open_connections) == (0, 0)


async def test_every_call_of_a_request_ends_with_its_caller_when_redis_hangs_since_it_was_made(
    gateway: GatewayServer, redis: RedisServer, cloud: OpenAISimulator, other: OpenAISimulator
) -> None:
    cloud.fault = other.fault = "hang"
    callers = [await send(gateway, chat(PUBLIC, stream=stream)) for stream in (False, True)]
    await until(lambda: len(cloud.requests) == len(other.requests) == 2)
    with redis.hanging():
        took = await leave([writer for _, writer in callers], [cloud, other])
        await until(lambda: served() == 0, within_s=NOTICED_WITHIN_S)

    assert took < NOTICED_WITHIN_S
    assert (cloud.open_connections, other.open_connections) == (0, 0)


async def test_a_stream_that_is_read_ends_with_its_caller_before_redis_is_told_of_it(
    gateway: GatewayServer, redis: RedisServer, local: OpenAISimulator
) -> None:
    local.fault = "words-100.stall-50"
    reader, writer = await send(gateway, chat(CONFIDENTIAL, stream=True))
    for _ in range(40):  # enough for marks of what was said
        await reader.readuntil(b"\n\n")
    with redis.hanging():
        took = await leave([writer], [local])
        await until(lambda: served() == 0, within_s=BOUND_S)

    assert took < NOTICED_WITHIN_S
    assert local.open_connections == 0


async def test_a_stream_that_is_not_read_ends_with_its_caller_before_redis_is_told_of_it(
    gateway: GatewayServer, redis: RedisServer, local: OpenAISimulator
) -> None:
    local.fault = "words-20000.stall-20000"
    connections: set[Any] = gateway.state.connections  # those of our own protocol
    _, writer = await send(gateway, chat(CONFIDENTIAL, stream=True))
    await until(lambda: any(connection.flow.write_paused for connection in tuple(connections)))
    with redis.hanging():
        took = await leave([writer], [local])
        await until(lambda: served() == 0, within_s=BOUND_S)

    assert took < NOTICED_WITHIN_S
    assert local.open_connections == 0


async def test_a_caller_that_leaves_while_redis_is_asked_for_its_limit_calls_nobody(
    gateway: GatewayServer, redis: RedisServer, cloud: OpenAISimulator, other: OpenAISimulator
) -> None:
    with redis.hanging():
        _, writer = await send(gateway, chat(PUBLIC))
        await until(lambda: served() == 1)
        writer.close()
        await until(lambda: served() == 0, within_s=BOUND_S)

    assert (cloud.connections, other.connections) == (0, 0)


async def test_callers_that_leave_while_redis_is_asked_for_the_cache_or_for_marks_call_nobody_and_wait_for_nothing(
    gateway: GatewayServer, redis: RedisServer, cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator
) -> None:
    with redis.hanging():
        callers = [await send(gateway, chat(text)) for text in (PUBLIC, CONFIDENTIAL)]
        await until(lambda: served() == 2)
        await until(lambda: REGISTRY.get_sample_value("sluice_degraded", {"part": "limits"}) == 1)  # Redis is asked for the next thing now
        for _, writer in callers:
            writer.close()
        await until(lambda: served() == 0, within_s=NOTICED_WITHIN_S)

    assert (cloud.connections, other.connections, local.connections) == (0, 0, 0)
