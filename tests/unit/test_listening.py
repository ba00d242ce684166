from __future__ import annotations

import asyncio
import os
import socket

import pytest

from app import listening
from app.listening import doors

uvloop = pytest.importorskip("uvloop")  # Windows has none

CALLERS = 64


def turns_until_accepted(listener: socket.socket) -> int:
    """Return how many turns uvloop takes to accept everybody who waits at `listener`."""

    async def serve() -> int:
        loop, accepted, turns = asyncio.get_running_loop(), 0, 0

        class Caller(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                nonlocal accepted
                accepted += 1
                transport.close()

        servers = [await loop.create_server(Caller, sock=door) for door in doors(listener)]
        callers = [socket.create_connection(listener.getsockname()) for _ in range(CALLERS)]
        async with asyncio.timeout(10):
            while accepted < CALLERS:
                turns += 1
                await asyncio.sleep(0)
        for caller in callers:
            caller.close()
        for server in servers:
            server.close()
        return turns

    turns: int = uvloop.run(serve())
    return turns


def test_no_child_of_the_process_that_serves_gets_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)  # as workers get it
        given = doors(listener)
        inherited = [door.get_inheritable() for door in given]
        for door in given[1:]:
            door.close()

    assert not any(inherited)


def test_many_connections_are_accepted_in_one_turn_of_the_loop() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=CALLERS) as listener:
        turns = turns_until_accepted(listener)

    assert turns < CALLERS / 4


def test_asyncios_own_loop_needs_one_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "find_spec", lambda _: None)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert doors(listener) == [listener]


def test_a_socket_that_others_serve_from_stays_as_they_have_it() -> None:
    seen: list[bool] = []

    class HandedOver(socket.socket):
        def dup(self) -> HandedOver:
            made = super().dup()
            seen.append(os.get_blocking(self.fileno()))
            return made

    with socket.create_server(("127.0.0.1", 0)) as served:
        served.setblocking(False)
        with HandedOver(fileno=os.dup(served.fileno())) as handed_over:
            copies = doors(handed_over)

            assert len(copies) == len(seen) + 1 > 1
            assert not any(seen)
            for copy in copies[1:]:
                copy.close()
