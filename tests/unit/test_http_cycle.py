from __future__ import annotations

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from app.http_cycle import HeldCycle

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Transport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, written: bytes) -> None:
        self.writes.append(written)

    def close(self) -> None:
        self.closed = True

    abort = close


def cycle_of(transport: Transport, *, method: str = "GET", keep_alive: bool = True, version: str = "1.1") -> tuple[HeldCycle, list[str]]:
    ended: list[str] = []
    protocol = SimpleNamespace(
        transport=transport,
        flow=FlowControl(cast("asyncio.Transport", transport)),
        server_state=SimpleNamespace(default_headers=[(b"date", b"today")]),
        tasks=set(),
        on_response_complete=lambda: ended.append("ended"),
        known_start=lambda: b"HTTP/1.1 200 OK\r\ndate: today\r\n",
    )
    return HeldCycle(cast("Any", protocol), {"type": "http", "method": method, "http_version": version}, keep_alive=keep_alive), ended


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def written(*messages: dict[str, Any], method: str = "GET", keep_alive: bool = True) -> tuple[list[bytes], bool, list[str]]:
    transport = Transport()
    cycle, ended = cycle_of(transport, method=method, keep_alive=keep_alive)
    for message in messages:
        await cycle.send(message)
    return transport.writes, transport.closed, ended


async def test_a_head_and_its_body_leave_in_one_write() -> None:
    writes, closed, ended = await written(start((b"content-length", b"2"), (b"x-a", b"b")), part(b"hi"))

    assert writes == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nx-a: b\r\n\r\nhi"]
    assert (closed, ended) == (False, ["ended"])


async def test_a_large_body_is_not_copied_behind_its_head() -> None:
    writes, _, _ = await written(start((b"content-length", b"100000")), part(b"x" * 100_000))

    assert len(writes) == 2


async def test_what_has_no_length_is_chunked_and_each_part_leaves_at_once() -> None:
    writes, _, ended = await written(start(), part(b"one", more=True), part(b"", more=True), part(b"two", more=True), part(b""))

    assert writes == [b"HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"]
    assert ended == ["ended"]


async def test_a_part_is_passed_on_as_it_would_be_sent_once_the_head_has_left_and_while_the_caller_reads() -> None:
    transport = Transport()
    cycle, _ = cycle_of(transport)
    unbegun = cycle.pass_on(b"a")
    await cycle.send(start())
    with_its_head = cycle.pass_on(b"b")
    await cycle.send(part(b"c", more=True))
    passed, empty = cycle.pass_on(b"d"), cycle.pass_on(b"")
    cycle.flow.pause_writing()
    paused = cycle.pass_on(b"e")
    cycle.flow.resume_writing()
    cycle.disconnected = True
    gone = cycle.pass_on(b"f")

    assert (unbegun, with_its_head, passed, empty, paused, gone) == (False, False, True, False, False, False)
    assert transport.writes[1:] == [b"1\r\nd\r\n"]


async def test_a_part_of_an_answer_of_known_length_is_not_passed_on() -> None:
    cycle, _ = cycle_of(Transport())
    await cycle.send(start((b"content-length", b"2")))
    await cycle.send(part(b"a", more=True))

    assert not cycle.pass_on(b"b")


async def test_an_answer_that_is_chunked_already_says_so_once() -> None:
    writes, _, _ = await written(start((b"transfer-encoding", b"chunked")), part(b"one"))

    assert writes == [b"HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"]


@pytest.mark.parametrize("version", ["1.0", "0.9"])
async def test_what_has_no_length_ends_with_the_connection_for_a_caller_that_knows_no_chunks(version: str) -> None:
    transport = Transport()
    cycle, ended = cycle_of(transport, keep_alive=False, version=version)

    await cycle.send(start())
    await cycle.send(part(b"one", more=True))
    passed = cycle.pass_on(b"two")
    await cycle.send(part(b"two", more=True))
    await cycle.send(part())

    assert transport.writes == [b"HTTP/1.1 200 OK\r\ndate: today\r\nconnection: close\r\n\r\none", b"two"]
    assert (passed, transport.closed, ended) == (False, True, ["ended"])


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_without_a_body_has_none(method: str, status: int) -> None:
    writes, _, ended = await written(start(status=status), part(b"hidden" if method == "HEAD" else b""), method=method)

    assert b"".join(writes).endswith(b"date: today\r\n\r\n")
    assert ended == ["ended"]


@pytest.mark.parametrize("headers", [[(b"connection", b"close")], []])
async def test_the_last_answer_of_a_connection_says_so_once_and_closes_it(headers: list[tuple[bytes, bytes]]) -> None:
    writes, closed, _ = await written(start((b"content-length", b"0"), *headers), part(), keep_alive=bool(headers))

    assert b"".join(writes).count(b"connection: close") == 1
    assert closed


