from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.domain import Failure, Label
from app.errors import UpstreamError
from app.providers.ask import ask
from app.providers.faults import TEXT_LIMIT_BYTES
from tests.integration.wire.peer import DEADLINE_S, Session, serving, wire_to
from tests.unit.providers.test_relay import FakeResponse, FakeWire, deployment

TIMES = {"connect_s": 1.0, "timeout_s": 1.0, "idle_s": 1.0}


async def asked(outcome: FakeResponse | UpstreamError, **fields: Any) -> Any:
    wire: Any = FakeWire(outcome)
    return await ask(wire, Label.PUBLIC, deployment(**fields), path="/v1/x", headers=(), body=b"{}", **TIMES)


async def test_a_2xx_response_is_returned_unread() -> None:
    response = FakeResponse(201)

    assert await asked(response) is response
    assert not response.closed


@pytest.mark.parametrize(("status", "failure"), [(302, Failure.OPERATOR), (405, Failure.OPERATOR), (422, Failure.REJECTED), (500, Failure.BROKEN)])
async def test_every_other_status_is_a_failure_and_the_response_is_closed(status: int, failure: Failure) -> None:
    response = FakeResponse(status, b"no")

    with pytest.raises(UpstreamError) as caught:
        await asked(response)

    assert caught.value.failure is failure
    assert response.closed


async def test_of_an_error_only_the_start_is_read_and_the_connection_closed() -> None:
    async def endless(session: Session) -> None:
        await session.request()
        await session.send(b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not session.writer.transport.is_closing():
            await session.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    async with serving(endless) as peer, wire_to(peer.address) as wire, asyncio.timeout(DEADLINE_S):
        with pytest.raises(UpstreamError) as caught:
            await ask(wire, Label.PUBLIC, deployment(address=peer.address), path="/", headers=(), body=b"{}", connect_s=5, timeout_s=60, idle_s=60)

    assert caught.value.failure is Failure.REJECTED
    assert caught.value.provider_text == "x" * TEXT_LIMIT_BYTES


async def test_a_local_server_that_is_down_comes_with_its_command() -> None:
    with pytest.raises(UpstreamError) as caught:
        await asked(UpstreamError(Failure.UNREACHABLE, sent=False), provider="ollama_chat")

    assert caught.value.remedy == "Start it with `ollama serve`."


async def test_without_an_address_nobody_is_asked() -> None:
    with pytest.raises(UpstreamError):
        await asked(FakeResponse(), address=None)
