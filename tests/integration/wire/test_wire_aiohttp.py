"""Another client, long in use, makes the same of the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from app.errors import UpstreamError
from tests.integration.wire.answers import ANSWERS, Answer, by_length
from tests.integration.wire.peer import DEADLINE_S, Session, ask, fetch, serving, wire_to

if TYPE_CHECKING:
    from app.domain import Address
    from app.providers.wire import Wire
    from tests.integration.wire.peer import Script

FAILED = "failed"


def closing_after(raw: bytes) -> Script:
    async def script(session: Session) -> None:
        await session.request()
        await session.send(raw)

    return script


async def ours(wire: Wire, target: Address, method: str) -> tuple[int, bytes] | str:
    try:
        return await fetch(wire, target, method=method)
    except UpstreamError:
        return FAILED


async def theirs(client: aiohttp.ClientSession, target: Address, method: str) -> tuple[int, bytes] | str:
    try:
        async with client.request(method, str(target), data=b"{}", allow_redirects=False) as response:
            return response.status, await response.read()
    except aiohttp.ClientError:
        return FAILED


def client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S), headers={"accept-encoding": "identity"})


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
async def test_both_clients_read_the_same(answer: Answer) -> None:
    async with serving(closing_after(answer.raw)) as peer, wire_to(peer.address) as wire, client() as other:
        assert await ours(wire, peer.address, answer.method) == await theirs(other, peer.address, answer.method) == (answer.status, answer.body)


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
async def test_both_clients_fail_at_the_same_cuts(answer: Answer) -> None:
    differing = []
    for cut in range(len(answer.raw)):
        async with serving(closing_after(answer.raw[:cut])) as peer, wire_to(peer.address) as wire, client() as other:
            mine, its = await ours(wire, peer.address, answer.method), await theirs(other, peer.address, answer.method)
        if mine != its:
            differing.append((cut, mine, its))

    assert differing == []


async def test_both_clients_see_the_same_headers() -> None:
    raw = by_length(b"", "X-One: 1", "X-Two: a", "x-two: b", "X-Empty:", "X-Spaces:   a  b  ")
    async with serving(closing_after(raw)) as peer, wire_to(peer.address) as wire, client() as other:
        mine = (await ask(wire, peer.address)).headers
        async with other.post(str(peer.address)) as response:
            its = {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}

    assert dict(mine) == its
