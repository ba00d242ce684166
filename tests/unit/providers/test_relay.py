from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Address, Call, Deployment, Failure, Label, LaneName
from app.errors import UpstreamError
from app.providers.relay import RelayLane, post_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class FakeResponse:
    head_by = 0.0

    def __init__(self, status: int = 200, body: bytes = b"{}") -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self._body = body
        self.closed = False
        self.taker: Callable[[bytes], bool] | None = None

    async def read(self, timeout_s: float) -> bytes:  # noqa: ARG002 - the wire's
        return self._body

    async def read_start(self, timeout_s: float, limit_bytes: int) -> bytes:  # noqa: ARG002 - the wire's
        self.close()
        return self._body[:limit_bytes]

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    def offer(self, take: Callable[[bytes], bool]) -> None:
        self.taker = take

    def close(self) -> None:
        self.closed = True


class FakeWire:
    def __init__(self, outcome: FakeResponse | UpstreamError) -> None:
        self.outcome = outcome
        self.asked: dict[str, Any] = {}

    async def request(self, label: Label, target: Address, **asked: Any) -> FakeResponse:
        self.asked = {"label": label, "target": target, **asked, "headers": dict(asked["headers"])}
        if isinstance(self.outcome, UpstreamError):
            raise self.outcome
        return self.outcome


def deployment(provider: str = "openai", base: str = "http://127.0.0.1:1/v1", **fields: Any) -> Deployment:
    address = Address("http", "127.0.0.1", 1)
    given: dict[str, Any] = {"name": "d", "model": "gpt", "lane": LaneName.RELAY, "clearance": Label.INTERNAL, "api_key": "k", "address": address} | fields
    return Deployment(provider=provider, base_url=base, **given)


def call(target: Deployment, *, stream: bool = False, **body: Any) -> Call:
    return Call(deployment=target, label=Label.INTERNAL, body={"model": "auto", **body}, stream=stream, headers=(("openai-beta", "x"),))


def lane(wire: FakeWire) -> RelayLane:
    given: Any = wire
    return RelayLane(given)


async def test_the_body_goes_out_as_it_came_with_the_deployments_model() -> None:
    wire = FakeWire(FakeResponse(body=b'{"id": 1}'))

    answer = await lane(wire).open(call(deployment(), future=[1]))

    assert json.loads(wire.asked["body"]) == {"model": "gpt", "future": [1]}
    assert wire.asked["path"] == "/v1/chat/completions"
    assert wire.asked["headers"]["authorization"] == "Bearer k"
    assert wire.asked["headers"]["openai-beta"] == "x"
    assert await answer.body() == b'{"id": 1}'


@pytest.mark.parametrize(("provider", "expected"), [("openai", {"include_usage": True, "x": 1}), ("mistral", None)])
async def test_usage_is_asked_for_on_streams_where_the_provider_takes_it(provider: str, expected: dict[str, Any] | None) -> None:
    wire = FakeWire(FakeResponse())
    asked = call(deployment(provider), stream=True, stream_options={"x": 1})

    answer = await lane(wire).open(asked)

    assert json.loads(wire.asked["body"]).get("stream_options") == expected
    assert asked.body["stream_options"] == {"x": 1}
    assert [chunk async for chunk in answer.events()] == [b"{}"]


async def test_a_streams_bytes_are_offered_as_they_arrive() -> None:
    response = FakeResponse()
    answer = await lane(FakeWire(response)).open(call(deployment(), stream=True))

    answer.offer(bool)

    assert response.taker is bool


async def test_azure_has_its_own_path_and_header() -> None:
    wire = FakeWire(FakeResponse())

    await lane(wire).open(call(deployment("azure", "http://127.0.0.1:1", params={"api_version": "2024-10-21"})))

    assert wire.asked["path"] == "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    assert wire.asked["headers"]["api-key"] == "k"
    assert "authorization" not in wire.asked["headers"]


async def test_a_deployment_that_a_reload_has_changed_is_asked_with_its_new_key_and_address() -> None:
    wire = FakeWire(FakeResponse())
    relay = lane(wire)
    asked = []
    for key, base in (("old", "http://127.0.0.1:1/v1"), ("new", "http://127.0.0.1:1/v2")):
        await relay.open(call(deployment(base=base, api_key=key)))
        asked.append((wire.asked["path"], wire.asked["headers"]["authorization"]))

    assert asked == [("/v1/chat/completions", "Bearer old"), ("/v2/chat/completions", "Bearer new")]


async def test_without_a_key_nothing_is_claimed() -> None:
    wire = FakeWire(FakeResponse())

    await lane(wire).open(call(deployment(api_key=None)))

    assert "authorization" not in wire.asked["headers"]


async def test_another_status_is_a_failure_and_the_response_is_closed() -> None:
    response = FakeResponse(429, b'{"error": {"message": "slow down"}}')

    with pytest.raises(UpstreamError) as caught:
        await lane(FakeWire(response)).open(call(deployment()))

    assert caught.value.failure is Failure.RATE_LIMITED
    assert response.closed


async def test_an_unreachable_provider_passes_through() -> None:
    with pytest.raises(UpstreamError) as caught:
        await lane(FakeWire(UpstreamError(Failure.UNREACHABLE, sent=False))).open(call(deployment()))

    assert caught.value.failure is Failure.UNREACHABLE


async def test_a_deployment_without_an_address_reaches_nobody() -> None:
    wire = FakeWire(FakeResponse())

    with pytest.raises(UpstreamError):
        await lane(wire).open(call(deployment(address=None)))

    assert wire.asked == {}


async def test_closing_an_answer_closes_its_response() -> None:
    response = FakeResponse()
    answer = await lane(FakeWire(response)).open(call(deployment()))

    answer.close()

    assert response.closed


async def test_another_path_below_the_base_can_be_posted_to() -> None:
    wire: Any = FakeWire(FakeResponse(body=b"[]"))

    assert await post_json(wire, Label.PUBLIC, deployment(), "/embeddings", b"{}", connect_s=1, timeout_s=1) == b"[]"
    assert wire.asked["path"] == "/v1/embeddings"


@pytest.mark.parametrize("outcome", [FakeResponse(500, b""), UpstreamError(Failure.UNREACHABLE)])
async def test_a_post_that_fails_raises(outcome: Any) -> None:
    wire: Any = FakeWire(outcome)

    with pytest.raises(UpstreamError):
        await post_json(wire, Label.PUBLIC, deployment(), "/embeddings", b"{}", connect_s=1, timeout_s=1)
