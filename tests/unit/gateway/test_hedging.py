from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from app.gateway.hedging import race

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any


async def turns() -> None:
    """Let everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


class Runners:
    """Calls that end when told to, and note how."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.given_up: list[str] = []
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Future[str]] = {}

    async def run(self, name: str) -> str:
        self.begun.append(name)
        self.ends[name] = asyncio.get_running_loop().create_future()
        try:
            return await self.ends[name]
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    def start(self, after_s: float = 0.0, *, second: bool = True) -> asyncio.Task[tuple[str, bool | None]]:
        def begin() -> Coroutine[Any, Any, str] | None:
            return self.run("b") if second else None

        return asyncio.ensure_future(race(self.run("a"), begin, after_s=after_s, give_up=self.given_up.append))

    async def both(self) -> asyncio.Task[tuple[str, bool | None]]:
        racing = self.start()
        await turns()
        assert self.begun == ["a", "b"]
        return racing


async def test_a_first_call_that_is_in_time_is_alone() -> None:
    runners = Runners()
    racing = runners.start(60)
    await turns()
    runners.ends["a"].set_result("a")

    assert await racing == ("a", None)
    assert runners.begun == ["a"]


@pytest.mark.parametrize(("winner", "loser"), ["ab", "ba"])
async def test_the_first_result_wins_and_the_other_call_is_cancelled(winner: str, loser: str) -> None:
    runners = Runners()
    racing = await runners.both()
    runners.ends[winner].set_result(winner)

    assert await racing == (winner, winner == "b")
    await asyncio.sleep(0)
    assert runners.cancelled == [loser]


async def test_where_there_is_no_second_call_the_first_is_waited_for() -> None:
    runners = Runners()
    racing = runners.start(second=False)
    await turns()
    runners.ends["a"].set_result("late")

    assert await racing == ("late", None)


async def test_a_failure_waits_for_the_other_call() -> None:
    runners = Runners()
    racing = await runners.both()
    runners.ends["a"].set_exception(OSError("a"))
    await asyncio.sleep(0)
    assert not racing.done()
    runners.ends["b"].set_result("b")

    assert await racing == ("b", True)


async def test_when_both_fail_the_first_calls_failure_is_told() -> None:
    runners = Runners()
    racing = await runners.both()
    runners.ends["b"].set_exception(OSError("b"))
    runners.ends["a"].set_exception(OSError("a"))

    with pytest.raises(OSError, match="a"):
        await racing


async def test_a_first_call_that_fails_in_time_has_no_second() -> None:
    runners = Runners()
    racing = runners.start(60)
    await turns()
    runners.ends["a"].set_exception(OSError("a"))

    with pytest.raises(OSError, match="a"):
        await racing
    assert runners.begun == ["a"]


async def test_a_second_result_of_the_same_moment_is_given_up() -> None:
    runners = Runners()
    racing = await runners.both()
    runners.ends["a"].set_result("a")
    runners.ends["b"].set_result("b")

    assert (await racing)[0] == "a"
    await asyncio.sleep(0)
    assert runners.given_up == ["b"]


async def test_whoever_cancels_the_race_cancels_both() -> None:
    runners = Runners()
    racing = await runners.both()

    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    await asyncio.sleep(0)

    assert sorted(runners.cancelled) == ["a", "b"]
