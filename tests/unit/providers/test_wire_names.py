"""How an address becomes peers, and what a name that hangs does to others: nothing."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Address
from app.providers.wire_names import MAX_LOOKUPS, Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

INDEX, LOOPBACK = socket.if_nameindex()[0]
DEADLINE_S = 10.0


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop  # noqa: PLC0415 - not there on Windows

        factories["uvloop"] = uvloop.new_event_loop
    return factories


class Resolver:
    """Answers every name with 127.0.0.1; one that starts with `hung` only when it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let_go = threading.Event()

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host.startswith("hung"):
            self.let_go.wait(DEADLINE_S)
        if host.endswith("missing"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)), (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("x",))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.let_go.set()


def at(host: str) -> Address:
    return Address("http", host, 80)


async def started(names: Names, *hosts: str) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.ensure_future(names.peers(at(host))) for host in hosts]
    await asyncio.sleep(0)
    return tasks


async def test_a_name_is_asked_for_once_by_all_who_wait_and_anew_afterwards(resolver: Resolver) -> None:
    names = Names()
    tasks = await started(names, *["hung"] * 40)
    resolver.let_go.set()
    found = await asyncio.gather(*tasks)
    asked = len(resolver.asked)
    again = await names.peers(at("hung"))

    assert found == [[(socket.AF_INET, "127.0.0.1", ("127.0.0.1", 80))]] * 40
    assert (asked, len(resolver.asked)) == (1, 2)
    assert again == found[0]


async def test_names_that_hang_hold_up_no_other_name(resolver: Resolver) -> None:
    names = Names()
    tasks = await started(names, *(f"hung{number}" for number in range(MAX_LOOKUPS - 1)))

    async with asyncio.timeout(DEADLINE_S):
        found = await names.peers(at("ollama"))

    assert found[0][1] == "127.0.0.1"
    assert not any(task.done() for task in tasks)
    resolver.let_go.set()
    await asyncio.gather(*tasks)


async def test_beyond_the_bound_a_name_is_refused_at_once_and_one_under_way_is_joined(resolver: Resolver) -> None:
    names = Names()
    tasks = await started(names, *(f"hung{number}" for number in range(MAX_LOOKUPS)))

    with pytest.raises(OSError, match="too many"):
        await names.peers(at("ollama"))
    tasks += await started(names, "hung0")
    resolver.let_go.set()

    assert len(await asyncio.gather(*tasks)) == MAX_LOOKUPS + 1


async def test_a_waiter_that_leaves_takes_nobody_with_it(resolver: Resolver) -> None:
    leaving, staying = await started(Names(), "hung", "hung")
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    resolver.let_go.set()

    assert leaving.cancelled()
    assert (await staying)[0][1] == "127.0.0.1"


async def test_a_look_up_that_everybody_left_and_that_fails_leaves_nothing(resolver: Resolver) -> None:
    names = Names()
    (leaving,) = await started(names, "hung.missing")
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    (joining,) = await started(names, "hung.missing")
    resolver.let_go.set()

    with pytest.raises(OSError, match="not found"):
        await joining
    assert names._flights == {}


@pytest.mark.usefixtures("resolver")
async def test_a_name_that_does_not_exist_is_an_error_of_each_waiters_own() -> None:
    answers = await asyncio.gather(*await started(Names(), "missing", "missing"), return_exceptions=True)

    assert [type(answer) for answer in answers] == [OSError, OSError]
    assert answers[0] is not answers[1]


@pytest.mark.parametrize("host", ["a" * 70 + ".test", "\0", "..", "é" * 70])
async def test_what_cannot_be_a_name_is_an_error(host: str) -> None:
    with pytest.raises(OSError, match="not found"):
        await Names().peers(at(host))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", (socket.AF_INET, "127.0.0.1", ("127.0.0.1", 80))),
        ("::1", (socket.AF_INET6, "::1", ("::1", 80, 0, 0))),
        ("fe80::1%1", (socket.AF_INET6, "fe80::1", ("fe80::1", 80, 0, 1))),
        (f"fe80::1%{LOOPBACK}", (socket.AF_INET6, "fe80::1", ("fe80::1", 80, 0, INDEX))),
    ],
)
async def test_a_literal_is_its_own_peer_and_no_resolver_is_asked(host: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a resolver was asked for a literal")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert await Names().peers(Address("http", host, 80)) == [expected]
