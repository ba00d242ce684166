from __future__ import annotations

from typing import Any

import pytest

from app.domain import Failure, Label
from app.errors import UpstreamError
from app.providers.ask import ask
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


async def test_a_local_server_that_is_down_comes_with_its_command() -> None:
    with pytest.raises(UpstreamError) as caught:
        await asked(UpstreamError(Failure.UNREACHABLE, sent=False), provider="ollama_chat")

    assert caught.value.remedy == "Start it with `ollama serve`."


async def test_without_an_address_nobody_is_asked() -> None:
    with pytest.raises(UpstreamError):
        await asked(FakeResponse(), address=None)
