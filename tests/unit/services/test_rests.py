from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from app.services.rests import RedisRests
from tests.integration.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.redis_server import RedisServer

NOWHERE = "redis://127.0.0.1:1/0"


class Learnt:
    def __init__(self, rests: RedisRests, *names: str) -> None:
        self.found: dict[str, float] = {}
        rests.names = lambda: names
        rests.learn = self.found.__setitem__


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


async def test_what_one_replica_tells_the_other_learns_and_the_teller_does_not(redis: RedisServer) -> None:
    one, two = RedisRests(redis.url, key="test:1"), RedisRests(redis.url, key="test:1")
    by_one, by_two = Learnt(one, "a", "b"), Learnt(two, "a", "b")

    one.tell("a", 30)
    await one.exchange()
    await two.exchange()
    await one.exchange()

    assert by_two.found == {"a": pytest.approx(30, abs=1)}
    assert by_one.found == {}
    await one.aclose()
    await two.aclose()


async def test_a_rest_that_is_over_is_not_learnt(redis: RedisServer) -> None:
    one, two = RedisRests(redis.url, key="test:2", clock=lambda: 1000.0), RedisRests(redis.url, key="test:2", clock=lambda: 1006.0)
    learnt = Learnt(two, "a")

    one.tell("a", 5)
    await one.exchange()
    await two.exchange()

    assert learnt.found == {}
    await one.aclose()
    await two.aclose()


async def test_names_and_times_are_all_that_is_there(redis: RedisServer) -> None:
    rests = RedisRests(redis.url, key="test:3", clock=lambda: 1000.0)
    rests.tell("gpt-4o", 5)
    await rests.exchange()

    kept = await rests._link.client.hgetall("test:3")
    life_s = await rests._link.client.ttl("test:3")

    assert kept == {b"gpt-4o": f"1005.000 {rests._own}".encode()}
    assert 0 < life_s <= 3600
    await rests.aclose()


@pytest.mark.parametrize("value", [b"", b"soon", b"nan x", b"\xff 1", b"9" * 100, b"1e999999999 x" * 9])
async def test_what_is_no_time_is_not_learnt(redis: RedisServer, value: bytes) -> None:
    rests = RedisRests(redis.url, key="test:4")
    learnt = Learnt(rests, "a")
    await rests._link.client.hset("test:4", "a", value)

    await rests.exchange()

    assert learnt.found == {}
    await rests.aclose()


async def test_without_redis_nothing_is_told_and_nobody_waits() -> None:
    rests = RedisRests(NOWHERE)
    learnt = Learnt(rests, "a")

    rests.tell("a", 5)
    await rests.exchange()

    assert learnt.found == {}
    assert rests.status == "degraded"
    assert not await rests.ping()
    await rests.aclose()


async def test_with_nothing_to_say_redis_is_not_asked() -> None:
    rests = RedisRests(NOWHERE)

    await rests.exchange()

    assert rests.status == "ok"


async def test_what_begins_to_rest_is_told_at_once_and_the_rest_every_so_often(redis: RedisServer) -> None:
    one, two = RedisRests(redis.url, key="test:5", every_s=60), RedisRests(redis.url, key="test:5", every_s=0.01)
    learnt = Learnt(two, "a")
    running = [asyncio.ensure_future(each.run()) for each in (one, two)]

    one.tell("a", 30)
    async with asyncio.timeout(5):
        while "a" not in learnt.found:  # noqa: ASYNC110 -- another process's news: there is nothing to wait on
            await asyncio.sleep(0.01)

    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await one.aclose()
    await two.aclose()
