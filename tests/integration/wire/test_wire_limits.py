"""What bounds a request: time, memory, and the caller's own end."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from app.domain import Address, Failure
from app.errors import UpstreamError
from tests.integration.wire.answers import by_length, chunked
from tests.integration.wire.peer import DEADLINE_S, Session, answering, ask, fetch, serving, unused_port, wire_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

SHORT_S = 0.05
PROMPT_S = 0.2  # far below what any time-out here would take


async def test_a_server_that_never_answers_is_a_time_out_and_sees_the_end() -> None:
    async with serving(Session.until_closed) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        with pytest.raises(UpstreamError) as caught:
            await ask(wire, peer.address, timeout_s=SHORT_S)
        await peer.sessions[0].closed.wait()

        assert (caught.value.failure, caught.value.sent) == (Failure.TIMEOUT, True)


async def test_a_head_that_never_ends_is_a_time_out() -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Half")
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire:
        with pytest.raises(UpstreamError) as caught:
            await ask(wire, peer.address, timeout_s=SHORT_S)

        assert caught.value.failure is Failure.TIMEOUT


async def test_a_server_that_does_not_read_a_large_request_is_a_time_out() -> None:
    done = asyncio.Event()

    async def script(session: Session) -> None:
        await session.reader.readuntil(b"\r\n\r\n")
        await done.wait()

    async with serving(script) as peer, wire_to(peer.address) as wire:
        with pytest.raises(UpstreamError) as caught:
            await ask(wire, peer.address, body=b"a" * 30_000_000, timeout_s=SHORT_S)
        done.set()

        assert (caught.value.failure, caught.value.sent) == (Failure.TIMEOUT, True)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_body_that_stops_is_a_time_out_and_the_server_sees_the_end(streamed: bool) -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        response = await ask(wire, peer.address, idle_s=SHORT_S)
        got = []
        with pytest.raises(UpstreamError) as caught:
            got = [chunk async for chunk in response.chunks()] if streamed else [await response.read(SHORT_S)]
        await peer.sessions[0].closed.wait()

        assert (caught.value.failure, got) == (Failure.TIMEOUT, [])


async def test_a_first_chunk_may_take_as_long_as_the_head_and_those_after_it_as_long_as_between_two() -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        await asyncio.sleep(4 * SHORT_S)
        await session.send(b"half")
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        response = await ask(wire, peer.address, idle_s=SHORT_S)
        chunks = response.chunks()
        first = await anext(chunks)
        told = time.monotonic()
        with pytest.raises(UpstreamError) as caught:
            await anext(chunks)

        assert (first, caught.value.failure) == (b"half", Failure.TIMEOUT)
        assert time.monotonic() - told < PROMPT_S


async def test_a_head_without_a_body_is_given_up_after_the_heads_time() -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        begun = time.monotonic()
        response = await ask(wire, peer.address, timeout_s=4 * SHORT_S, idle_s=SHORT_S)
        with pytest.raises(UpstreamError) as caught:
            await anext(response.chunks())

        assert caught.value.failure is Failure.TIMEOUT
        assert time.monotonic() - begun >= 4 * SHORT_S - 0.01


async def test_a_connection_that_is_not_accepted_is_a_time_out_of_which_nothing_was_sent() -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):  # a full queue swallows what comes after (Linux)
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        target = Address("http", *listener.getsockname())

        async with wire_to(target) as wire:
            with pytest.raises(UpstreamError) as caught:
                await ask(wire, target, connect_s=SHORT_S)

    assert (caught.value.failure, caught.value.sent) == (Failure.TIMEOUT, False)


@pytest.fixture
def hung_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let hung.test hang until the test's end, and every other name lead to loopback."""
    let_go = threading.Event()

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "hung.test":
            let_go.wait(DEADLINE_S)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield let_go
    let_go.set()


@pytest.mark.usefixtures("hung_resolver")
async def test_the_whole_limit_bounds_connecting_too() -> None:
    target = Address("http", "hung.test", 80)

    async with wire_to(target) as wire, asyncio.timeout(DEADLINE_S):
        with pytest.raises(UpstreamError) as caught:
            await ask(wire, target, connect_s=60, timeout_s=SHORT_S)

    assert (caught.value.failure, caught.value.sent) == (Failure.TIMEOUT, False)


