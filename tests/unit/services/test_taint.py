from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from app.services.redis_link import RedisLostError
from app.services.taint import MemoryMarks, RedisMarks
from tests.integration.redis_server import RedisServer, running_redis
from tests.unit.services.kept import Clock, mark

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def marks(*numbers: int) -> list[bytes]:
    return [mark(number) for number in numbers]


async def test_marks_are_known_to_their_tenant_until_they_expire(clock: Clock) -> None:
    kept = MemoryMarks(60, clock=clock)
    await kept.add("a", marks(1, 2))
    clock.now += 59
    await kept.add("a", marks(2))

    assert await kept.known("a", marks(1, 2, 3)) == set(marks(1, 2))
    assert await kept.known("b", marks(1)) == set()
    clock.now += 1
    assert await kept.known("a", marks(1, 2)) == set(marks(2))
    assert (kept.may_hold("a"), kept.may_hold("b")) == (True, False)


async def test_what_was_not_used_for_longest_goes_first(clock: Clock) -> None:
    kept = MemoryMarks(60, per_tenant=3, clock=clock)
    await kept.add("a", marks(1, 2, 3))
    await kept.add("a", marks(1, 4))

    assert await kept.known("a", marks(1, 2, 3, 4)) == set(marks(1, 3, 4))
    assert len(kept) == 3


async def test_expired_marks_make_room(clock: Clock) -> None:
    kept = MemoryMarks(60, clock=clock)
    await kept.add("a", marks(1, 2, 3))
    clock.now += 61
    await kept.add("a", marks(4))

    assert len(kept) == 1


async def test_over_all_the_tenant_that_was_quiet_for_longest_loses(clock: Clock) -> None:
    kept = MemoryMarks(60, in_all=4, clock=clock)
    await kept.add("quiet", marks(1, 2))
    await kept.add("busy", marks(1, 2))
    await kept.add("busy", marks(3, 4))

    assert not kept.may_hold("quiet")
    assert await kept.known("busy", marks(1, 2, 3, 4)) == set(marks(1, 2, 3, 4))
    await kept.aclose()
    assert len(kept) == 0
    assert await kept.ping()


def shared(redis: RedisServer, clock: Clock, link_clock: Clock | None = None, *, per_tenant: int = 100) -> RedisMarks:
    return RedisMarks(redis.url, MemoryMarks(60, per_tenant=per_tenant, clock=clock), secret=b"s", clock=link_clock or Clock(), now=clock)


async def test_replicas_share_marks_and_their_lifetime(clock: Clock) -> None:
    with running_redis() as redis:
        one, two = shared(redis, clock), shared(redis, clock)
        await one.add("a", marks(1, 2))

        assert two.may_hold("a")
        assert await two.known("a", marks(1, 3)) == set(marks(1))
        assert await two.known("b", marks(1)) == set()
        assert redis.command("TTL", *_keys(redis)).split(b"\r\n")[0] in {b":60", b":59"}
        clock.now += 60
        assert await two.known("a", marks(1)) == set()
        await one.aclose()
        await two.aclose()


async def test_redis_keeps_no_more_of_a_tenant_than_the_bound(clock: Clock) -> None:
    with running_redis() as redis:
        one, two = shared(redis, clock, per_tenant=3), shared(redis, clock)
        await one.add("a", marks(1, 2))
        clock.now += 1
        await one.add("a", marks(3, 4))

        assert len(await two.known("a", marks(1, 2, 3, 4))) == 3
        assert set(marks(3, 4)) <= await two.known("a", marks(1, 2, 3, 4))
        await one.aclose()
        await two.aclose()


async def test_while_redis_is_down_own_marks_serve_and_reach_the_others_once_it_is_back(clock: Clock) -> None:
    with running_redis() as redis:
        link_clock = Clock()
        one, two = shared(redis, clock, link_clock), shared(redis, clock)
        await one.add("a", marks(1))
        redis.stop()
        await one.add("a", marks(2))

        assert await one.known("a", marks(1, 2)) == set(marks(1, 2))
        assert await one.known("a", marks(3)) == set()
        assert one.status == "degraded"
        redis.start()
        link_clock.now += 60
        assert await one.known("a", marks(3)) == set()
        assert one.status == "ok"
        assert await two.known("a", marks(1, 2)) == set(marks(1, 2))
        await one.aclose()
        await two.aclose()


async def test_a_lost_redis_that_nobody_left_anything_in_is_asked_again(clock: Clock) -> None:
    with running_redis() as redis:
        link_clock = Clock()
        one = shared(redis, clock, link_clock)
        redis.stop()
        assert await one.known("a", marks(1)) == set()
        redis.start()
        link_clock.now += 60

        assert await one.ping()
        assert await one.known("a", marks(1)) == set()
        assert one.status == "ok"
        await one.aclose()


def _keys(redis: RedisServer) -> list[str]:
    lines = redis.command("KEYS", "*").split(b"\r\n")
    return [line.decode() for line in lines if line.startswith(b"sluice")]


async def test_redis_sees_hashes_alone(clock: Clock) -> None:
    with running_redis() as redis:
        one = shared(redis, clock)
        await one.add("a tenant's name", marks(1))

        assert [len(key.removeprefix("sluice:t:")) for key in _keys(redis)] == [32]
        assert "name" not in _keys(redis)[0]
        await one.aclose()


class Held:
    """A pipeline that executes nothing, and says so once it is released."""

    def __init__(self) -> None:
        self.under_way, self.released = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __getattr__(self, command: str) -> Callable[..., None]:
        return lambda *_: None

    async def execute(self) -> None:
        self.under_way.set()
        await self.released.wait()


async def held_writing(kept: RedisMarks, patch: pytest.MonkeyPatch) -> tuple[Held, asyncio.Task[None]]:
    """Return a task that writes a mark of tenant `a`, and what holds it up."""
    held = Held()
    patch.setattr(kept._link.client, "pipeline", lambda **_: held)
    writing = asyncio.create_task(kept.add("a", marks(1)))
    await held.under_way.wait()
    return held, writing


async def test_marks_whose_writing_is_cancelled_reach_the_others_later(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_redis() as redis:
        one, two = shared(redis, clock), shared(redis, clock)
        with monkeypatch.context() as patch:
            _, writing = await held_writing(one, patch)
            writing.cancel()  # its caller left
            await asyncio.wait({writing})

        assert await one.known("a", marks(3)) == set()
        assert await two.known("a", marks(1)) == set(marks(1))
        await one.aclose()
        await two.aclose()


async def test_marks_that_are_lost_beside_a_writing_that_succeeds_reach_the_others_later(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(_: object) -> None:
        raise RedisLostError

    with running_redis() as redis:
        one, two = shared(redis, clock), shared(redis, clock)
        with monkeypatch.context() as patch:
            held, writing = await held_writing(one, patch)
            patch.setattr(one._link, "run", lost)
            await one.add("a", marks(2))
            held.released.set()
            await writing

        assert await one.known("a", marks(3)) == set()
        assert await two.known("a", marks(2)) == set(marks(2))
        await one.aclose()
        await two.aclose()
