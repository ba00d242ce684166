"""The response cache against a real Redis that dies, comes back and hangs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from app.services.cache import MemoryCache, RedisCache
from tests.integration.redis_server import BOUND_S, LAG_S, TIMEOUT_S, Clock, RedisServer, measured_lag, running_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def cache(server: RedisServer, clock: Clock) -> AsyncIterator[RedisCache]:
    server.command("FLUSHALL")
    cache = RedisCache(server.url, MemoryCache(1 << 20), timeout_s=TIMEOUT_S, clock=clock)
    yield cache
    await cache.aclose()


def degraded() -> float | None:
    return REGISTRY.get_sample_value("sluice_degraded", {"part": "cache"})


async def timed(cache: RedisCache, key: bytes = b"k") -> tuple[bytes | None, float]:
    start = time.monotonic()
    found = await cache.get(key)
    return found, time.monotonic() - start


async def test_what_one_instance_stores_another_finds_to_the_byte(server: RedisServer, cache: RedisCache) -> None:
    value = bytes(range(256)) * 40
    await cache.put(b"\x00\xffkey", value, 60)
    other = RedisCache(server.url, MemoryCache(1 << 20), timeout_s=TIMEOUT_S)
    found = await other.get(b"\x00\xffkey")
    await other.aclose()

    assert found == value
    assert await cache.get(b"\x00\xffother") is None
    assert await cache.ping()
    assert (cache.status, degraded()) == ("ok", 0)


async def test_what_others_write_under_our_keys_is_a_miss_and_counted(server: RedisServer) -> None:
    ours = RedisCache(server.url, MemoryCache(1 << 20), secret=b"ours")
    theirs = RedisCache(server.url, MemoryCache(1 << 20), secret=b"theirs")
    before = REGISTRY.get_sample_value("sluice_faults_total", {"part": "cache_seal"}) or 0
    await theirs.put(b"another secret", b"v", 60)
    await ours.put(b"cut", b"v", 60)
    await ours.put(b"moved", b"v", 60)
    server.command("SETRANGE", f"sluice:c:{b'cut'.hex()}", "0", "x")
    server.command("RENAME", f"sluice:c:{b'moved'.hex()}", f"sluice:c:{b'elsewhere'.hex()}")
    server.command("SET", f"sluice:c:{b'garbage'.hex()}", "<html>")
    keys = (b"another secret", b"cut", b"elsewhere", b"garbage")

    found = [await ours.get(key) for key in keys]
    await ours.put(b"cut", b"new", 60)

    assert found == [None] * len(keys)
    assert REGISTRY.get_sample_value("sluice_faults_total", {"part": "cache_seal"}) == before + len(keys)
    assert (await ours.get(b"cut"), ours.status) == (b"new", "ok")
    await ours.aclose()
    await theirs.aclose()


async def test_redis_is_told_to_forget_a_value_when_its_time_is_over(server: RedisServer, cache: RedisCache) -> None:
    for key, ttl_s in ((b"short", 2.5), (b"long", 60), (b"none", 0)):
        await cache.put(key, b"v", ttl_s)
    left_ms = {key: int(server.command("PTTL", f"sluice:c:{key.hex()}").split(b"\r\n")[0][1:]) for key in (b"short", b"long", b"none")}

    assert 0 < left_ms[b"short"] <= 2_500
    assert 50_000 < left_ms[b"long"] <= 60_000
    assert left_ms[b"none"] == -2, "no such key"
    assert cache.status == "ok"


async def test_a_value_over_a_megabyte_is_not_shared(cache: RedisCache) -> None:
    await cache.put(b"large", bytes((1 << 20) + 1), 60)
    await cache.put(b"fits", bytes(1 << 20), 60)

    assert await cache.get(b"large") is None
    assert await cache.get(b"fits") == bytes(1 << 20)
    assert cache.status == "ok"


async def test_many_calls_at_once_are_served_by_few_connections(server: RedisServer, cache: RedisCache) -> None:
    await cache.put(b"k", b"v", 60)
    found = await asyncio.gather(*(cache.get(b"k") for _ in range(100)))
    clients = server.command("CLIENT", "LIST").count(b" addr=")

    assert found == [b"v"] * 100
    assert clients <= 32 + 1
    assert cache.status == "ok"


async def test_when_redis_dies_the_fallback_serves_within_the_bound_and_when_it_is_back_so_is_the_cache(
    server: RedisServer, cache: RedisCache, clock: Clock
) -> None:
    await cache.put(b"k", b"in redis", 60)
    server.stop()
    try:
        lost, first_s = await timed(cache)
        during = (cache.status, degraded(), await cache.ping())
        await cache.put(b"k", b"in process", 60)
        found, second_s = await timed(cache)
    finally:
        await asyncio.to_thread(server.start)
    still = await cache.get(b"k")
    clock.ahead += 1
    empty = await cache.get(b"k")
    await cache.put(b"k", b"in redis again", 60)

    assert (lost, found, still) == (None, b"in process", b"in process")
    assert first_s < BOUND_S
    assert second_s < BOUND_S
    assert during == ("degraded", 1, False)
    assert empty is None
    assert await cache.get(b"k") == b"in redis again"
    assert (cache.status, degraded()) == ("ok", 0)


async def test_when_redis_hangs_no_call_takes_long_and_the_loop_goes_on(server: RedisServer, cache: RedisCache, clock: Clock) -> None:
    await cache.put(b"k", b"v", 60)
    server.pause()
    try:
        async with asyncio.timeout(20), measured_lag() as lag:
            together = await asyncio.gather(*(timed(cache) for _ in range(50)))
            later = [await timed(cache) for _ in range(50)]
            clock.ahead += 1
            again = await asyncio.gather(*(timed(cache) for _ in range(50)))
    finally:
        server.resume()
    clock.ahead += 2
    found = await cache.get(b"k")

    assert max(took for _, took in (*together, *again)) < BOUND_S
    assert max(took for _, took in later) < TIMEOUT_S / 2
    assert sorted(took for _, took in again)[-2] < TIMEOUT_S / 2, "one call alone tries a Redis that hung"
    assert lag.worst_s < LAG_S
    assert found == b"v"
    assert (cache.status, degraded()) == ("ok", 0)


async def test_a_redis_that_refuses_to_write_counts_as_lost(server: RedisServer, cache: RedisCache) -> None:
    server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        await cache.put(b"k", b"v", 60)
        found, status = await cache.get(b"k"), cache.status
    finally:
        server.command("CONFIG", "SET", "maxmemory", "0")

    assert (found, status) == (b"v", "degraded")


async def test_a_caller_that_leaves_in_the_middle_spoils_no_connection(server: RedisServer) -> None:
    cache = RedisCache(server.url, MemoryCache(1 << 20), timeout_s=30)  # a slow machine is no fault here
    for number in range(20):
        await cache.put(b"%d" % number, b"value %d" % number, 60)
    for turns in range(60):
        leaving = [asyncio.create_task(cache.get(b"%d" % number)) for number in range(20)]
        for _ in range(turns % 12):
            await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    found = [await cache.get(b"%d" % number) for number in range(20)]
    await cache.aclose()

    assert found == [b"value %d" % number for number in range(20)]
    assert cache.status == "ok"
