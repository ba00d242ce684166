"""Requests and answers over real sockets: every framing, every cut, every early end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.wire import FixedHeaders
from tests.integration.wire.answers import ANSWERS, BROKEN, BROKEN_BODIES, Answer, by_length, chunked
from tests.integration.wire.peer import DEADLINE_S, Session, answering, ask, fetch, serving, wire_to

if TYPE_CHECKING:
    from collections.abc import Iterable


@pytest.mark.parametrize("streamed", [False, True], ids=["read", "chunks"])
@pytest.mark.parametrize("answer", ANSWERS, ids=str)
async def test_an_answer_is_the_same_wherever_it_is_cut(answer: Answer, streamed: bool) -> None:
    raw = answer.raw
    ways: list[list[bytes]] = [[raw], [raw[i : i + 1] for i in range(len(raw))], *([raw[:cut], raw[cut:]] for cut in range(1, len(raw)))]
    scripts = iter(ways)

    async def script(session: Session) -> None:
        while await session.request():
            await session.send(*next(scripts))
            if answer.until_close:
                return

    async with serving(script) as peer, wire_to(peer.address) as wire:
        for _ in ways:
            assert await fetch(wire, peer.address, method=answer.method, streamed=streamed) == (answer.status, answer.body)

        assert len(peer.sessions) == (1 if answer.reusable else len(ways))


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
async def test_an_answer_cut_after_any_byte_is_never_a_clean_end(answer: Answer) -> None:
    cuts = iter(range(len(answer.raw)))
    head = answer.raw.index(b"\r\n\r\n") + 4

    async def script(session: Session) -> None:
        await session.request()
        await session.send(answer.raw[: next(cuts)])

    async with serving(script) as peer, wire_to(peer.address) as wire:
        for cut in range(len(answer.raw)):
            if answer.until_close and cut >= head:
                assert await fetch(wire, peer.address) == (answer.status, answer.raw[head:cut])
                continue
            with pytest.raises(UpstreamError) as caught:
                await fetch(wire, peer.address, method=answer.method, streamed=cut % 2 == 0)
            assert caught.value.failure is (Failure.BROKEN if cut else Failure.UNREACHABLE)
            assert caught.value.sent


@pytest.mark.parametrize("raw", [*BROKEN.values(), *BROKEN_BODIES.values()], ids=[*BROKEN, *BROKEN_BODIES])
async def test_a_malformed_answer_is_broken_and_its_connection_closed(raw: bytes) -> None:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(raw)
        await session.until_closed()

    async with serving(script) as peer, wire_to(peer.address) as wire:
        with pytest.raises(UpstreamError) as caught:
            await fetch(wire, peer.address)

        assert caught.value.failure is Failure.BROKEN
        if raw not in BROKEN_BODIES.values():
            async with asyncio.timeout(DEADLINE_S):
                await peer.sessions[0].closed.wait()


async def test_the_server_receives_the_request_as_it_was_given() -> None:
    async with serving(answering(by_length(b"ok"))) as peer, wire_to(peer.address) as wire:
        response = await ask(wire, peer.address, path="/v1/chat?x=%20", headers=[("Authorization", "Bearer k")], body=b'{"a": 1}')
        await response.read(DEADLINE_S)

        assert (
            peer.received
            == (
                f"POST /v1/chat?x=%20 HTTP/1.1\r\nhost: 127.0.0.1:{peer.address.port}\r\naccept-encoding: identity\r\n"
                'Authorization: Bearer k\r\ncontent-length: 8\r\n\r\n{"a": 1}'
            ).encode()
        )


async def test_headers_that_are_kept_are_written_for_each_path_and_body() -> None:
    headers = FixedHeaders([("authorization", "Bearer k"), ("host", "elsewhere")])
    async with serving(answering(*[by_length(b"ok")] * 3)) as peer, wire_to(peer.address) as wire:
        for path, body in (("/a", b"1"), ("/b", b"22"), ("/a", b"333")):
            await (await ask(wire, peer.address, path=path, headers=headers, body=body)).read(DEADLINE_S)

        start = f" HTTP/1.1\r\nhost: 127.0.0.1:{peer.address.port}\r\naccept-encoding: identity\r\nauthorization: Bearer k\r\ncontent-length: "
        assert peer.received.decode() == f"POST /a{start}1\r\n\r\n1POST /b{start}2\r\n\r\n22POST /a{start}3\r\n\r\n333"


async def test_headers_that_are_kept_cannot_break_out_of_their_lines_either() -> None:
    async with serving(answering(by_length(b"ok"))) as peer, wire_to(peer.address) as wire:
        for _ in range(2):
            with pytest.raises(UpstreamError) as caught:
                await ask(wire, peer.address, headers=FixedHeaders([("a", "b\r\nc: d")]))
            assert caught.value.failure is Failure.OPERATOR


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 40_000

    async with serving(answering(by_length(b"ok"), by_length(b"again"))) as peer, wire_to(peer.address) as wire:
        first = await (await ask(wire, peer.address, body=body)).read(DEADLINE_S)
        second = await (await ask(wire, peer.address)).read(DEADLINE_S)

        assert (first, second) == (b"ok", b"again")
        assert len(peer.sessions) == 1
        assert body in peer.received


async def test_headers_are_found_by_their_lower_case_names() -> None:
    async with serving(answering(by_length(b"ok", "X-RateLimit-Remaining: 7", "RETRY-AFTER: 3"))) as peer, wire_to(peer.address) as wire:
        response = await ask(wire, peer.address)

        assert (response.headers["x-ratelimit-remaining"], response.headers["retry-after"]) == ("7", "3")
        assert await response.read(DEADLINE_S) == b"ok"


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with serving(answering(by_length(b""))) as elsewhere:
        moved = by_length(b"moved", f"Location: http://127.0.0.1:{elsewhere.address.port}/", status="307 Temporary Redirect")
        async with serving(answering(moved)) as peer, wire_to(peer.address, elsewhere.address) as wire:
            assert await fetch(wire, peer.address) == (307, b"moved")
            assert elsewhere.sessions == []


async def test_proxies_and_cookies_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answering(by_length(b""))) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.address.port}")
        async with serving(answering(by_length(b"ok", "Set-Cookie: a=b"))) as peer, wire_to(peer.address) as wire:
            for _ in range(2):
                assert await fetch(wire, peer.address) == (200, b"ok")

            assert proxy.sessions == []
            assert b"cookie" not in peer.received.lower()


@pytest.mark.parametrize("then", ["close", "reset", "wait"])
async def test_an_answer_that_comes_before_the_request_is_out_is_read(then: str) -> None:
    refusal = by_length(b"too large", status="413 Content Too Large")

    async def script(session: Session) -> None:
        await session.reader.readuntil(b"\r\n\r\n")
        await session.send(refusal)
        if then == "wait":
            await session.closed.wait()
        if then == "reset":
            session.reset()

    async with serving(script) as peer, wire_to(peer.address) as wire:
        response = await ask(wire, peer.address, body=b"a" * 20_000_000)

        assert response.status == 413
        assert await response.read(DEADLINE_S) == b"too large"
        assert wire._live == set() or all(not connection.is_open for connection in wire._live)


async def test_chunks_arrive_while_the_answer_is_still_being_written() -> None:
    go_on = asyncio.Event()

    async def script(session: Session) -> None:
        await session.request()
        head, _, rest = chunked(b"one", b"two").partition(b"3\r\ntwo")
        await session.send(head)
        await go_on.wait()
        await session.send(b"3\r\ntwo" + rest)

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        response = await ask(wire, peer.address)
        chunks = response.chunks()
        first = await anext(chunks)
        go_on.set()

        assert (first, [chunk async for chunk in chunks]) == (b"one", [b"two"])


def _pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 64])
async def test_many_requests_at_once_each_get_their_own_answer(size: int) -> None:
    async def script(session: Session) -> None:
        while request := await session.request():
            await session.send(*_pieces(chunked(b"re: ", request.partition(b"\r\n\r\n")[2]), size))

    async with serving(script) as peer, wire_to(peer.address) as wire:

        async def one(number: int) -> tuple[bytes, bytes]:
            question = b"question %d" % number
            response = await ask(wire, peer.address, body=question)
            return question, await response.read(DEADLINE_S)

        answers = await asyncio.gather(*(one(number) for number in range(50)))

        assert all(answer == b"re: " + question for question, answer in answers)
