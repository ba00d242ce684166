"""TLS: verified by name, after the peer was admitted, and never a byte before."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

import pytest

from app.config.sections import LOCAL_NETWORKS
from app.domain import Address, EgressPolicy, Failure, Label
from app.errors import UpstreamError
from app.providers.egress import Egress
from tests.integration.wire.answers import by_length, chunked
from tests.integration.wire.peer import DEADLINE_S, Session, answering, ask, fetch, make_egress, serving, wire_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.providers.wire import Wire
    from tests.integration.wire.certificates import Authority

OK = by_length(b"ok")
NAME = "llm.test"


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name lead to loopback."""

    def resolve(_: str, port: int, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@asynccontextmanager
async def trusting(authority: Authority, *targets: Address) -> AsyncIterator[Wire]:
    async with wire_to(*targets, tls=authority.client_context) as wire:
        yield wire


async def test_a_verified_server_is_spoken_to_and_kept(authority: Authority) -> None:
    async with serving(answering(OK, chunked(b"a", b"b")), tls=authority.server_context(NAME)) as peer:
        target = Address("https", NAME, peer.address.port)
        async with trusting(authority, target) as wire:
            assert await fetch(wire, target) == (200, b"ok")
            assert await fetch(wire, target, streamed=True) == (200, b"ab")

        assert len(peer.sessions) == 1
        assert f"host: {NAME}:{target.port}\r\n".encode() in peer.received


async def test_the_name_and_http_1_1_are_announced(authority: Authority) -> None:
    announced = []
    context = authority.server_context(NAME)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _, name, __: announced.append(name)

    async with serving(answering(OK), tls=context) as peer:
        target = Address("https", "LLM.test.", peer.address.port)
        async with trusting(authority, target) as wire:
            await fetch(wire, target)
        chosen = peer.sessions[0].writer.get_extra_info("ssl_object").selected_alpn_protocol()

    assert (announced, chosen) == ([NAME], "http/1.1")


async def test_a_certificate_may_be_for_an_ip_literal(authority: Authority) -> None:
    async with serving(answering(OK), tls=authority.server_context("127.0.0.1")) as peer, trusting(authority, peer.address) as wire:
        assert await fetch(wire, peer.address) == (200, b"ok")


async def test_a_large_body_and_a_large_answer_pass(authority: Authority) -> None:
    answer = by_length(b"b" * 5_000_000)
    async with serving(answering(answer), tls=authority.server_context(NAME)) as peer:
        target = Address("https", NAME, peer.address.port)
        async with trusting(authority, target) as wire:
            response = await ask(wire, target, body=b"a" * 5_000_000)

            assert await response.read(DEADLINE_S) == b"b" * 5_000_000
        assert peer.received.count(b"a") >= 5_000_000


async def _refusal(wire: Wire, target: Address) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await ask(wire, target, body=b"secret")
    return caught.value


@pytest.mark.parametrize("fault", ["another name", "unknown authority", "old TLS", "no TLS"])
async def test_a_server_that_cannot_be_verified_is_unreachable_and_reads_nothing(fault: str, authority: Authority, stranger: Authority) -> None:
    contexts = {
        "another name": authority.server_context("other.test"),
        "unknown authority": stranger.server_context(NAME),
        "old TLS": _only_old(authority.server_context(NAME)),
        "no TLS": None,
    }

    async def greet(session: Session) -> None:
        await session.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    script = greet if fault == "no TLS" else answering(OK)
    async with serving(script, tls=contexts[fault]) as peer:
        target = Address("https", NAME, peer.address.port)
        async with trusting(authority, target) as wire:
            error = await _refusal(wire, target)

        assert (error.failure, error.sent) == (Failure.UNREACHABLE, False)
        assert str(error.remedy).startswith(f"TLS with {target} failed")
        assert b"secret" not in peer.received


def _only_old(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


async def test_the_default_context_trusts_no_authority_of_our_own(authority: Authority) -> None:
    async with serving(answering(OK), tls=authority.server_context(NAME)) as peer:
        target = Address("https", NAME, peer.address.port)
        async with wire_to(target) as wire:
            error = await _refusal(wire, target)

        assert (error.failure, error.sent) == (Failure.UNREACHABLE, False)
        assert "certificate" in str(error.remedy)


async def test_not_even_a_client_hello_leaves_for_a_peer_that_is_refused(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    async with serving(Session.until_closed) as elsewhere, asyncio.timeout(DEADLINE_S):
        port = elsewhere.address.port
        monkeypatch.setattr(loop, "sock_connect", lambda sock, _: connect(sock, ("127.0.0.1", port)))
        target = Address("https", "127.0.0.9", port)
        egress = Egress(EgressPolicy({target: Label.CONFIDENTIAL}, (IPv4Network("127.0.0.9/32"),)))
        async with wire_to(egress=egress, tls=authority.client_context) as wire:
            error = await _refusal(wire, target)
        while not elsewhere.sessions:  # noqa: ASYNC110 - until the server has accepted what was connected
            await asyncio.sleep(0)
        await elsewhere.sessions[0].closed.wait()

        assert error.failure is Failure.NOT_CLEARED
        assert elsewhere.received == b""


async def test_a_trusted_host_without_a_network_is_reached_over_verified_tls_alone(authority: Authority, stranger: Authority) -> None:
    async def outcome(signer: Authority | None) -> Failure | int:
        async with serving(answering(OK), tls=None if signer is None else signer.server_context(NAME)) as peer:
            target = Address("http" if signer is None else "https", NAME, peer.address.port)
            egress = Egress(EgressPolicy({target: Label.CONFIDENTIAL}, (), {NAME: None}))
            async with wire_to(egress=egress, tls=authority.client_context) as wire:
                try:
                    return (await fetch(wire, target))[0]
                except UpstreamError as error:
                    return error.failure

    assert await outcome(authority) == 200
    assert await outcome(stranger) is Failure.UNREACHABLE
    assert await outcome(None) is Failure.NOT_CLEARED


async def test_a_handshake_that_never_ends_is_a_time_out_and_the_server_sees_the_end(authority: Authority) -> None:
    async with serving(Session.until_closed) as peer, asyncio.timeout(DEADLINE_S):
        target = Address("https", NAME, peer.address.port)
        async with trusting(authority, target) as wire:
            with pytest.raises(UpstreamError) as caught:
                await ask(wire, target, connect_s=0.1)
            await peer.sessions[0].closed.wait()

        assert (caught.value.failure, caught.value.sent) == (Failure.TIMEOUT, False)


async def test_cancelling_during_the_handshake_is_seen_by_the_server(authority: Authority) -> None:
    hello = asyncio.Event()

    async def script(session: Session) -> None:
        await session.reader.read(1)
        hello.set()
        await session.until_closed()

    async with serving(script) as peer, asyncio.timeout(DEADLINE_S):
        target = Address("https", NAME, peer.address.port)
        async with trusting(authority, target) as wire:
            task = asyncio.create_task(ask(wire, target))
            await hello.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await peer.sessions[0].closed.wait()


async def test_cancelling_a_request_over_tls_is_seen_by_the_server(authority: Authority) -> None:
    arrived = asyncio.Event()

    async def script(session: Session) -> None:
        await session.request()
        arrived.set()
        await session.until_closed()

    async with serving(script, tls=authority.server_context(NAME)) as peer, asyncio.timeout(DEADLINE_S):
        target = Address("https", NAME, peer.address.port)
        async with trusting(authority, target) as wire:
            task = asyncio.create_task(ask(wire, target))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await peer.sessions[0].closed.wait()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("announced", [False, True])
async def test_a_body_that_ends_with_the_connection_needs_the_servers_word_for_the_end(announced: bool, streamed: bool, authority: Authority) -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        if not announced:  # the end that TCP has, which anybody on the way can send
            with socket.socket(fileno=socket.dup(session.writer.get_extra_info("socket").fileno())) as raw:
                raw.shutdown(socket.SHUT_WR)
            await session.until_closed()

    async with serving(script, tls=authority.server_context(NAME)) as peer, asyncio.timeout(DEADLINE_S):
        target = Address("https", NAME, peer.address.port)
        async with trusting(authority, target) as wire:
            if announced:
                assert await fetch(wire, target, streamed=streamed) == (200, b"hello")
                return
            with pytest.raises(UpstreamError) as caught:
                await fetch(wire, target, streamed=streamed)

        assert caught.value.failure is Failure.BROKEN


async def test_an_address_with_its_own_authorities_is_held_to_them_and_to_no_other(authority: Authority, stranger: Authority) -> None:
    async with (
        serving(answering(OK), tls=stranger.server_context(NAME)) as own,
        serving(answering(OK), tls=authority.server_context(NAME)) as common,
    ):
        ours, theirs = Address("https", NAME, own.address.port), Address("https", NAME, common.address.port)
        policy = EgressPolicy({ours: Label.CONFIDENTIAL, theirs: Label.CONFIDENTIAL}, LOCAL_NETWORKS, authorities={ours: stranger.file})
        swapped = EgressPolicy(policy.clearances, LOCAL_NETWORKS, authorities={ours: authority.file, theirs: stranger.file})
        async with wire_to(egress=Egress(policy), tls=authority.client_context) as wire:
            assert await fetch(wire, ours) == (200, b"ok")
            assert await fetch(wire, theirs) == (200, b"ok")
            wire.replace_egress(Egress(swapped))
            for target in (ours, theirs):
                with pytest.raises(UpstreamError) as caught:
                    await fetch(wire, target)
                assert "certificate" in str(caught.value.remedy)


async def test_own_authorities_change_nothing_of_the_name_that_is_verified(authority: Authority) -> None:
    async with serving(answering(OK), tls=authority.server_context("other.test")) as peer:
        target = Address("https", NAME, peer.address.port)
        policy = EgressPolicy({target: Label.CONFIDENTIAL}, LOCAL_NETWORKS, authorities={target: authority.file})
        async with wire_to(egress=Egress(policy)) as wire:
            with pytest.raises(UpstreamError):
                await fetch(wire, target)


async def test_tls_is_set_up_once_and_only_when_it_is_needed(authority: Authority) -> None:
    made = []

    def make() -> ssl.SSLContext:
        made.append(1)
        return authority.client_context()

    plain = answering(OK)
    async with serving(plain) as http, serving(answering(by_length(b"ok", "Connection: close")), tls=authority.server_context(NAME)) as https:
        secure = Address("https", NAME, https.address.port)
        async with wire_to(egress=make_egress(http.address, secure), tls=make) as wire:
            await fetch(wire, http.address)
            before = len(made)
            await fetch(wire, secure)
            await fetch(wire, secure)

    assert (before, len(made)) == (0, 1)