async def test_many_requests_to_a_name_that_hangs_hold_up_no_other_name(hung_resolver: threading.Event) -> None:
    hung = Address("http", "hung.test", 80)
    async with serving(answering(by_length(b"ok"))) as peer, asyncio.timeout(DEADLINE_S):
        target = Address("http", "ollama", peer.address.port)
        async with wire_to(hung, target) as wire:
            waiting = [asyncio.ensure_future(ask(wire, hung)) for _ in range(80)]
            await asyncio.sleep(0)

            assert await fetch(wire, target) == (200, b"ok")
            hung_resolver.set()
            await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_port_where_nothing_listens_is_unreachable() -> None:
    target = Address("http", "127.0.0.1", unused_port())

    async with wire_to(target) as wire:
        with pytest.raises(UpstreamError) as caught:
            await ask(wire, target)

    assert (caught.value.failure, caught.value.sent) == (Failure.UNREACHABLE, False)


async def test_a_server_that_closes_before_it_answers_is_unreachable() -> None:
    async with serving(Session.request) as peer, wire_to(peer.address) as wire:  # type: ignore[arg-type] # what a script returns is not looked at
        with pytest.raises(UpstreamError) as caught:
            await ask(wire, peer.address)

        assert (caught.value.failure, caught.value.sent) == (Failure.UNREACHABLE, True)


async def _cancelled(work: Awaitable[object], session: asyncio.Event) -> float:
    """Cancel `work` and return how long it took until the server saw the end."""
    task = asyncio.ensure_future(work)
    for _ in range(10):
        await asyncio.sleep(0)
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await session.wait()
    return time.monotonic() - start


async def test_cancelling_a_request_is_seen_by_the_server_at_once() -> None:
    arrived = asyncio.Event()

    async def script(session: Session) -> None:
        await session.request()
        arrived.set()
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        task = asyncio.create_task(ask(wire, peer.address))
        await arrived.wait()

        assert await _cancelled(task, peer.sessions[0].closed) < PROMPT_S


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelling_a_reader_is_seen_by_the_server_at_once(streamed: bool) -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        response = await ask(wire, peer.address)
        work = anext(response.chunks()) if streamed else response.read(DEADLINE_S)

        assert await _cancelled(work, peer.sessions[0].closed) < PROMPT_S


async def test_cancelling_a_large_upload_is_seen_by_the_server() -> None:
    started = asyncio.Event()

    async def script(session: Session) -> None:
        await session.reader.readuntil(b"\r\n\r\n")
        started.set()
        await session.reader.read(1000)
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        task = asyncio.create_task(ask(wire, peer.address, body=b"a" * 30_000_000))
        await started.wait()

        assert await _cancelled(task, peer.sessions[0].closed) < PROMPT_S
        assert len(peer.received) < 30_000_000


async def test_a_response_that_is_closed_is_seen_by_the_server_at_once() -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        response = await ask(wire, peer.address)
        async for _ in response.chunks():
            break
        start = time.monotonic()
        response.close()
        await peer.sessions[0].closed.wait()

        assert time.monotonic() - start < PROMPT_S


async def test_requests_cancelled_at_any_turn_leave_the_wire_sound() -> None:
    async with serving(answering(by_length(b"ok"))) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        for turns in range(30):
            task = asyncio.create_task(fetch(wire, peer.address))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

            assert await fetch(wire, peer.address) == (200, b"ok")


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_reader_that_does_not_read_holds_the_server_back(framing: str) -> None:
    piece = b"a" * 50_000
    total = 1000 * len(piece)
    sent = 0

    async def script(session: Session) -> None:
        nonlocal sent
        await session.request()
        session.writer.transport.set_write_buffer_limits(0)
        if framing == "length":
            await session.send(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        else:
            await session.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            await session.send(piece if framing == "length" else b"%x\r\n%b\r\n" % (len(piece), piece))
            sent += len(piece)
        await session.send(b"" if framing == "length" else b"0\r\n\r\n")

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        response = await ask(wire, peer.address)
        before = -1
        while sent > before:  # until the server moves no more
            before = sent
            await asyncio.sleep(SHORT_S)
        held, stuck_at = response._size, sent
        received, largest = 0, 0
        async for chunk in response.chunks():
            received += len(chunk)
            largest = max(largest, len(chunk))

        assert stuck_at < total / 2  # the rest of what was sent waits in the kernel's buffers
        assert held <= 512 * 1024
        assert largest <= 512 * 1024
        assert received == total


async def test_a_body_over_the_bound_is_broken_and_its_connection_closed() -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(chunked(b"a" * 2000)[:-7])
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address, max_body_bytes=1000) as wire, asyncio.timeout(DEADLINE_S):
        with pytest.raises(UpstreamError) as caught:
            await fetch(wire, peer.address)
        await peer.sessions[0].closed.wait()

        assert caught.value.failure is Failure.BROKEN


async def test_a_body_of_exactly_the_bound_is_read() -> None:
    async with serving(answering(by_length(b"a" * 1000))) as peer, wire_to(peer.address, max_body_bytes=1000) as wire:
        assert await fetch(wire, peer.address) == (200, b"a" * 1000)
