"""Requests that are answered again from callers that are known, over real connections: told, counted, logged and limited as any other."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY

from app.utils import logging
from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.test_http_front import answer_of, body_of, config_of, send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.domain import Tenant
    from tests.simulators import OpenAISimulator

PATH = "/v1/chat/completions"
COUNTED = [
    ("sluice_requests_total", {"route": PATH, "status": "200"}),
    ("sluice_request_seconds_count", {"route": PATH}),
    ("sluice_cache_total", {"state": "hit"}),
    ("sluice_in_flight", {}),
]
VARYING = ("server-timing", "x-request-id", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "date")


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator) -> Iterator[GatewayServer]:
    with serve(tmp_path, config_of(cloud), gateway_api_keys="one:key-one,two:key-two", rate_limit_per_minute=8) as server:
        yield server


@pytest.fixture
def shortened(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request from a known caller was answered by its bytes."""
    from app.shortcut import Shortcut  # noqa: PLC0415 -- patched here alone

    told: list[bool] = []
    find, answer = Shortcut.find, Shortcut.answer

    def finding(self: Shortcut, *given: Any) -> Any:
        told.append(False)
        return find(self, *given)

    def noting(self: Shortcut, *given: Any) -> bytes | None:
        found = answer(self, *given)
        told[-1] = found is not None
        return found

    monkeypatch.setattr(Shortcut, "find", finding)
    monkeypatch.setattr(Shortcut, "answer", noting)
    return told


@pytest.fixture
def authenticated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tenants of requests whose heads were read: those that are known are not asked again."""
    from app.access import Access  # noqa: PLC0415 -- as above

    told: list[str] = []
    find = Access.tenant

    def noting(self: Access, *given: Any) -> Tenant:
        found = find(self, *given)
        told.append(found.name)
        return found

    monkeypatch.setattr(Access, "tenant", noting)
    return told


def request_of(*lines: str, key: str = "key-one", body: bytes | None = None) -> bytes:
    body = body_of() if body is None else body
    head = [
        f"POST {PATH} HTTP/1.1",
        "host: localhost",
        "content-type: application/json",
        f"authorization: Bearer {key}",
        *lines,
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(head).encode() + body


async def ask(gateway: GatewayServer, *requests: bytes) -> list[tuple[int, dict[str, str], Any]]:
    """Send requests one after another on one connection."""
    answers = []
    reader, writer = await send(gateway.port, b"")
    for request in requests:
        writer.write(request)
        answers.append(await answer_of(reader))
    writer.close()
    return answers


def but(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}


def counts() -> list[float]:
    return [REGISTRY.get_sample_value(name, labels) or 0 for name, labels in COUNTED]


async def test_a_known_callers_answer_is_told_counted_and_logged_like_any_other(gateway: GatewayServer, shortened: list[bool]) -> None:
    output = io.StringIO()
    logging.configure("info", readable=False, stream=output)
    before = counts()
    _, second, third = await ask(gateway, *[request_of()] * 3)
    async with asyncio.timeout(5):
        while (after := counts())[0] < before[0] + 3:  # noqa: ASYNC110 -- the gateway's thread sets no event of this loop
            await asyncio.sleep(0.01)
    logging.configure("info", readable=False)
    lines = [event for event in map(json.loads, output.getvalue().splitlines()) if event["event"] == "request"]

    assert shortened == [False, True]
    assert second[2] == third[2]
    assert list(second[1]) == list(third[1])
    assert but(second[1], *VARYING) == but(third[1], *VARYING)
    assert third[1]["server-timing"].startswith("assess;dur=")
    assert (second[1]["x-ratelimit-remaining-requests"], third[1]["x-ratelimit-remaining-requests"]) == ("6", "5")
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 3, 2, 0]
    assert list(lines[1]) == list(lines[2])
    assert but(lines[1], "time", "ms", "request_id") == but(lines[2], "time", "ms", "request_id")
    assert [line["request_id"] for line in lines[1:]] == [second[1]["x-request-id"], third[1]["x-request-id"]]


async def test_a_known_callers_new_request_is_told_counted_and_logged_like_any_other(
    gateway: GatewayServer, cloud: OpenAISimulator, shortened: list[bool], authenticated: list[str]
) -> None:
    output = io.StringIO()
    logging.configure("info", readable=False, stream=output)
    before = counts()
    (_, first, _), (_, second, _) = await ask(gateway, request_of(), request_of(body=body_of().replace(b"hello", b"again")))
    async with asyncio.timeout(5):
        while (after := counts())[0] < before[0] + 2:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.01)
    logging.configure("info", readable=False)
    lines = [event for event in map(json.loads, output.getvalue().splitlines()) if event["event"] == "request"]

    assert shortened == [False]
    assert authenticated == ["one"]
    assert list(first) == list(second)
    assert but(first, *VARYING) == but(second, *VARYING)
    assert len(cloud.requests) == 2
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 2, 0, 0]
    assert list(lines[0]) == list(lines[1])
    assert [line["request_id"] for line in lines] == [first["x-request-id"], second["x-request-id"]]


async def test_a_known_caller_is_limited_like_any_other(gateway: GatewayServer, shortened: list[bool]) -> None:
    answers = await ask(gateway, *[request_of()] * 10)

    assert [status for status, _, _ in answers] == [200] * 8 + [429] * 2
    assert answers[-1][2]["error"]["code"] == "rate_limit_exceeded"
    assert sum(shortened) == 6


async def test_what_one_caller_is_known_by_is_nothing_for_another(gateway: GatewayServer, shortened: list[bool]) -> None:
    await ask(gateway, *[request_of()] * 3)
    shortened.clear()

    (refused, _, _), (other, headers, _) = await ask(gateway, request_of(key="key-none"), request_of(key="key-two"))

    assert (refused, other, headers["x-gateway-cache"]) == (401, 200, "miss")
    assert shortened == []


async def test_what_is_left_of_an_address_is_no_part_of_a_head(gateway: GatewayServer, shortened: list[bool]) -> None:
    """As in `127.0.0.11` and `POST`, and in `127.0.0.1` and `1POST`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, local_addr=("127.0.0.11", 0))
    for _ in range(3):
        writer.write(request_of())
        assert (await answer_of(reader))[0] == 200
    writer.close()
    shortened.clear()

    reader, writer = await send(gateway.port, b"1" + request_of())
    status, _, _ = await answer_of(reader)
    writer.close()

    assert (status, shortened) == (400, [])


