"""Room at a local deployment with few slots, over sockets: confidential requests find it, and one caller's take nobody else's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import GatewayServer, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import OpenAISimulator

SECRET = {"X-Sensitivity": "confidential"}


def config(cloud: OpenAISimulator, local: OpenAISimulator, slots: int) -> str:
    return f"""
    deployments:
      first: {{model: openai/gpt, api_base: "{cloud.url}/v1", clearance: internal}}
      home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential, slots: {slots}}}
    pools: {{cheap: [first], local: [home]}}
    rules: [{{when: {{label: confidential}}, use: local}}, {{use: cheap}}]
    fallback: local
    """


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator, local: OpenAISimulator, request: pytest.FixtureRequest) -> Iterator[GatewayServer]:
    slots, places = getattr(request, "param", (2, 16))
    with serve(tmp_path, config(cloud, local, slots), gateway_api_keys="a:ka,b:kb", room_queue=places, room_wait_s=20) as server:
        yield server


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the other side is a thread, which sets no event of this loop
            await asyncio.sleep(0.002)


def waiting(gateway: GatewayServer) -> int:
    lane: Any = next(iter(gateway.parts.chat.lanes.values()))
    slots = lane._room._slots.get("home")
    return slots.waiting if slots is not None else 0


def ask(http: aiohttp.ClientSession, gateway: GatewayServer, text: str, *, key: str = "ka", **headers: str) -> asyncio.Task[aiohttp.ClientResponse]:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return asyncio.ensure_future(
        http.post(
            f"{gateway.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        )
    )


def order(local: OpenAISimulator) -> list[str]:
    return [request.json["messages"][0]["content"] for request in local.calls]


async def test_what_falls_back_to_the_local_model_leaves_room_for_what_has_to_stay_there(
    http: aiohttp.ClientSession, gateway: GatewayServer, cloud: OpenAISimulator, local: OpenAISimulator
) -> None:
    cloud.fault, local.fault = "status-500", "hang.times-1"
    ordinary = [ask(http, gateway, f"hello {number}") for number in range(4)]
    await until(lambda: local.calls and waiting(gateway) == 3)

    answer = await ask(http, gateway, "secret", X_Sensitivity="confidential")

    assert answer.status == 200
    assert answer.headers["x-gateway-deployment"] == "home"
    assert len(local.calls) == 2
    for task in ordinary:
        task.cancel()
    await http.close()  # so that the gateway's end waits for nobody


@pytest.mark.parametrize("gateway", [(1, 16)], indirect=True)
async def test_callers_take_turns(http: aiohttp.ClientSession, gateway: GatewayServer, local: OpenAISimulator) -> None:
    local.fault = "hang.times-1"
    held = ask(http, gateway, "held", **SECRET)
    await until(lambda: local.calls)
    flood = []
    for number in range(6):
        flood.append(ask(http, gateway, f"a{number}", **SECRET))
        await until(lambda number=number: waiting(gateway) == number + 1)  # type: ignore[misc]
    other = ask(http, gateway, "b", key="kb", **SECRET)
    await until(lambda: waiting(gateway) == 7)

    held.cancel()
    answers = await asyncio.gather(*flood, other)

    assert [answer.status for answer in answers] == [200] * 7
    assert "b" in order(local)[1:3]
    assert "queue;dur=" in answers[-1].headers["server-timing"]


@pytest.mark.parametrize("gateway", [(1, 0)], indirect=True)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_confidential_request_that_finds_no_room_is_told_when_to_come_back(
    http: aiohttp.ClientSession, gateway: GatewayServer, local: OpenAISimulator, cloud: OpenAISimulator, *, stream: bool
) -> None:
    local.fault = "hang"
    held = ask(http, gateway, "held", **SECRET)
    await until(lambda: local.calls)
    body = {"model": "auto", "messages": [{"role": "user", "content": "late"}], "stream": stream}

    answer = await http.post(f"{gateway.url}/v1/chat/completions", json=body, headers={"authorization": "Bearer kb", **SECRET})

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (await answer.json())["error"]["code"] == "server_overloaded"
    assert len(local.calls) == 1
    assert cloud.connections == 0
    held.cancel()
    await http.close()


@pytest.mark.parametrize("gateway", [(1, 16)], indirect=True)
async def test_a_stream_holds_its_slot_to_its_end(http: aiohttp.ClientSession, gateway: GatewayServer, local: OpenAISimulator) -> None:
    local.fault = "stall-3"
    body = {"model": "auto", "messages": [{"role": "user", "content": "one two three"}], "stream": True}
    stream = await http.post(f"{gateway.url}/v1/chat/completions", json=body, headers={"authorization": "Bearer ka", **SECRET})
    assert await stream.content.readuntil(b"data: ")
    local.fault = None
    second = ask(http, gateway, "second", **SECRET)
    await until(lambda: waiting(gateway) == 1)

    stream.close()

    assert (await second).status == 200
