from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from app.services.redis_link import RedisLink, RedisLostError
from app.utils import logging as events
from tests.unit.services.kept import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator


class Store:
    """What `run` is given to ask; it fails, hangs or answers as told, and counts."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return "answer"


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def link(clock: Clock) -> RedisLink:
    return RedisLink("redis://127.0.0.1:1", part="test", timeout_s=0.05, clock=clock)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    sink, before = events._sink, vars(events._sink).copy()
    sink.stream, sink.readable, sink.threshold = io.StringIO(), False, 20
    yield sink.stream
    vars(sink).update(before)


def sample(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"part": "test"}) or 0


async def lost(link: RedisLink, store: Store) -> bool:
    try:
        await link.run(store.ask)
    except RedisLostError:
        return True
    return False


async def test_what_redis_answers_is_returned(link: RedisLink) -> None:
    assert await link.run(Store().ask) == "answer"
    assert link.status == "ok"
    assert sample("sluice_degraded") == 0


@pytest.mark.parametrize("fault", [ConnectionError(), ValueError(), AttributeError()])
async def test_any_fault_blows_the_fuse_and_is_counted_once(link: RedisLink, fault: Exception) -> None:
    store, faults = Store(), sample("sluice_faults_total")
    store.fault = fault

    assert [await lost(link, store) for _ in range(5)] == [True] * 5
    assert store.asked == 1
    assert link.status == "degraded"
    assert sample("sluice_degraded") == 1
    assert sample("sluice_faults_total") == faults + 1


async def test_a_store_that_hangs_is_given_up_after_the_time_out(link: RedisLink) -> None:
    store = Store()
    store.gate.clear()

    assert await asyncio.wait_for(lost(link, store), 5)
    assert link.status == "degraded"


async def test_the_pause_doubles_with_each_try_that_fails_up_to_half_a_minute(link: RedisLink, clock: Clock) -> None:
    store = Store()
    store.fault = ConnectionError()
    await lost(link, store)
    pauses = []
    for _ in range(7):
        start, asked = clock.now, store.asked
        while store.asked == asked and clock.now < start + 60:
            clock.now += 0.5
            await lost(link, store)
        pauses.append(clock.now - start)

    assert pauses == [1, 2, 4, 8, 16, 30, 30]


async def test_the_first_try_that_succeeds_mends_it_and_the_next_fault_pauses_for_a_second_again(link: RedisLink, clock: Clock) -> None:
    store = Store()
    store.fault = ConnectionError()
    await lost(link, store)
    clock.now = 1
    await lost(link, store)
    clock.now = 3
    store.fault = None
    mended = await link.run(store.ask)
    status, degraded = link.status, sample("sluice_degraded")
    store.fault = ConnectionError()
    await lost(link, store)
    clock.now = 4
    store.fault = None

    assert (mended, status, degraded) == ("answer", "ok", 0)
    assert await link.run(store.ask) == "answer"


async def test_one_call_alone_tries_again_and_the_others_do_not_wait_for_it(link: RedisLink, clock: Clock) -> None:
    store = Store()
    store.fault = ConnectionError()
    await lost(link, store)
    store.fault = None
    clock.now = 1
    store.gate.clear()
    trial = asyncio.create_task(link.run(store.ask))
    await asyncio.sleep(0)
    others = [await lost(link, store) for _ in range(3)]
    store.gate.set()

    assert others == [True] * 3
    assert await trial == "answer"
    assert store.asked == 2


async def test_calls_that_fail_together_blow_the_fuse_once(link: RedisLink, clock: Clock) -> None:
    store = Store()
    store.fault = ConnectionError()
    store.gate.clear()
    calls = [asyncio.create_task(lost(link, store)) for _ in range(5)]
    await asyncio.sleep(0)
    store.gate.set()
    await asyncio.gather(*calls)
    clock.now = 1
    store.fault = None

    assert await link.run(store.ask) == "answer"


async def test_a_call_that_fails_long_after_the_fuse_blew_does_not_shorten_the_pause(link: RedisLink, clock: Clock) -> None:
    slow, store = Store(), Store()
    slow.fault = store.fault = ConnectionError()
    slow.gate.clear()
    straggler = asyncio.create_task(lost(link, slow))
    await asyncio.sleep(0)
    await lost(link, store)
    clock.now = 1
    await lost(link, store)  # the pause is two seconds from here
    slow.gate.set()
    await straggler
    store.fault = None
    clock.now = 2.5
    early = await lost(link, store)
    clock.now = 3

    assert early
    assert await link.run(store.ask) == "answer"


async def test_a_try_whose_caller_leaves_does_not_keep_the_others_from_trying(link: RedisLink, clock: Clock) -> None:
    store = Store()
    store.fault = ConnectionError()
    await lost(link, store)
    clock.now = 1
    store.fault = None
    store.gate.clear()
    trial = asyncio.create_task(link.run(store.ask))
    await asyncio.sleep(0)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    store.gate.set()

    assert trial.cancelled()
    assert await link.run(store.ask) == "answer"


async def test_the_log_names_the_part_and_the_error_class_and_repeats_no_message(link: RedisLink, log: io.StringIO) -> None:
    store = Store()
    store.fault = ConnectionError("redis://:hunter2@cache")
    await lost(link, store)
    (line,) = log.getvalue().splitlines()
    event = json.loads(line)

    assert (event["event"], event["part"], event["error"]) == ("redis_lost", "test", "ConnectionError")
    assert "hunter2" not in line


async def test_a_ping_of_a_dead_address_says_no(link: RedisLink) -> None:
    assert not await link.ping()
    await link.aclose()


@pytest.mark.parametrize("hangs", [True, False])
async def test_closing_ends_whatever_redis_does(link: RedisLink, monkeypatch: pytest.MonkeyPatch, *, hangs: bool) -> None:
    store, faults = Store(), sample("sluice_faults_total")
    store.fault = ConnectionError()
    if hangs:
        store.gate.clear()
    monkeypatch.setattr(link.client, "aclose", store.ask)
    await asyncio.wait_for(link.aclose(), 5)

    assert sample("sluice_faults_total") == faults + 1


async def test_a_server_that_hangs_up_is_asked_once() -> None:
    connections = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        link = RedisLink(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", part="test", timeout_s=1)
        answered = await link.ping()
        await link.aclose()

    assert not answered
    assert connections == 1
