"""Nothing is resolved for, connected to, or sent to what egress does not admit: the resolver is the test's, the sockets are real."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest

from app.domain import Address, EgressPolicy, Failure, Label
from app.errors import UpstreamError
from app.providers.egress import Egress
from tests.integration.wire.answers import by_length
from tests.integration.wire.peer import DEADLINE_S, Session, answering, ask, fetch, serving, unused_port, wire_to

OK = by_length(b"ok")
NAME = "llm.test"


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class Network:
    """What is asked: names, which this answers, and connections, which it lets through to where it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.answers: list[str] = []
        self.resolved: list[str] = []
        self.connected: list[str] = []
        self.detour: tuple[str, int] | None = None
        self._connect = loop.sock_connect
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)
        monkeypatch.setattr(loop, "sock_connect", self._record)

    def _resolve(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.resolved.append(host)
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (answer, port, 0, 0)) if ":" in answer else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port))
            for answer in self.answers
        ]

    async def _record(self, sock: socket.socket, address: Any) -> None:
        self.connected.append(address[0])
        await self._connect(sock, self.detour or address)


@pytest.fixture
async def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


def policy(target: Address, clearance: Label = Label.CONFIDENTIAL, local: str = "127.0.0.0/8") -> Egress:
    return Egress(EgressPolicy({target: clearance}, (IPv4Network(local), IPv6Network("::1/128"))))


async def refused(egress: Egress, target: Address, label: Label) -> UpstreamError:
    async with wire_to(egress=egress) as wire:
        with pytest.raises(UpstreamError) as caught:
            await ask(wire, target, label)
    return caught.value


async def test_no_name_is_resolved_for_an_address_that_is_not_cleared(network: Network) -> None:
    network.answers = ["127.0.0.1"]
    target = Address("http", NAME, 80)

    for known in (target, Address("https", NAME, 80), Address("http", NAME, 81), Address("http", "other.test", 80)):
        error = await refused(policy(known, Label.INTERNAL), target, Label.CONFIDENTIAL)
        assert (error.failure, error.sent) == (Failure.NOT_CLEARED, False)

    assert network.resolved == []
    assert network.connected == []


async def test_a_literal_is_never_resolved(network: Network) -> None:
    async with serving(answering(OK)) as peer, wire_to(peer.address) as wire:
        assert await fetch(wire, peer.address) == (200, b"ok")

    assert network.resolved == []


@pytest.mark.parametrize("answer", ["169.254.169.254", "8.8.8.8", "0.0.0.0", "198.18.0.1", "::ffff:8.8.8.8", "fd00:ec2::254", "fe80::1", "64:ff9b::7f00:1"])
async def test_a_name_that_now_leads_elsewhere_gets_no_connection(network: Network, answer: str) -> None:
    network.answers = [answer]
    target = Address("http", NAME, 80)

    error = await refused(policy(target), target, Label.CONFIDENTIAL)

    assert (error.failure, error.sent) == (Failure.NOT_CLEARED, False)
    assert network.connected == []


async def test_a_literal_that_is_cleared_but_not_local_gets_no_connection(network: Network) -> None:
    target = Address("http", "169.254.169.254", 80)

    error = await refused(policy(target), target, Label.CONFIDENTIAL)

    assert error.failure is Failure.NOT_CLEARED
    assert network.connected == []


async def test_addresses_that_are_not_admitted_are_skipped(network: Network) -> None:
    network.answers = ["8.8.8.8", "169.254.169.254", "127.0.0.1"]
    async with serving(answering(OK)) as peer:
        target = Address("http", NAME, peer.address.port)
        async with wire_to(egress=policy(target)) as wire:
            assert await fetch(wire, target) == (200, b"ok")

    assert network.connected == ["127.0.0.1"]


async def test_addresses_are_tried_in_order_until_one_answers(network: Network) -> None:
    network.answers = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
    async with serving(answering(OK)) as peer:
        target = Address("http", NAME, peer.address.port)
        async with wire_to(egress=policy(target)) as wire:
            assert await fetch(wire, target) == (200, b"ok")

    assert network.connected == ["127.0.0.2", "127.0.0.3", "127.0.0.1"]


async def test_localhost_is_the_ipv6_loopback_then_the_ipv4_one_whatever_a_resolver_would_say(network: Network) -> None:
    network.answers = ["8.8.8.8"]
    async with serving(answering(OK)) as peer:
        target = Address("http", "localhost", peer.address.port)
        async with wire_to(egress=policy(target)) as wire:
            assert await fetch(wire, target) == (200, b"ok")

    assert network.resolved == []
    assert network.connected == ["::1", "127.0.0.1"]


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_localhost_is_served_by_a_server_that_listens_on_the_ipv6_loopback_alone(network: Network) -> None:
    async with serving(answering(OK), host="::1") as peer:
        target = Address("http", "localhost", peer.address.port)
        async with wire_to(egress=policy(target)) as wire:
            assert await fetch(wire, target) == (200, b"ok")

    assert network.connected == ["::1"]


