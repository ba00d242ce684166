"""Which connection a request goes out on: kept alive, gone stale, never shared between labels."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

import pytest

from app.domain import Address, Failure, Label
from app.errors import UpstreamError
from app.providers import wire_connection
from tests.integration.wire.answers import by_length, chunked
from tests.integration.wire.peer import DEADLINE_S, Session, answering, ask, fetch, make_egress, serving, wire_to

if TYPE_CHECKING:
    from collections.abc import Callable

OK = by_length(b"ok")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for happens inside the product, which has no event for it
            await asyncio.sleep(0)


async def test_requests_in_turn_share_one_connection() -> None:
    async with serving(answering(OK)) as peer, wire_to(peer.address) as wire:
        for _ in range(20):
            assert await fetch(wire, peer.address) == (200, b"ok")

        assert len(peer.sessions) == 1


async def test_an_answer_is_back_in_its_pool_once_it_arrived_whole_even_unread() -> None:
    async with serving(answering(OK)) as peer, wire_to(peer.address) as wire:
        first = await ask(wire, peer.address)
        second = await ask(wire, peer.address)

        assert len(peer.sessions) == 1
        assert await first.read(DEADLINE_S) == await second.read(DEADLINE_S) == b"ok"


async def test_closing_an_answer_that_was_read_whole_keeps_the_connection() -> None:
    async with serving(answering(OK)) as peer, wire_to(peer.address) as wire:
        for _ in range(3):
            response = await ask(wire, peer.address)
            await response.read(DEADLINE_S)
            response.close()
            response.close()

        assert len(peer.sessions) == 1


async def test_labels_never_share_a_connection() -> None:
    async with serving(answering(OK)) as peer, wire_to(peer.address) as wire:
        for _ in range(3):
            for label in Label:
                await fetch(wire, peer.address, label)

        assert len(peer.sessions) == len(Label)


async def test_addresses_never_share_a_connection() -> None:
    async with serving(answering(OK)) as one, serving(answering(OK)) as other, wire_to(one.address, other.address) as wire:
        for _ in range(3):
            await fetch(wire, one.address)
            await fetch(wire, other.address)

        assert (len(one.sessions), len(other.sessions)) == (1, 1)


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_the_server_closed_while_idle_is_replaced_unnoticed(reset: bool) -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(OK)
        if reset:
            session.reset()

    async with serving(script) as peer, wire_to(peer.address) as wire:
        for _ in range(5):
            assert await fetch(wire, peer.address) == (200, b"ok")
            await until(lambda: not wire._live)

        assert len(peer.sessions) == 5


async def test_an_end_that_waits_unread_in_the_socket_is_seen_before_a_byte_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_connection, "_PEEK_AFTER_S", 0.0)
    loop = asyncio.get_running_loop()
    with socket.socket() as listener:
        listener.setblocking(False)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        target = Address("http", "127.0.0.1", listener.getsockname()[1])
        async with wire_to(target) as wire, asyncio.timeout(DEADLINE_S):
            first = asyncio.create_task(fetch(wire, target))
            accepted, _ = await loop.sock_accept(listener)
            await loop.sock_recv(accepted, 65_536)
            await loop.sock_sendall(accepted, OK)
            await first

            accepted.close()  # the task runs before the loop looks at its sockets again
            second = asyncio.create_task(fetch(wire, target))
            accepted, _ = await loop.sock_accept(listener)
            received = await loop.sock_recv(accepted, 65_536)
            await loop.sock_sendall(accepted, OK)

            assert received.startswith(b"POST /v1 HTTP/1.1\r\n")
            assert await second == (200, b"ok")
            accepted.close()


async def test_a_request_that_was_written_is_never_sent_again() -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(OK)
        await session.request()

    async with serving(script) as peer, wire_to(peer.address) as wire:
        await fetch(wire, peer.address)
        with pytest.raises(UpstreamError) as caught:
            await fetch(wire, peer.address)

        assert (caught.value.failure, caught.value.sent) == (Failure.UNREACHABLE, True)
        assert len(peer.sessions) == 1
        assert peer.received.count(b"POST ") == 2


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"x", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
@pytest.mark.parametrize("later", [False, True])
async def test_bytes_that_nobody_asked_for_never_answer_the_next_request(surplus: bytes, later: bool) -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(*([OK, surplus] if later else [OK + surplus]))
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire:
        for _ in range(3):
            assert await fetch(wire, peer.address) == (200, b"ok")
            await until(lambda: not wire._live)

        assert len(peer.sessions) == 3


@pytest.mark.parametrize("answer", [by_length(b"ok", "Connection: close"), by_length(b"ok", version="1.0")], ids=["close", "HTTP/1.0"])
async def test_a_connection_that_the_server_will_close_is_not_kept(answer: bytes) -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(answer)
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        for _ in range(3):
            assert await fetch(wire, peer.address) == (200, b"ok")
        for session in peer.sessions:
            await session.closed.wait()

        assert len(peer.sessions) == 3


async def test_idle_connections_expire() -> None:
    async with serving(answering(OK)) as peer, wire_to(peer.address, max_idle_s=0.0) as wire:
        for _ in range(3):
            await fetch(wire, peer.address)
            await asyncio.sleep(0.002)  # the clock of uvloop has whole milliseconds

        assert len(peer.sessions) == 3


async def test_no_more_connections_are_kept_than_the_bound() -> None:
    all_here = asyncio.Barrier(10)

    async def script(session: Session) -> None:
        await session.request()
        await all_here.wait()
        await session.send(OK)
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address, max_idle=3) as wire:
        await asyncio.gather(*(fetch(wire, peer.address) for _ in range(10)))
        await until(lambda: len(wire._live) == 3)

        assert len(peer.sessions) == 10


async def test_a_new_egress_gets_connections_of_its_own() -> None:
    async with serving(answering(OK)) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        await fetch(wire, peer.address)
        wire.replace_egress(make_egress(peer.address))
        await peer.sessions[0].closed.wait()
        await fetch(wire, peer.address)

        assert len(peer.sessions) == 2


async def test_a_new_egress_holds_the_next_request_and_lets_the_running_one_finish() -> None:
    go_on = asyncio.Event()

    async def script(session: Session) -> None:
        await session.request()
        head, _, rest = chunked(b"one", b"two").partition(b"3\r\ntwo")
        await session.send(head)
        await go_on.wait()
        await session.send(b"3\r\ntwo" + rest)
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        running = await ask(wire, peer.address)
        wire.replace_egress(make_egress())
        with pytest.raises(UpstreamError) as caught:
            await ask(wire, peer.address)
        go_on.set()

        assert caught.value.failure is Failure.NOT_CLEARED
        assert await running.read(DEADLINE_S) == b"onetwo"
        await peer.sessions[0].closed.wait()
        assert len(peer.sessions) == 1


async def test_closing_the_wire_closes_idle_and_running_connections() -> None:
    async def script(session: Session) -> None:
        if b"/idle" in await session.request():
            await session.send(OK)
        else:
            await session.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        running = await ask(wire, peer.address)
        await (await ask(wire, peer.address, path="/idle")).read(DEADLINE_S)
        await wire.aclose()
        for session in peer.sessions:
            await session.closed.wait()

        assert len(peer.sessions) == 2
        assert wire._live == set()
        with pytest.raises(UpstreamError):
            await running.read(DEADLINE_S)


async def test_nothing_is_connected_after_the_wire_was_closed() -> None:
    async with serving(answering(OK)) as peer, wire_to(peer.address) as wire:
        await wire.aclose()
        with pytest.raises(UpstreamError) as caught:
            await fetch(wire, peer.address)

        assert (caught.value.failure, caught.value.sent) == (Failure.UNREACHABLE, False)
        assert peer.sessions == []


async def test_nothing_is_left_behind_when_connections_end() -> None:
    gc.collect()
    before = sum(isinstance(thing, wire_connection.Connection) for thing in gc.get_objects())

    async with serving(answering(OK)) as peer, wire_to(peer.address) as wire:
        for _ in range(5):
            await fetch(wire, peer.address)
    gc.collect()

    assert sum(isinstance(thing, wire_connection.Connection) for thing in gc.get_objects()) == before
