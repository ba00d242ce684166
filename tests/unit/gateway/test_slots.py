from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateway.slots import FullError, Slots

if TYPE_CHECKING:
    from collections.abc import Iterable


async def turns(slots: Slots, tenants: Iterable[str], served: list[str], *, cost: float = 1, first: bool = False) -> list[asyncio.Task[None]]:
    """Let one after another wait for a slot, who note that they had it and give it back."""

    async def take(tenant: str) -> None:
        await slots.take(tenant, 5, cost=cost, first=first)
        served.append(tenant)
        slots.give(tenant, first=first)

    tasks = []
    for tenant in tenants:
        tasks.append(asyncio.create_task(take(tenant)))
        await asyncio.sleep(0)
    return tasks


async def outcome(task: asyncio.Task[None]) -> str:
    try:
        await task
    except FullError:
        return "full"
    return "served"


async def test_no_more_than_the_limit_are_taken() -> None:
    slots = Slots(2, places=0)

    assert [slots.try_take("a") for _ in range(3)] == [True, True, False]
    with pytest.raises(FullError):
        await slots.take("a", 5)
    slots.give("a")

    assert slots.try_take("a")


async def test_who_waits_too_long_is_turned_away_and_leaves_no_trace() -> None:
    slots = Slots(1, places=1)
    slots.try_take("a")

    with pytest.raises(FullError):
        await slots.take("b", 0.001)

    assert slots.waiting == 0
    slots.give("a")
    assert slots.taken == 0


async def test_tenants_take_turns_however_many_turns_one_waits_for() -> None:
    slots, served = Slots(1, places=20), list[str]()
    slots.try_take("x")
    tasks = await turns(slots, "aaaaabbc", served)

    slots.give("x")
    await asyncio.gather(*tasks)

    assert "".join(served) == "abcabaaa"


async def test_a_costly_turn_is_paid_for_with_waiting() -> None:
    slots, served = Slots(1, places=20), list[str]()
    slots.try_take("x")
    tasks = await turns(slots, "aa", served, cost=3)
    tasks += await turns(slots, "bbbb", served)

    slots.give("x")
    await asyncio.gather(*tasks)

    assert "".join(served) == "abbbab"


async def test_a_full_line_makes_room_for_who_has_less_of_it() -> None:
    slots, served = Slots(1, places=3), list[str]()
    slots.try_take("x")
    tasks = await turns(slots, "aaab", served)
    late = await turns(slots, "c", served)

    slots.give("x")

    assert [await outcome(task) for task in [*tasks, *late]] == ["served", "full", "full", "served", "served"]
    assert sorted(served) == ["a", "b", "c"]


async def test_a_full_line_refuses_who_has_as_much_of_it_as_others() -> None:
    slots = Slots(1, places=2)
    slots.try_take("x")
    tasks = await turns(slots, "ab", [])

    with pytest.raises(FullError):
        await slots.take("a", 5)
    with pytest.raises(FullError):
        await slots.take("c", 5)

    slots.give("x")
    await asyncio.gather(*tasks)


async def test_reserved_slots_are_for_those_that_come_first() -> None:
    slots = Slots(3, places=0, reserved=2)

    assert [slots.try_take("a") for _ in range(2)] == [True, False]
    assert [slots.try_take("a", first=True) for _ in range(3)] == [True, True, False]


async def test_one_slot_is_for_all_whatever_is_reserved() -> None:
    assert Slots(1, places=0, reserved=1).try_take("a")


async def test_those_that_come_first_go_before_all_others() -> None:
    slots, served = Slots(1, places=5), list[str]()
    slots.try_take("x")
    tasks = await turns(slots, "aa", served)
    tasks += await turns(slots, "C", served, first=True)

    slots.give("x")
    await asyncio.gather(*tasks)

    assert "".join(served) == "Caa"