@pytest.mark.parametrize("value", [b"a\r\nx-b: c", b"a\nb", b"a\rb", b"a\0b"])
@pytest.mark.parametrize("name", [False, True])
async def test_a_header_cannot_break_out_of_its_line(value: bytes, *, name: bool) -> None:
    header = (value, b"v") if name else (b"x-a", value)

    with pytest.raises(RuntimeError):
        await written(start(header), part())


@pytest.mark.parametrize(
    "messages",
    [
        [part()],
        [start(), start()],
        [start((b"content-length", b"2")), part(b"long")],
        [start((b"content-length", b"9")), part(b"short")],
        [start(), part(), part()],
    ],
)
async def test_what_makes_no_answer_is_a_fault(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(RuntimeError):
        await written(*messages)


async def test_a_sender_waits_while_the_caller_does_not_read_and_sends_nothing_to_one_that_left() -> None:
    transport = Transport()
    cycle, _ = cycle_of(transport)
    cycle.flow.pause_writing()
    sending = asyncio.ensure_future(cycle.send(start()))
    await asyncio.sleep(0)
    waited = not sending.done()
    cycle.disconnected = True
    cycle.flow.resume_writing()
    await sending
    await cycle.send(part(b"late"))

    assert waited
    assert transport.writes == []


async def test_a_caller_that_does_not_read_can_be_cut_off_and_one_that_reads_is_not() -> None:
    transport = Transport()
    cycle, _ = cycle_of(transport)
    reads = (cycle.cut(), transport.closed)
    cycle.flow.pause_writing()

    assert reads == (False, False)
    assert (cycle.cut(), transport.closed) == (True, True)


async def test_an_answer_in_one_message_leaves_in_one_write() -> None:
    transport = Transport()
    cycle, ended = cycle_of(transport)

    await cycle.send(start((b"content-length", b"2")) | {"sluice_body": b"hi"})

    assert len(transport.writes) == 1
    assert transport.writes[0].endswith(b"content-length: 2\r\n\r\nhi")
    assert (cycle.response_complete, ended) == (True, ["ended"])


@pytest.mark.parametrize(("keep_alive", "last"), [(True, b""), (False, b"connection: close\r\n")])
async def test_an_answer_whose_head_is_written_leaves_in_one_write(*, keep_alive: bool, last: bytes) -> None:
    transport = Transport()
    cycle, ended = cycle_of(transport, method="POST", keep_alive=keep_alive)

    assert cycle.answer(b"x-a: b\r\n", b"{}")

    assert transport.writes == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: application/json\r\ncontent-length: 2\r\nx-a: b\r\n%b\r\n{}" % last]
    assert (transport.closed, ended) == (not keep_alive, ["ended"])


async def test_a_large_answer_is_not_copied_behind_its_head() -> None:
    transport = Transport()
    cycle, ended = cycle_of(transport, method="POST")

    assert cycle.answer(b"", b"x" * 100_000)
    assert [len(written) for written in transport.writes][1:] == [100_000]
    assert ended == ["ended"]


@pytest.mark.parametrize("state", ["write_paused", "disconnected"])
async def test_an_answer_to_a_caller_that_does_not_read_or_left_has_to_be_sent(state: str) -> None:
    transport = Transport()
    cycle, _ = cycle_of(transport)
    setattr(cycle.flow if state == "write_paused" else cycle, state, True)

    assert not cycle.answer(b"", b"{}")
    assert transport.writes == []


async def test_an_answer_is_not_given_twice() -> None:
    cycle, _ = cycle_of(Transport())
    cycle.answer(b"", b"{}")

    with pytest.raises(RuntimeError):
        cycle.answer(b"", b"{}")


async def test_a_body_that_came_with_its_head_is_there_at_once() -> None:
    taken, told = cycle_of(Transport())[0], cycle_of(Transport())[0]
    taken.hold_whole(b"all")
    told.hold_whole(b"all")

    assert taken.take_body() == b"all"
    assert await told.receive() == {"type": "http.request", "body": b"all", "more_body": False}


async def test_a_caller_that_leaves_ends_the_work_and_nothing_is_raised() -> None:
    cycle, _ = cycle_of(Transport())
    cycle.task = task = asyncio.current_task()
    with cycle:
        asyncio.get_running_loop().call_soon(cycle.leave)
        await asyncio.Event().wait()

    assert task is not None
    assert (cycle.gone, task.cancelling()) == (True, 0)


async def test_a_caller_that_left_before_the_work_began_is_gone() -> None:
    cycle, _ = cycle_of(Transport())
    cycle.task, cycle.disconnected = asyncio.current_task(), True
    with cycle:
        await asyncio.Event().wait()

    assert cycle.gone


@pytest.mark.parametrize("when", ["after the work", "after the answer"])
async def test_a_caller_may_leave_when_nothing_is_done_for_it(when: str) -> None:
    cycle, _ = cycle_of(Transport())
    cycle.task = asyncio.current_task()
    with cycle:
        if when == "after the answer":
            cycle.answer(b"", b"{}")
            cycle.leave()
    cycle.leave()
    await asyncio.sleep(0)

    assert not cycle.gone


async def test_another_cancellation_and_other_faults_pass_through() -> None:
    cycle, _ = cycle_of(Transport())
    cycle.task = asyncio.current_task()

    for fault in (asyncio.CancelledError, KeyError):
        with pytest.raises(fault), cycle:
            raise fault


async def test_work_outside_a_task_is_a_fault() -> None:
    with pytest.raises(RuntimeError), cycle_of(Transport())[0]:
        pass


async def test_a_whole_body_is_taken_once_without_asking() -> None:
    cycle, _ = cycle_of(Transport())
    cycle.feed(b"a")
    cycle.feed(b"ll")
    cycle.end()

    assert [cycle.take_body(), cycle.take_body()] == [b"all", b""]


@pytest.mark.parametrize("state", ["more_body", "disconnected", "response_complete", "waiting_for_100_continue"])
async def test_a_body_that_is_not_there_or_not_wanted_has_to_be_asked_for(state: str) -> None:
    cycle, _ = cycle_of(Transport())
    cycle.more_body = False
    setattr(cycle, state, True)

    assert cycle.take_body() is None


async def ended_with(cycle: HeldCycle, application: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(application)
    await asyncio.wait({task})
    cycle.ended(task)


@pytest.mark.parametrize("fault", [None, ValueError("canary"), asyncio.CancelledError()], ids=["nothing", "fault", "cancelled"])
async def test_an_application_that_says_nothing_is_answered_for_with_a_500(fault: BaseException | None) -> None:
    async def application() -> None:
        if fault is not None:
            raise fault

    transport = Transport()
    cycle, ended = cycle_of(transport)

    await ended_with(cycle, application())

    assert transport.writes[0].startswith(b"HTTP/1.1 500 ")
    assert b"canary" not in transport.writes[0]
    assert (transport.closed, ended) == (True, ["ended"])


async def test_a_request_that_is_over_leaves_nothing_to_the_garbage_collector() -> None:
    cycle, _ = cycle_of(Transport())
    cycle.scope["sluice_cycle"] = cycle
    gone = weakref.ref(cycle)
    cycle.task = asyncio.ensure_future(cycle.send(start((b"content-length", b"0"))))
    cycle.task.add_done_callback(cycle.ended)
    gc.disable()
    try:
        await asyncio.wait({cycle.task})
        del cycle
        await asyncio.sleep(0)
        left = gone()
    finally:
        gc.enable()

    assert left is None


async def test_a_body_that_nobody_read_is_held_no_longer_than_its_request() -> None:
    cycle, _ = cycle_of(Transport())
    cycle.feed(b"x" * 1000)

    await cycle.send(start((b"content-length", b"0"), status=503))
    await cycle.send(part())

    assert cycle._parts == []


async def test_an_answer_that_is_left_in_the_middle_ends_its_connection() -> None:
    transport = Transport()
    cycle, ended = cycle_of(transport)

    async def application() -> None:
        await cycle.send(start((b"content-length", b"9")))
        await cycle.send(part(b"half", more=True))

    await ended_with(cycle, application())

    assert (len(transport.writes), transport.closed, ended) == (1, True, [])


@pytest.mark.parametrize("fault", [False, True])
async def test_an_answer_that_is_whole_stays_as_it_is(*, fault: bool) -> None:
    transport = Transport()
    cycle, ended = cycle_of(transport)

    async def application() -> None:
        cycle.answer(b"", b"{}")
        if fault:
            raise ValueError

    await ended_with(cycle, application())

    assert (len(transport.writes), transport.closed, ended) == (1, False, ["ended"])


async def test_a_body_is_told_in_messages_as_it_comes() -> None:
    cycle, _ = cycle_of(Transport())
    cycle.feed(b"a")
    first = await cycle.receive()
    waiting = asyncio.ensure_future(cycle.receive())
    await asyncio.sleep(0)
    waited = not waiting.done()
    cycle.feed(b"b")
    cycle.end()
    second = await waiting
    cycle.disconnected = True

    assert waited
    assert first == {"type": "http.request", "body": b"a", "more_body": True}
    assert second == {"type": "http.request", "body": b"b", "more_body": False}
    assert (await cycle.receive())["type"] == "http.disconnect"
