from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateway.flights import Flights, Landed, Lead

if TYPE_CHECKING:
    from collections.abc import Sequence

Seat = Lead[str] | Landed[str]


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def lead(flights: Flights[str], key: str = "k") -> Lead[str]:
    seat = await flights.board(key)
    assert isinstance(seat, Lead)
    return seat


async def followers(flights: Flights[str], count: int) -> list[asyncio.Task[Seat]]:
    """Callers that wait, but not for ever: a fault of ours ends a test instead of hanging it."""
    tasks = [asyncio.create_task(flights.board("k", wait_s=5)) for _ in range(count)]
    await settle()
    return tasks


def seated(tasks: Sequence[asyncio.Task[Seat]]) -> list[Seat]:
    return [task.result() for task in tasks if task.done()]


async def test_the_first_of_a_key_leads_and_the_others_get_what_it_lands() -> None:
    flights: Flights[str] = Flights()
    leader = await lead(flights)
    waiting = await followers(flights, 3)
    before = seated(waiting)
    leader.land("answer")
    seats = await asyncio.gather(*waiting)

    assert before == []
    assert seats == [Landed("answer")] * 3
    assert len(flights) == 0


async def test_other_keys_do_not_wait() -> None:
    flights: Flights[str] = Flights()
    held = [await lead(flights, "a"), await lead(flights, "b")]

    assert len(held) == 2
    assert len(flights) == 2


async def test_after_a_landing_the_next_caller_leads_anew() -> None:
    flights: Flights[str] = Flights()
    (await lead(flights)).land("old")
    leader = await lead(flights)

    assert isinstance(leader, Lead)
    assert len(flights) == 1


async def test_when_a_leader_comes_to_nothing_the_next_in_line_leads_and_the_others_follow_it() -> None:
    flights: Flights[str] = Flights()
    leader = await lead(flights)
    waiting = await followers(flights, 3)
    leader.abandon()
    await settle()
    (heir,) = seated(waiting)
    assert waiting[0].done()
    assert isinstance(heir, Lead)
    heir.land("answer")
    seats = await asyncio.gather(*waiting[1:])

    assert seats == [Landed("answer")] * 2
    assert len(flights) == 0


async def test_when_two_leaders_in_a_row_come_to_nothing_everybody_calls_alone() -> None:
    flights: Flights[str] = Flights()
    leader = await lead(flights)
    waiting = await followers(flights, 4)
    leader.abandon()
    heir = await waiting[0]
    assert isinstance(heir, Lead)
    heir.abandon()
    seats = await asyncio.gather(*waiting[1:])

    assert all(isinstance(seat, Lead) for seat in seats)
    assert len(flights) == 0


async def test_a_leader_that_is_cancelled_hands_on_the_lead() -> None:
    flights: Flights[str] = Flights()

    async def call() -> str:
        seat = await flights.board("k", wait_s=5)
        if isinstance(seat, Landed):
            return seat.value
        try:
            await asyncio.Event().wait()
            return "never"
        finally:
            seat.abandon()

    leader = asyncio.create_task(call())
    await settle()
    waiting = await followers(flights, 1)
    leader.cancel()
    heir = await waiting[0]

    assert isinstance(heir, Lead)
    assert leader.cancelled() or await asyncio.gather(leader, return_exceptions=True)


async def test_a_lead_that_is_dropped_hands_itself_on() -> None:
    flights: Flights[str] = Flights()
    leader = await lead(flights)
    waiting = await followers(flights, 1)
    del leader

    assert isinstance(await waiting[0], Lead)


async def test_a_follower_that_leaves_disturbs_nobody() -> None:
    flights: Flights[str] = Flights()
    leader = await lead(flights)
    waiting = await followers(flights, 3)
    waiting[0].cancel()
    await settle()
    leader.abandon()
    heir = await waiting[1]
    assert isinstance(heir, Lead)
    heir.land("answer")

    assert await waiting[2] == Landed("answer")


async def test_a_follower_that_leaves_as_it_is_handed_the_lead_hands_it_on() -> None:
    flights: Flights[str] = Flights()
    leader = await lead(flights)
    waiting = await followers(flights, 2)
    leader.abandon()
    waiting[0].cancel()
    seat = await waiting[1]

    assert isinstance(seat, Lead)
    assert waiting[0].cancelled()


async def test_a_follower_that_waited_long_enough_calls_alone() -> None:
    flights: Flights[str] = Flights()
    leader = await lead(flights)
    seat = await flights.board("k", wait_s=0.01)
    leader.land("late")

    assert isinstance(seat, Lead)
    assert len(flights) == 0


async def test_a_full_table_lets_new_keys_call_alone_and_known_ones_join() -> None:
    flights: Flights[str] = Flights(max_flights=1)
    leader = await lead(flights, "k")
    stranger = await lead(flights, "other")
    (waiting,) = await followers(flights, 1)
    under_way = len(flights)
    stranger.land("nobody waits for this")
    leader.land("answer")

    assert under_way == 1
    assert await waiting == Landed("answer")
    assert len(flights) == 0


async def test_only_the_first_of_land_and_abandon_counts() -> None:
    flights: Flights[str] = Flights()
    first = await lead(flights)
    first.land("answer")
    second = await lead(flights)
    first.abandon()
    first.land("again")

    assert isinstance(second, Lead)
    assert len(flights) == 1


def test_a_landed_value_is_not_in_its_repr() -> None:
    assert "secret" not in repr(Landed("secret"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["land", "fail", "drop", "slow"]), st.booleans(), st.integers(0, 6)), min_size=1, max_size=12), st.integers(1, 3))
@pytest.mark.filterwarnings("error")
def test_whatever_leaders_and_followers_do_nobody_hangs_and_the_table_empties(plan: list[tuple[str, bool, int]], max_flights: int) -> None:
    """Each caller ends in some way, and may be cancelled after some turns of the loop."""

    async def caller(flights: Flights[str], ending: str) -> str:
        seat = await flights.board("k")
        if isinstance(seat, Landed):
            return seat.value
        if ending == "drop":
            return "dropped"
        try:
            for _ in range(4 if ending == "slow" else 1):
                await asyncio.sleep(0)
            if ending == "fail":
                raise ConnectionError
            seat.land("answer")
            return "answer"
        finally:
            seat.abandon()

    async def play() -> int:
        flights: Flights[str] = Flights(max_flights)
        tasks = [asyncio.create_task(caller(flights, ending)) for ending, _, _ in plan]
        for turn in range(7):
            for task, (_, leaves, at) in zip(tasks, plan, strict=True):
                if leaves and at == turn:
                    task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 2)
        return len(flights)

    assert asyncio.run(play()) == 0
