"""Whatever a server sends, in whatever pieces, a request ends, and with nothing but an answer or an UpstreamError."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Failure
from app.errors import UpstreamError
from tests.integration.wire.answers import ANSWERS, by_length
from tests.integration.wire.peer import DEADLINE_S, Session, fetch, serving, wire_to

PIECES = st.lists(
    st.one_of(
        st.sampled_from([answer.raw for answer in ANSWERS]),
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\n",
                b"Content-Length: 5\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"\r\n",
                b"5\r\nhello\r\n",
                b"0\r\n\r\n",
                b"HTTP/1.1 100 \r\n\r\n",
            ]
        ),
        st.binary(min_size=1, max_size=30),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(PIECES, st.sampled_from(["close", "reset"]), st.booleans(), st.sampled_from(["POST", "HEAD"]))
async def test_a_request_ends_whatever_the_server_sends(pieces: list[bytes], end: str, streamed: bool, method: str) -> None:
    async def script(session: Session) -> None:
        if b"/v1" in await session.request():
            await session.send(*pieces)
            if end == "reset":
                session.reset()

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        try:
            status, _ = await fetch(wire, peer.address, method=method, streamed=streamed)
        except UpstreamError as error:
            status = 502
            failure = error.failure
        else:
            failure = Failure.BROKEN

    assert 200 <= status < 600
    assert failure in (Failure.BROKEN, Failure.UNREACHABLE)


@settings(max_examples=40, deadline=None)
@given(PIECES)
async def test_what_one_server_sends_never_spoils_the_next_answer_of_another_connection(pieces: list[bytes]) -> None:
    first = True

    async def script(session: Session) -> None:
        nonlocal first
        garbled, first = first, False
        while await session.request():
            if garbled:
                await session.send(*pieces)
                return
            await session.send(by_length(b"sound"))

    async with serving(script) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        with suppress(UpstreamError):
            await fetch(wire, peer.address)
        while wire._live:  # noqa: ASYNC110 - until the wire has seen the end of that connection
            await asyncio.sleep(0)

        assert await fetch(wire, peer.address) == (200, b"sound")
