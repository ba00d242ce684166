from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from app.errors import OverloadedError
from app.gateway.scans import Scans
from app.utils import logging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def queued(scans: Scans, tenants: str, work: Callable[[str], object]) -> list[asyncio.Task[object]]:
    tasks = []
    for tenant in tenants:
        tasks.append(asyncio.create_task(scans.run(tenant, 100, work, tenant)))
        await asyncio.sleep(0)
    return tasks


def beginning(begun: threading.Event, held: threading.Event) -> Callable[[str], object]:
    def work(_: str) -> bool:
        begun.set()
        return held.wait(5)

    return work


async def test_work_runs_in_a_thread_with_the_requests_own_context(pool: ThreadPoolExecutor) -> None:
    token = logging.request_id.set("req_1")

    found = await Scans(pool, 1).run("a", 100, lambda: (threading.current_thread() is threading.main_thread(), logging.request_id.get()))

    logging.request_id.reset(token)
    assert found == (False, "req_1")


async def test_one_tenants_scans_hold_nobody_else_up_for_more_than_one(pool: ThreadPoolExecutor) -> None:
    scans, held, done = Scans(pool, 1), threading.Event(), list[str]()
    first = asyncio.create_task(scans.run("a", 100, held.wait, 5))
    await asyncio.sleep(0)
    tasks = await queued(scans, "aaab", done.append)

    held.set()
    await asyncio.gather(first, *tasks)

    assert done == ["a", "b", "a", "a"]


async def test_more_than_may_wait_are_refused(pool: ThreadPoolExecutor) -> None:
    scans, held = Scans(pool, 1, places=1), threading.Event()
    tasks = await queued(scans, "aa", lambda _: held.wait(5))

    with pytest.raises(OverloadedError) as caught:
        await scans.run("a", 100, held.wait)

    held.set()
    await asyncio.gather(*tasks)
    assert caught.value.headers["retry-after"] == "5"


async def test_a_caller_that_leaves_frees_the_thread_only_when_it_is_free(pool: ThreadPoolExecutor) -> None:
    scans, held, begun = Scans(pool, 1), threading.Event(), threading.Event()
    (leaving,) = await queued(scans, "a", beginning(begun, held))
    assert await asyncio.to_thread(begun.wait, 5)

    leaving.cancel()
    waiting = asyncio.create_task(scans.run("b", 100, lambda: "b"))
    await asyncio.sleep(0)
    assert scans._slots.taken == 1
    assert not waiting.done()

    held.set()
    assert await waiting == "b"


async def test_work_that_no_thread_takes_leaves_its_slot() -> None:
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    scans = Scans(closed, 1)

    with pytest.raises(RuntimeError):
        await scans.run("a", 100, lambda: None)

    assert scans._slots.taken == 0


def test_a_scan_that_outlives_its_loop_is_no_fault(pool: ThreadPoolExecutor) -> None:
    scans, held, begun = Scans(pool, 1), threading.Event(), threading.Event()

    async def leave() -> None:
        await queued(scans, "a", beginning(begun, held))
        assert await asyncio.to_thread(begun.wait, 5)

    asyncio.run(leave())
    held.set()

    assert pool.submit(lambda: "next").result(5) == "next"