async def test_a_head_within_another_is_not_known(gateway: GatewayServer, shortened: list[bool]) -> None:
    outer = b"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer key-one\r\nx-a: "
    inner = request_of().replace(b"authorization: Bearer key-one\r\n", b"")
    reader, writer = await send(gateway.port, request_of() + outer)
    first, _, _ = await answer_of(reader)
    writer.write(inner)
    second, _, _ = await answer_of(reader)
    writer.close()
    shortened.clear()

    [(alone, _, _)] = await ask(gateway, inner)

    assert (first, second, alone, shortened) == (200, 200, 401, [])


async def test_a_callers_own_id_and_wishes_are_read_each_time(gateway: GatewayServer, shortened: list[bool]) -> None:
    await ask(gateway, *[request_of()] * 2)

    (_, named, _), (_, fresh, _), (wrong, _, _) = await ask(
        gateway, request_of("x-request-id: mine"), request_of("cache-control: no-cache"), request_of("x-sensitivity: nonsense")
    )

    assert (named["x-request-id"], fresh["x-gateway-cache"], wrong) == ("mine", "bypass", 400)
    assert shortened == [False]


async def test_a_request_that_comes_in_pieces_or_behind_another_is_read_like_any_other(gateway: GatewayServer, shortened: list[bool]) -> None:
    await ask(gateway, *[request_of()] * 2)
    shortened.clear()
    reader, writer = await send(gateway.port, request_of()[:-3])
    await asyncio.sleep(0.05)
    writer.write(request_of()[-3:])
    in_pieces = await answer_of(reader)
    writer.write(request_of() * 2)
    behind = [await answer_of(reader), await answer_of(reader)]
    writer.write(request_of())
    alone = await answer_of(reader)
    writer.close()

    assert [status for status, _, _ in (in_pieces, *behind, alone)] == [200] * 4
    assert shortened == [True]


async def test_a_connection_that_is_about_to_end_says_so_to_a_known_caller_too(gateway: GatewayServer) -> None:
    await ask(gateway, *[request_of()] * 3)
    reader, writer = await send(gateway.port, request_of())
    await answer_of(reader)
    connections: set[Any] = gateway.state.connections  # those of our own protocol
    for connection in list(connections):
        connection._ending = True  # the server's end, without waiting for it
    writer.write(request_of())
    _, headers, _ = await answer_of(reader)
    rest = await reader.read()
    writer.close()

    assert (headers["connection"], rest) == ("close", b"")
