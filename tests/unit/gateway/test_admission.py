from __future__ import annotations

import asyncio

import pytest

from app.errors import OverloadedError
from app.gateway.admission import Admission

MIB = 1024 * 1024


def admission(limit: int, *, places: int = 1, wait_s: float = 5.0) -> Admission:
    return Admission(limit, places=places, wait_s=wait_s, max_bytes=32 * MIB)


async def test_without_a_limit_everybody_enters() -> None:
    doors = admission(0)

    assert [doors.try_enter("a", 1) for _ in range(5)] == [True] * 5
    assert await doors.enter("a", 1) == 0
    doors.leave("a", 1)


async def test_over_the_limit_a_request_waits_until_another_leaves() -> None:
    doors = admission(1)
    assert [doors.try_enter("a", 1), doors.try_enter("a", 1)] == [True, False]
    second = asyncio.create_task(doors.enter("a", 1))
    await asyncio.sleep(0)
    assert not second.done()

    doors.leave("a", 1)

    assert await second > 0


async def test_who_has_less_time_waits_less_and_is_told_the_same() -> None:
    doors = admission(1, wait_s=30)
    await doors.enter("a", 1)

    with pytest.raises(OverloadedError) as caught:
        await doors.enter("a", 1, 0.01)

    assert caught.value.headers["retry-after"] == "30"
    doors.leave("a", 1)
    assert doors.is_open


async def test_who_finds_no_place_is_told_when_to_come_back() -> None:
    doors = admission(1, places=0, wait_s=2.5)
    await doors.enter("a", 1)

    with pytest.raises(OverloadedError) as caught:
        await doors.enter("a", 1)

    assert (caught.value.status, caught.value.code, caught.value.headers["retry-after"]) == (503, "server_overloaded", "3")


@pytest.mark.parametrize(
    ("headers", "whole", "fit"),
    [
        ({}, False, 4),
        ({"content-length": "1000"}, False, 4),
        ({"content-length": str(MIB // 4)}, False, 2),
        ({"content-length": "nonsense"}, False, 4),
        ({"content-length": str(10**30)}, False, 1),
        ({"transfer-encoding": "chunked"}, False, 1),
        ({"transfer-encoding": "chunked"}, True, 4),
    ],
)
def test_a_body_counts_by_its_size(headers: dict[str, str], whole: bool, fit: int) -> None:
    doors = admission(4, places=0)

    weight = doors.weigh(headers, whole=whole)

    assert [doors.try_enter("a", weight) for _ in range(fit + 1)] == [True] * fit + [False]


def test_it_is_open_while_a_slot_is_free() -> None:
    doors = admission(1)
    before = doors.is_open
    doors.try_enter("a", 1)
    within = doors.is_open
    doors.leave("a", 1)

    assert (admission(0).is_open, before, within, doors.is_open) == (True, True, False, True)
