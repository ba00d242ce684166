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

    passes = [await doors.enter("a", {}) for _ in range(5)]

    assert [each.waited_s for each in passes] == [None] * 5
    passes[0].leave()


async def test_over_the_limit_a_request_waits_until_another_leaves() -> None:
    doors = admission(1)
    first = await doors.enter("a", {})
    second = asyncio.create_task(doors.enter("a", {}))
    await asyncio.sleep(0)
    assert not second.done()

    first.leave()
    first.leave()

    waited_s = (await second).waited_s
    assert waited_s is not None
    assert waited_s > 0


async def test_who_finds_no_place_is_told_when_to_come_back() -> None:
    doors = admission(1, places=0, wait_s=2.5)
    await doors.enter("a", {})

    with pytest.raises(OverloadedError) as caught:
        await doors.enter("a", {})

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
async def test_a_body_counts_by_its_size(headers: dict[str, str], whole: bool, fit: int) -> None:
    doors = admission(4, places=0)

    for _ in range(fit):
        await doors.enter("a", headers, whole=whole)

    with pytest.raises(OverloadedError):
        await doors.enter("a", headers, whole=whole)


async def test_it_is_open_while_a_slot_is_free() -> None:
    doors = admission(1)
    before = doors.is_open
    entered = await doors.enter("a", {})
    within = doors.is_open
    entered.leave()

    assert (admission(0).is_open, before, within, doors.is_open) == (True, True, False, True)