async def test_the_real_localhost_is_reached_by_name() -> None:
    async with serving(answering(OK)) as peer:
        target = Address("http", "LocalHost", peer.address.port)
        async with wire_to(target) as wire:
            assert await fetch(wire, target) == (200, b"ok")


async def test_where_every_admitted_address_is_down_it_is_unreachable_not_refused(network: Network) -> None:
    network.answers = ["8.8.8.8", "127.0.0.1"]
    target = Address("http", NAME, unused_port())

    error = await refused(policy(target), target, Label.CONFIDENTIAL)

    assert (error.failure, error.sent) == (Failure.UNREACHABLE, False)


async def test_an_address_that_swallows_packets_leaves_time_for_the_next(network: Network) -> None:
    network.answers = ["127.0.0.2", "127.0.0.1"]
    reach = network._connect

    async def swallow(sock: socket.socket, address: Any) -> None:
        if address[0] == "127.0.0.2":
            await asyncio.Event().wait()
        await reach(sock, address)

    network._connect = swallow
    async with serving(answering(OK)) as peer:
        target = Address("http", NAME, peer.address.port)
        async with wire_to(egress=policy(target)) as wire:
            response = await ask(wire, target, connect_s=0.2)

            assert await response.read(DEADLINE_S) == b"ok"


@pytest.mark.parametrize("host", [NAME, "a..b", "x" * 64, "-"])
async def test_a_name_that_does_not_resolve_is_unreachable(network: Network, host: str) -> None:
    target = Address("http", host, 80)

    error = await refused(policy(target), target, Label.CONFIDENTIAL)

    assert (error.failure, error.sent) == (Failure.UNREACHABLE, False)
    assert network.connected == []


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
async def test_what_cannot_be_a_name_is_unreachable_by_the_real_resolver_too(host: str) -> None:
    target = Address("http", host, 80)

    error = await refused(policy(target), target, Label.CONFIDENTIAL)

    assert (error.failure, error.sent) == (Failure.UNREACHABLE, False)


async def test_a_connection_that_ended_up_elsewhere_is_closed_before_a_byte(network: Network) -> None:
    async with serving(Session.until_closed) as elsewhere, asyncio.timeout(DEADLINE_S):
        target = Address("http", "127.0.0.9", elsewhere.address.port)
        network.detour = ("127.0.0.1", elsewhere.address.port)

        error = await refused(policy(target, local="127.0.0.9/32"), target, Label.CONFIDENTIAL)
        while not elsewhere.sessions:  # noqa: ASYNC110 - until the server has accepted what was connected
            await asyncio.sleep(0)
        await elsewhere.sessions[0].closed.wait()

        assert (error.failure, error.sent) == (Failure.NOT_CLEARED, False)
        assert elsewhere.received == b""


async def test_other_labels_go_to_whatever_peer_the_cleared_name_has(network: Network) -> None:
    network.answers = ["127.0.0.1"]
    async with serving(answering(OK)) as peer:
        target = Address("http", NAME, peer.address.port)
        async with wire_to(egress=policy(target, Label.INTERNAL, local="10.0.0.0/8")) as wire:
            assert await fetch(wire, target, Label.INTERNAL) == (200, b"ok")


async def test_a_name_is_resolved_anew_for_each_connection(network: Network) -> None:
    network.answers = ["127.0.0.1"]
    async with serving(answering(by_length(b"ok", "Connection: close"))) as peer:
        target = Address("http", NAME, peer.address.port)
        async with wire_to(egress=policy(target)) as wire:
            await fetch(wire, target)
            network.answers = ["169.254.169.254"]
            with pytest.raises(UpstreamError) as caught:
                await fetch(wire, target)

    assert caught.value.failure is Failure.NOT_CLEARED
    assert network.connected == ["127.0.0.1"]


async def test_an_egress_that_admits_nothing_lets_nothing_out(network: Network) -> None:
    async with serving(answering(OK)) as peer:
        for label in Label:
            error = await refused(Egress(EgressPolicy({}, ())), peer.address, label)
            assert error.failure is Failure.NOT_CLEARED

        assert peer.sessions == []
    assert network.connected == []


async def test_ipv6_is_spoken() -> None:
    async with serving(answering(OK), host="::1") as peer, wire_to(peer.address) as wire:
        assert await fetch(wire, peer.address) == (200, b"ok")
        assert f"host: [::1]:{peer.address.port}\r\n".encode() in peer.received
