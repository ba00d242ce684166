from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from app.utils import net
from app.utils.monitoring import UNANNOUNCED

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def spread() -> Iterator[None]:
    net.spread()
    net.spread()
    net.announce("tests", ["Announced.Example."])
    yield
    net.announce("tests", [])
    net.take_in()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def refused() -> float:
    return float(UNANNOUNCED._value.get())


@pytest.mark.usefixtures("spread")
def test_a_connection_that_nobody_announced_is_refused_and_counted(listener: socket.socket) -> None:
    before = refused()

    with pytest.raises(net.UnannouncedError):
        socket.create_connection(listener.getsockname())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(net.UnannouncedError):
        datagrams.sendto(b"x", listener.getsockname())

    assert refused() == before + 2


@pytest.mark.usefixtures("spread")
def test_a_name_that_nobody_announced_is_not_looked_up() -> None:
    for look_up in (lambda: socket.getaddrinfo("elsewhere.example", 443), lambda: socket.gethostbyname("elsewhere.example")):
        with pytest.raises(net.UnannouncedError):
            look_up()


@pytest.mark.usefixtures("spread")
def test_an_announced_connection_is_made_and_no_other_beside_it(listener: socket.socket) -> None:
    address = listener.getsockname()
    with net.reaching(address):
        socket.create_connection(address).close()
        with pytest.raises(net.UnannouncedError):
            socket.create_connection(("127.0.0.1", address[1] - 1))
    with pytest.raises(net.UnannouncedError):
        socket.create_connection(address)


@pytest.mark.usefixtures("spread")
async def test_an_event_loop_connects_where_it_was_announced(listener: socket.socket) -> None:
    sock = socket.socket()
    sock.setblocking(False)
    with net.reaching(listener.getsockname()):
        await asyncio.get_running_loop().sock_connect(sock, listener.getsockname())
    sock.close()


@pytest.mark.usefixtures("spread")
@pytest.mark.parametrize("host", [None, "", "127.0.0.1", "::1", "fe80::1%1", b"127.0.0.1", "announced.example", "ANNOUNCED.example."])
def test_literals_and_announced_names_may_be_looked_up(host: str | bytes | None) -> None:
    net._audit("socket.getaddrinfo", (host, 0))


@pytest.mark.usefixtures("spread")
def test_what_stays_on_this_machine_is_nobodys_business() -> None:
    one, other = socket.socketpair()
    one.close()
    other.close()
    net._audit("socket.sendmsg", (None, None))


def test_with_the_net_taken_in_everything_passes(listener: socket.socket) -> None:
    net.spread()
    net.take_in()

    socket.create_connection(listener.getsockname()).close()


@pytest.mark.usefixtures("spread")
def test_the_log_says_who_asked_and_not_where_to(capsys: pytest.CaptureFixture[str], listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, object]] = []
    monkeypatch.setattr(net._log, "warning", lambda event, **fields: told.append({"event": event} | fields))

    with pytest.raises(net.UnannouncedError):
        socket.create_connection(listener.getsockname())

    assert told == [{"event": "unannounced_connection", "event_name": "socket.connect", "caller": "tests"}]
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("spread")
def test_names_announced_anew_take_the_place_of_the_same_ones_and_of_nobody_elses() -> None:
    net.announce("others", ["kept.example"])
    net.announce("tests", ["new.example"])

    net._audit("socket.getaddrinfo", ("kept.example", 0))
    net._audit("socket.getaddrinfo", ("new.example", 0))
    with pytest.raises(net.UnannouncedError):
        net._audit("socket.getaddrinfo", ("announced.example", 0))
    net.announce("others", [])