async def test_the_line_of_all_others_takes_no_place_from_those_that_come_first() -> None:
    slots = Slots(1, places=1)
    slots.try_take("x")
    served: list[str] = []
    tasks = await turns(slots, "a", served)
    tasks += await turns(slots, "C", served, first=True)

    slots.give("x")

    assert [await outcome(task) for task in tasks] == ["served", "served"]


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def test_one_slot_is_left_while_other_tenants_are_about() -> None:
    clock = Clock()
    slots = Slots(2, places=5, sharing=True, clock=clock)
    slots.try_take("b")
    slots.give("b")

    assert [slots.try_take("a") for _ in range(2)] == [True, False]
    assert slots.try_take("b")

    slots.give("b")
    assert not slots.try_take("a")
    clock.now = 60
    assert slots.try_take("a")


async def test_a_tenant_alone_has_every_slot() -> None:
    slots = Slots(2, places=0, sharing=True)

    assert [slots.try_take("a") for _ in range(3)] == [True, True, False]


async def test_who_has_its_share_is_passed_over_by_who_has_not() -> None:
    slots, served = Slots(2, places=5, sharing=True), list[str]()
    slots.try_take("b")
    slots.give("b")
    slots.try_take("a")
    waiting = await turns(slots, "a", served)

    await asyncio.gather(*await turns(slots, "b", served))

    assert served == ["b"]
    slots.give("a")
    await asyncio.gather(*waiting)


async def test_a_heavy_one_is_waited_for() -> None:
    slots, served = Slots(4, places=5), list[str]()
    for _ in range(4):
        slots.try_take("x")
    heavy = asyncio.create_task(slots.take("a", 5, weight=3))
    await asyncio.sleep(0)
    light = await turns(slots, "b", served)

    slots.give("x")
    await asyncio.sleep(0)
    assert not heavy.done()
    assert served == []

    slots.give("x")
    slots.give("x")
    await heavy
    assert slots.taken == 4
    slots.give("a", weight=3)
    await asyncio.gather(*light)


async def test_one_heavier_than_the_limit_has_all_of_it() -> None:
    slots = Slots(2, places=0)

    assert slots.try_take("a", weight=5)
    assert slots.taken == 2
    slots.give("a", weight=5)
    assert slots.taken == 0


async def test_one_that_leaves_just_as_it_is_served_passes_its_slot_on() -> None:
    slots, served = Slots(1, places=5), list[str]()
    slots.try_take("x")
    leaving, staying = await turns(slots, "ab", served)

    slots.give("x")
    leaving.cancel()
    await staying

    assert served == ["b"]
    assert slots.taken == 0


async def test_one_that_has_left_but_not_said_so_yet_is_passed_over() -> None:
    slots, served = Slots(1, places=5), list[str]()
    slots.try_take("x")
    leaving, staying = await turns(slots, "ab", served)

    leaving.cancel()
    slots.give("x")
    await staying

    assert served == ["b"]
    assert leaving.cancelled() or leaving.cancelling()


async def test_what_is_remembered_of_tenants_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateway.slots._MAX_REMEMBERED", 8)
    slots = Slots(1, places=2)
    slots.try_take("x")
    staying = await turns(slots, "y", [])

    for number in range(50):
        with pytest.raises(FullError):
            await slots.take(str(number), 0)

    assert len(slots._rest._ends) <= 8
    slots.give("x")
    await asyncio.gather(*staying)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(0, 3),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.booleans(), st.sampled_from(("serve", "cancel", "linger"))), max_size=30),
)
async def test_whatever_happens_no_slot_is_lost_and_none_is_given_twice(
    limit: int, reserved: int, sharing: bool, asks: list[tuple[str, int, bool, str]]
) -> None:
    slots = Slots(limit, places=4, reserved=reserved, sharing=sharing)
    most = 0

    async def ask(tenant: str, weight: int, first: bool, fate: str) -> None:
        nonlocal most
        try:
            await slots.take(tenant, 0.0 if fate == "linger" else 5, weight=weight, first=first)
        except FullError:
            return
        most = max(most, slots.taken)
        try:
            await asyncio.sleep(0)
        finally:
            slots.give(tenant, weight=weight, first=first)

    tasks = []
    for tenant, weight, first, fate in asks:
        task = asyncio.create_task(ask(tenant, weight, first, fate))
        tasks.append(task)
        if fate == "cancel":
            await asyncio.sleep(0)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert most <= limit
    assert (slots.taken, slots.waiting, slots._held, slots._taken_by_others) == (0, 0, {}, 0)
