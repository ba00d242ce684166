from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app.errors import BodyTimeoutError, BodyTooLargeError, OverloadedError
from app.gateway.admission import Admission
from app.http_cycle import HeldCycle
from app.http_io import CallerGoneError, Presence, read_body, read_headers, send_whole, take_whole, wait_to_enter


def receiver(*messages: dict[str, Any]) -> Any:
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return receive


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


def test_a_header_that_is_sent_twice_is_a_list() -> None:
    assert read_headers({"headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]}) == {"a": "1, 3", "b": "2"}


async def test_a_body_is_read_in_its_parts() -> None:
    assert await read_body(receiver(part(b"ab", more=True), part(b"c")), {}, 3) == b"abc"
    assert await read_body(receiver(part(b"abc")), {"content-length": "3"}, 3) == b"abc"


@pytest.mark.parametrize(("messages", "headers"), [((part(b"ab", more=True), part(b"cd")), {}), ((), {"content-length": "4"})])
async def test_a_body_over_the_limit_is_refused_as_soon_as_it_is_known(messages: tuple[Any, ...], headers: dict[str, str]) -> None:
    with pytest.raises(BodyTooLargeError) as caught:
        await read_body(receiver(*messages), headers, 3)

    assert caught.value.headers == {"connection": "close"}


async def test_a_caller_that_leaves_within_its_body_is_gone() -> None:
    with pytest.raises(CallerGoneError):
        await read_body(receiver(part(b"ab", more=True), GONE), {}, 3)


async def test_a_caller_that_leaves_ends_the_work_and_nothing_is_raised() -> None:
    ended = False
    with Presence(receiver(part(b""), GONE)) as presence:
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    assert ended
    assert presence.gone
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_caller_that_stays_changes_nothing() -> None:
    with Presence(receiver()) as presence:
        await asyncio.sleep(0.15)

    assert not presence.gone


async def test_another_cancellation_passes_through() -> None:
    async def work() -> None:
        with Presence(receiver()):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_passes_through() -> None:
    with pytest.raises(KeyError), Presence(receiver()):
        raise KeyError


async def test_a_body_that_stops_arriving_is_408() -> None:
    with pytest.raises(BodyTimeoutError) as caught:
        await read_body(receiver(part(b"ab", more=True)), {}, 3, 0.02)

    assert caught.value.headers == {"connection": "close"}


async def test_each_part_of_a_body_has_its_own_time() -> None:
    parts = [part(b"a", more=True), part(b"b", more=True), part(b"c")]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.03)
        return parts.pop(0)

    assert await read_body(receive, {}, 3, 0.06) == b"abc"


class Holding:
    def __init__(self, body: bytes | None) -> None:
        self.body = body

    def take_body(self) -> bytes | None:
        return self.body


def test_a_body_that_is_there_is_not_waited_for() -> None:
    assert take_whole({"sluice_cycle": Holding(b"abc")}, 3) == b"abc"


@pytest.mark.parametrize("scope", [{}, {"sluice_cycle": Holding(None)}])
def test_any_other_body_is_waited_for(scope: dict[str, Any]) -> None:
    assert take_whole(scope, 3) is None


def test_a_body_that_is_there_and_too_large_is_refused() -> None:
    with pytest.raises(BodyTooLargeError):
        take_whole({"sluice_cycle": Holding(b"abcd")}, 3)


@pytest.mark.parametrize(("scope", "messages"), [({}, 2), ({"sluice_cycle": Holding(None)}, 1)])
async def test_an_answer_is_one_message_where_the_server_takes_that(scope: dict[str, Any], messages: int) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await send_whole(scope, send, b"{}", [(b"a", b"1")])

    assert len(sent) == messages
    assert sent[0]["headers"] == [(b"content-type", b"application/json"), (b"content-length", b"2"), (b"a", b"1")]
    assert sent[-1].get("sluice_body", sent[-1].get("body")) == b"{}"


async def test_under_another_server_a_request_waits_for_admission_too() -> None:
    admission = Admission(1, places=1, wait_s=5, max_bytes=100)
    admission.try_enter("a", 1)
    second = asyncio.create_task(wait_to_enter({"type": "http"}, admission, "a", 1))
    await asyncio.sleep(0)
    assert not second.done()
    admission.leave("a", 1)

    assert await second > 0


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def cycle_of(*, disconnected: bool = False) -> HeldCycle:
    connection: Any = SimpleNamespace(transport=None, flow=None)
    cycle = HeldCycle(connection, {}, keep_alive=True)
    cycle.disconnected = disconnected
    cycle.task = asyncio.current_task()
    return cycle


@pytest.mark.parametrize("places", [0, 1], ids=["a full line", "a free place"])
async def test_a_caller_that_left_before_the_line_is_gone_and_not_turned_away(places: int) -> None:
    admission = Admission(1, places=places, wait_s=5, max_bytes=100)
    admission.try_enter("a", 1)
    before = counted("sluice_overloaded_total", queue="requests"), counted("sluice_client_disconnects_total")
    with pytest.raises(CallerGoneError):
        await wait_to_enter({"sluice_cycle": cycle_of(disconnected=True)}, admission, "b", 1)
    task = asyncio.current_task()
    await asyncio.sleep(0)  # where a cancellation would be delivered

    assert task is not None
    assert task.cancelling() == 0
    assert (counted("sluice_overloaded_total", queue="requests"), counted("sluice_client_disconnects_total")) == (before[0], before[1] + 1)


async def test_a_caller_that_leaves_the_line_is_gone() -> None:
    admission = Admission(1, places=1, wait_s=5, max_bytes=100)
    admission.try_enter("a", 1)
    cycle = cycle_of()
    asyncio.get_running_loop().call_soon(cycle.leave)

    with pytest.raises(CallerGoneError):
        await wait_to_enter({"sluice_cycle": cycle}, admission, "b", 1)


async def test_a_caller_that_stays_is_turned_away_from_a_full_line() -> None:
    admission = Admission(1, places=0, wait_s=5, max_bytes=100)
    admission.try_enter("a", 1)

    with pytest.raises(OverloadedError):
        await wait_to_enter({"sluice_cycle": cycle_of()}, admission, "b", 1)
