from __future__ import annotations

import asyncio

import pytest

from app.gateway.deadlines import Deadlines, Within


async def test_what_takes_too_long_is_ended() -> None:
    deadlines = Deadlines()

    with pytest.raises(TimeoutError), Within(deadlines, 0.01):
        await asyncio.Event().wait()

    assert len(deadlines) == 0
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_limit_that_has_passed_ends_at_the_next_wait() -> None:
    with pytest.raises(TimeoutError), Within(Deadlines(), 0.0):
        await asyncio.Event().wait()


async def test_what_ends_in_time_leaves_nothing() -> None:
    deadlines = Deadlines()

    with Within(deadlines, 30):
        assert len(deadlines) == 1
        await asyncio.sleep(0)

    assert len(deadlines) == 0


async def test_an_error_inside_goes_on() -> None:
    with pytest.raises(ValueError, match="own"), Within(Deadlines(), 30):
        raise ValueError("own")


@pytest.mark.parametrize("limits", [(0.01, 0.03), (0.03, 0.01), (0.01, 30.0), (30.0, 0.01)])
async def test_one_timer_serves_limits_in_any_order(limits: tuple[float, float]) -> None:
    deadlines, ended = Deadlines(), []

    async def wait(seconds: float) -> None:
        try:
            with Within(deadlines, seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append(seconds)

    tasks = [asyncio.create_task(wait(seconds)) for seconds in limits]
    async with asyncio.timeout(5):
        while len(ended) < sum(seconds < 1 for seconds in limits):  # noqa: ASYNC110 -- what is waited for is time
            await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert ended == sorted(seconds for seconds in limits if seconds < 1)
    assert len(deadlines) == 0


async def test_the_timer_goes_on_after_limits_that_were_kept() -> None:
    deadlines = Deadlines()
    with Within(deadlines, 0.01):
        pass

    with pytest.raises(TimeoutError), Within(deadlines, 0.03):
        await asyncio.Event().wait()


@pytest.mark.parametrize("expires", [False, True], ids=["alone", "at the moment of the limit"])
async def test_a_cancellation_from_outside_stays_one(*, expires: bool) -> None:
    entered = asyncio.Event()

    async def wait() -> None:
        with Within(Deadlines(), 30) as limit:
            if expires:
                asyncio.get_running_loop().call_soon(limit.expire)
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await entered.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def test_another_loop_gets_its_own_timer() -> None:
    deadlines = Deadlines()

    async def keep() -> None:
        with Within(deadlines, 0.05):
            pass

    async def wait() -> None:
        with pytest.raises(TimeoutError), Within(deadlines, 0.06):
            await asyncio.Event().wait()

    asyncio.run(keep())
    asyncio.run(asyncio.wait_for(wait(), 5))


def test_there_is_no_limit_outside_a_task() -> None:
    async def nothing() -> None:
        loop = asyncio.get_running_loop()
        failed = loop.create_future()
        loop.call_soon(enter, failed)
        await failed

    def enter(failed: asyncio.Future[None]) -> None:
        try:
            Within(Deadlines(), 1).__enter__()
        except RuntimeError as exc:
            failed.set_exception(exc)

    with pytest.raises(RuntimeError, match="outside a task"):
        asyncio.run(nothing())
