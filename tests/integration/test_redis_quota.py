"""The shared rate limit against a real Redis, over instances and processes, and when Redis dies or hangs."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from app.limits import RateLimit
from app.services.quota import RedisQuota
from tests.integration.redis_server import BOUND_S, LAG_S, TIMEOUT_S, Clock, RedisServer, measured_lag, running_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = Path(__file__).parents[2]

REPLICA = """
import asyncio, sys
seen = set()
sys.addaudithook(lambda event, args: seen.add(str(args[1])) if event == "socket.connect" else None)
from app.services.quota import RedisQuota
async def main(url, hits):
    quota = RedisQuota(url, 50, secret=b"shared", timeout_s=10)
    windows = [await quota.hit("198.51.100.1") for _ in range(hits)]
    await quota.aclose()
    print(sum(window.allowed for window in windows), sorted(seen))
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def quota(server: RedisServer, clock: Clock) -> AsyncIterator[RedisQuota]:
    server.command("FLUSHALL")
    quota = RedisQuota(server.url, 5, timeout_s=TIMEOUT_S, clock=clock)
    yield quota
    await quota.aclose()


def degraded() -> float | None:
    return REGISTRY.get_sample_value("sluice_degraded", {"part": "limits"})


async def timed(limit: RateLimit) -> tuple[bool, float]:
    start = time.monotonic()
    window = await limit.hit("198.51.100.1")
    assert window is not None
    return window.allowed, time.monotonic() - start


async def test_two_instances_share_a_count_and_are_told_when_a_slot_is_free(server: RedisServer, quota: RedisQuota) -> None:
    other = RedisQuota(server.url, 5, timeout_s=TIMEOUT_S)
    windows = [await each.hit("198.51.100.1") for each in (quota, other, quota, other, quota, other)]
    stranger = await quota.hit("198.51.100.2")
    await other.aclose()

    assert [window[:3] for window in windows if window is not None] == [(True, 5, 4), (True, 5, 3), (True, 5, 2), (True, 5, 1), (True, 5, 0), (False, 5, 0)]
    assert all(50 < window.reset_s <= 60 for window in windows if window is not None)
    assert stranger is not None
    assert stranger.allowed
    assert (quota.status, degraded(), await quota.ping()) == ("ok", 0, True)


async def test_processes_at_the_same_time_are_allowed_the_limit_together_and_connect_to_redis_alone(server: RedisServer) -> None:
    server.command("FLUSHALL")
    command = [sys.executable, "-c", REPLICA, server.url, "40"]
    replicas = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE) for _ in range(2)]
    outputs = [(await asyncio.wait_for(replica.communicate(), 60))[0].decode() for replica in replicas]

    assert sum(int(output.split(maxsplit=1)[0]) for output in outputs) == 50
    assert {output.split(maxsplit=1)[1].strip() for output in outputs} == {f"[\"('127.0.0.1', {server.port})\"]"}


async def test_redis_sees_hashes_of_keys_and_forgets_them_after_a_minute(server: RedisServer, quota: RedisQuota) -> None:
    await quota.hit("198.51.100.1")
    names = [line for line in server.command("KEYS", "*").split(b"\r\n") if line.startswith(b"sluice:")]
    ttl_s = int(server.command("TTL", names[0].decode()).split(b"\r\n")[0][1:])

    assert len(names) == 1
    assert b"198.51.100.1" not in names[0]
    assert 50 < ttl_s <= 60


async def test_when_redis_dies_the_process_counts_and_when_it_is_back_they_count_together(server: RedisServer, quota: RedisQuota, clock: Clock) -> None:
    limit = RateLimit(5, quota)
    shared = [await timed(limit) for _ in range(5)]
    server.stop()
    try:
        alone = [await timed(limit) for _ in range(6)]
        during = (quota.status, degraded(), await quota.ping())
    finally:
        await asyncio.to_thread(server.start)
    clock.ahead += 1
    back = [await timed(limit) for _ in range(6)]

    assert [allowed for allowed, _ in shared] == [True] * 5
    assert [allowed for allowed, _ in alone] == [True] * 5 + [False]
    assert during == ("degraded", 1, False)
    assert [allowed for allowed, _ in back] == [True] * 5 + [False], "the new server knows no script and no hit"
    assert max(took for _, took in (*shared, *alone, *back)) < BOUND_S
    assert (quota.status, degraded()) == ("ok", 0)


async def test_when_redis_hangs_no_hit_takes_long_and_the_loop_goes_on(server: RedisServer, quota: RedisQuota, clock: Clock) -> None:
    limit = RateLimit(5, quota)
    await limit.hit("198.51.100.2")
    server.pause()
    try:
        async with asyncio.timeout(20), measured_lag() as lag:
            together = await asyncio.gather(*(timed(limit) for _ in range(50)))
            later = [await timed(limit) for _ in range(50)]
            clock.ahead += 1
            again = await asyncio.gather(*(timed(limit) for _ in range(50)))
    finally:
        server.resume()
    clock.ahead += 2
    back = await limit.hit("198.51.100.2")

    assert sum(allowed for allowed, _ in together) == 5
    assert max(took for _, took in (*together, *again)) < BOUND_S
    assert max(took for _, took in later) < TIMEOUT_S / 2
    assert sorted(took for _, took in again)[-2] < TIMEOUT_S / 2, "one hit alone tries a Redis that hung"
    assert lag.worst_s < LAG_S
    assert back is not None
    assert (back.remaining, quota.status, degraded()) == (3, "ok", 0)
