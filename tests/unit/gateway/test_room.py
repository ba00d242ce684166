from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Call, Deployment, Failure, Label, LaneName
from app.errors import UpstreamError
from app.gateway.room import Room, RoomLane
from tests.unit.gateway.test_attempts import ANSWER, TOKEN, FakeAnswer, FakeLane, failing, streamed, whole

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = Deployment(name="home", provider="openai", model="m", lane=LaneName.RELAY, clearance=Label.CONFIDENTIAL, slots=2)


def call(tenant: str = "a", label: Label = Label.CONFIDENTIAL, **more: Any) -> Call:
    return replace(Call(HOME, label, {}, stream=False, tenant=tenant, timeout_s=10.0), **more)


def lane(outcome: UpstreamError | FakeAnswer | None = None, *, room: Room | None = None) -> RoomLane:
    return RoomLane(FakeLane({"home": outcome or whole()}), room or Room(places=4))


async def test_a_deployment_without_slots_is_asked_at_once() -> None:
    answer = whole()
    boundless = replace(HOME, slots=None)

    assert await lane(answer).open(call(deployment=boundless)) is answer


async def test_a_slot_is_held_until_a_whole_answer_is_read() -> None:
    served = lane()
    first, _ = await served.open(call()), await served.open(call())
    waiting = asyncio.create_task(served.open(call()))
    await asyncio.sleep(0)
    assert not waiting.done()

    assert await first.body() == ANSWER

    await waiting


async def test_a_slot_is_held_until_a_stream_is_closed() -> None:
    answer = streamed(TOKEN)
    served = lane(answer)
    first, second = await served.open(call()), await served.open(call())
    waiting = asyncio.create_task(served.open(call()))
    assert [data async for data in first.events()] == [TOKEN]
    assert not waiting.done()

    first.close()
    second.close()
    second.close()

    await waiting
    assert answer.closed


async def test_a_call_that_fails_gives_its_slot_back() -> None:
    room = Room(places=0)
    refused = lane(failing(), room=room)

    for _ in range(3):
        with pytest.raises(UpstreamError) as caught:
            await refused.open(call())
        assert caught.value.failure is Failure.UNAVAILABLE


async def test_an_answer_that_nobody_closed_gives_its_slot_back() -> None:
    served = lane(room=Room(places=0))

    for _ in range(3):
        await served.open(call())
        gc.collect()


async def test_ordinary_requests_leave_slots_for_confidential_ones() -> None:
    served = lane(room=Room(places=0))
    held = [await served.open(call(label=Label.PUBLIC))]

    with pytest.raises(UpstreamError) as caught:
        await served.open(call(label=Label.PUBLIC))
    held.append(await served.open(call()))

    assert caught.value.failure is Failure.FULL
    assert caught.value.retry_after_s == 5
    assert not caught.value.sent


async def test_no_slot_is_kept_where_nothing_confidential_goes_nor_after_a_reload_that_says_so() -> None:
    served = lane(room=Room(places=0))
    cloud = replace(HOME, clearance=Label.INTERNAL)
    held = [await served.open(call(label=Label.PUBLIC))]

    held += [await served.open(call(label=Label.PUBLIC, deployment=cloud)) for _ in range(2)]

    with pytest.raises(UpstreamError):
        await served.open(call(label=Label.PUBLIC, deployment=cloud))


async def test_confidential_requests_go_before_ordinary_ones() -> None:
    served, order = lane(), list[Label]()
    held = [await served.open(call()), await served.open(call())]

    async def wait(label: Label) -> None:
        answer = await served.open(call(label=label))
        order.append(label)
        answer.close()

    waiting = []
    for label in (Label.PUBLIC, Label.INTERNAL, Label.CONFIDENTIAL):
        waiting.append(asyncio.create_task(wait(label)))
        await asyncio.sleep(0)
    for answer in held:
        answer.close()
    await asyncio.gather(*waiting)

    assert order[0] is Label.CONFIDENTIAL


async def test_waiting_is_told_and_taken_from_the_calls_time() -> None:
    now = [0.0]
    inner = FakeLane({"home": whole()})
    served = RoomLane(inner, Room(places=4, clock=lambda: now[0]))
    held = [await served.open(call()), await served.open(call())]
    waits: list[float] = []
    waiting = asyncio.create_task(served.open(call(on_wait=waits.append)))
    await asyncio.sleep(0)

    now[0] = 3.0
    held[0].close()
    await waiting

    assert waits == [3.0]
    assert inner.calls[-1].timeout_s == 7.0
    assert inner.calls[0].timeout_s == 10.0


async def test_who_has_a_slot_is_told_so_and_who_waits_is_not() -> None:
    served, seated = lane(), list[str]()
    held = [await served.open(call(on_seat=partial(seated.append, name))) for name in "ab"]
    waiting = [asyncio.create_task(served.open(call(on_seat=partial(seated.append, name)))) for name in "cd"]
    await asyncio.sleep(0)
    waits = list(seated)

    waiting[0].cancel()
    held[0].close()
    await waiting[1]

    assert (waits, seated) == (["a", "b"], ["a", "b", "d"])


async def test_a_call_waits_half_of_its_time_at_most() -> None:
    served = lane()
    held = [await served.open(call()), await served.open(call())]

    with pytest.raises(UpstreamError) as caught:
        await served.open(call(timeout_s=0.002))

    assert caught.value.failure is Failure.FULL
    assert len(held) == 2


async def test_a_deployment_has_the_slots_of_the_newest_configuration() -> None:
    served = lane(room=Room(places=0))
    held = [await served.open(call()), await served.open(call())]
    more = replace(HOME, slots=1)

    held.append(await served.open(call(deployment=more)))
    with pytest.raises(UpstreamError):
        await served.open(call(deployment=more))

    for answer in held:
        answer.close()
    await served.open(call(deployment=more))


def test_errors_inside_a_stream_mean_what_the_lane_says() -> None:
    async def meaning() -> UpstreamError:
        answer = await lane(streamed(TOKEN)).open(call())
        return answer.error_inside({"means": "timeout"})

    assert asyncio.run(meaning()).failure is Failure.TIMEOUT


async def test_a_stream_is_offered_as_by_its_lane() -> None:
    class Offering(FakeAnswer):
        def offer(self, take: Callable[[bytes], bool]) -> None:
            take(TOKEN)

    taken: list[bytes] = []
    answer = await lane(Offering(b"", ())).open(call())

    answer.offer(lambda data: not taken.append(data))  # type: ignore[func-returns-value] # True

    assert taken == [TOKEN]
