"""POST /admin/reload on a real socket: who may, what is taken, what is refused whole, and what becomes of requests in flight."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client import REGISTRY

from app.config.faults import ConfigError
from app.config.settings import load_settings
from tests.integration.gateway_server import serve
from tests.simulators import NerSimulator, OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.integration.gateway_server import GatewayServer

ADMIN = "an-administrators-own-key"
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}


@pytest.fixture
def first() -> Iterator[OpenAISimulator]:
    with OpenAISimulator() as simulator:
        yield simulator


@pytest.fixture
def second() -> Iterator[OpenAISimulator]:
    with OpenAISimulator() as simulator:
        yield simulator


def config(first: OpenAISimulator | Held, second: OpenAISimulator, *, pool: str = "[one, two]", rules: str = "[{use: all}]", more: str = "") -> str:
    return f"""
    deployments:
      one: {{model: openai/gpt, api_base: "{first.url}/v1", api_key: k, clearance: confidential}}
      two: {{model: openai/gpt, api_base: "{second.url}/v1", api_key: k, clearance: confidential}}
    pools: {{all: {pool}}}
    rules: {rules}
    {more}
    """


def write(folder: Path, text: str) -> None:
    (folder / "gateway.yaml").write_text("\n".join(line[4:] for line in text.splitlines()))


async def reload(gateway: GatewayServer, key: str | None = ADMIN, method: str = "POST") -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {key}"} if key is not None else {}
    async with aiohttp.ClientSession() as http, http.request(method, f"{gateway.url}/admin/reload", headers=headers) as response:
        return response.status, await response.json()


async def chat(gateway: GatewayServer, body: Any = HELLO, *more: tuple[str, str]) -> tuple[int, Any, str]:
    headers = {"authorization": "Bearer owner-key", **dict(more)}
    async with aiohttp.ClientSession() as http, http.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers.get("x-gateway-deployment", "")


@pytest.fixture
def gateway(tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator) -> Iterator[GatewayServer]:
    with serve(tmp_path, config(first, second), gateway_api_keys="owner:owner-key", admin_api_key=ADMIN, cache_ttl=60) as server:
        yield server


def reloads(outcome: str) -> float:
    return REGISTRY.get_sample_value("sluice_reloads_total", {"outcome": outcome}) or 0


async def test_a_new_table_serves_the_next_request(gateway: GatewayServer, tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator) -> None:
    before, served = await chat(gateway), gateway.parts.reloader.served
    write(tmp_path, config(first, second, pool="[two]"))
    taken = reloads("taken")

    status, answer = await reload(gateway)

    assert (status, answer["status"], answer["workers"]) == (200, "reloaded", 1)
    assert answer["configuration"]["version"] != served["version"]
    assert before[2] == "one"
    assert (await chat(gateway))[2] == "two"
    assert reloads("taken") == taken + 1


async def test_health_and_the_metrics_say_which_configuration_is_served(
    gateway: GatewayServer, tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator
) -> None:
    write(tmp_path, config(first, second, pool="[two]"))
    _, answer = await reload(gateway)

    async with aiohttp.ClientSession() as http, http.get(f"{gateway.url}/health") as response:
        health = await response.json()

    assert health["configuration"] == answer["configuration"]
    assert REGISTRY.get_sample_value("sluice_configuration_hash") == int(answer["configuration"]["version"], 16)
    assert REGISTRY.get_sample_value("sluice_configuration_loaded_seconds")


async def test_a_bad_file_is_refused_with_every_fault_and_the_old_one_stays(
    gateway: GatewayServer, tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator
) -> None:
    served = gateway.parts.reloader.served
    write(tmp_path, config(first, second, pool="[two, three]", more="colour: blue"))
    refused = reloads("refused")

    status, answer = await reload(gateway)

    assert (status, answer["error"]["code"], answer["error"]["type"]) == (400, "configuration_refused", "invalid_request_error")
    assert sorted((fault["line"], "three" in fault["message"], "colour" in fault["message"]) for fault in answer["faults"]) == [
        (5, True, False),
        (7, False, True),
    ]
    assert all(fault["file"].endswith("gateway.yaml") and fault["message"] in answer["error"]["message"] for fault in answer["faults"])
    assert gateway.parts.reloader.served == served
    assert (await chat(gateway))[2] == "one"
    assert reloads("refused") == refused + 1


async def test_patterns_of_the_scanner_are_checked_before_anything_is_taken(
    gateway: GatewayServer, tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator
) -> None:
    write(tmp_path, config(first, second, pool="[two]", more='scan: {patterns: [{kind: badge, regex: "(?<=x)y"}]}'))

    status, answer = await reload(gateway)

    assert (status, [fault["line"] for fault in answer["faults"]]) == (400, [7])
    assert (await chat(gateway))[2] == "one"


async def test_what_the_scanner_finds_follows_the_file(gateway: GatewayServer, tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator) -> None:
    rules = "[{when: {label: confidential}, use: two}, {use: one}]"
    write(tmp_path, config(first, second, rules=rules, more="scan: {words: {project: [hello]}, labels: {project: confidential}}"))

    status, _ = await reload(gateway)

    assert status == 200
    assert (await chat(gateway))[2] == "two"


class Held:
    """An upstream that answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self.status = 200
        self.url = ""

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Held]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /api/tags "):  # it is no Ollama
            writer.write(b"HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        self.asked.set()
        await self.go.wait()
        body = json.dumps(
            {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}]}
        )
        writer.write(f"HTTP/1.1 {self.status} X\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()


async def test_an_attempt_after_the_reload_is_held_to_the_new_policy(tmp_path: Path, second: OpenAISimulator) -> None:
    """The plan was made by the old table, in which the second deployment was cleared; its address is not cleared any more."""
    async with Held().serve() as held:
        before = config(held, second)
        with serve(tmp_path, before, gateway_api_keys="owner:owner-key", admin_api_key=ADMIN) as gateway:
            asking = asyncio.ensure_future(chat(gateway, HELLO, ("x-sensitivity", "confidential")))
            await asyncio.wait_for(held.asked.wait(), 10)
            first, line, rest = before.partition(f'two: {{model: openai/gpt, api_base: "{second.url}/v1", api_key: k, clearance: ')
            write(tmp_path, (first + line + rest.replace("confidential", "internal", 1)).replace("all: [one, two]", "all: [one]"))
            status, answer = await reload(gateway)
            held.status = 500
            held.go.set()
            answered = await asking

    assert (status, answer["status"]) == (200, "reloaded")
    assert answered[0] >= 500
    assert "not_cleared" in answered[1]["error"]["message"]
    assert second.connections == 0


async def test_a_request_in_flight_finishes_the_attempt_that_it_is_in(tmp_path: Path, second: OpenAISimulator) -> None:
    async with Held().serve() as held:
        with serve(tmp_path, config(held, second), gateway_api_keys="owner:owner-key", admin_api_key=ADMIN) as gateway:
            asking = asyncio.ensure_future(chat(gateway))
            await asyncio.wait_for(held.asked.wait(), 10)
            write(tmp_path, config(held, second, pool="[two]"))
            status, _ = await reload(gateway)
            held.go.set()

            assert status == 200
            assert (await asking)[0::2] == (200, "one")
            assert (await chat(gateway))[2] == "two"


async def test_an_answer_of_a_deployment_that_is_no_longer_cleared_is_not_served_from_the_cache(
    gateway: GatewayServer, tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator
) -> None:
    hinted, hint = HELLO, ("x-sensitivity", "internal")
    assert (await chat(gateway, hinted, hint))[2] == "one"
    lowered = config(first, second, rules="[{when: {label: public}, use: all}, {use: two}]").replace("clearance: confidential", "clearance: public", 1)
    write(tmp_path, lowered)

    status, _ = await reload(gateway)

    assert status == 200
    assert (await chat(gateway, hinted, hint))[2] == "two"


async def test_what_stays_until_a_restart_is_said(gateway: GatewayServer, tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator) -> None:
    write(tmp_path, config(first, second, pool="[one]", more="search: {embedder: two}"))

    _, answer = await reload(gateway)

    assert [sentence.partition(":")[0] for sentence in answer["not_reloaded"]] == ["search.embedder"]


async def test_an_unchanged_file_leaves_nothing_for_a_restart(gateway: GatewayServer) -> None:
    status, answer = await reload(gateway)

    assert (status, answer["not_reloaded"]) == (200, [])


async def test_the_collections_clearance_is_lowered_and_not_raised(
    gateway: GatewayServer, tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator
) -> None:
    write(tmp_path, config(first, second, more="search: {clearance: internal}"))

    await reload(gateway)

    assert str(gateway.parts.store.clearance) == "internal"


async def test_networks_that_no_longer_hold_redis_are_refused_whole(tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator) -> None:
    elsewhere = 'local_networks: ["127.0.0.1/32"]'
    settings = {"redis_url": "redis://127.0.0.2:1/0", "gateway_secret": "a-secret-of-the-tests", "admin_api_key": ADMIN, "gateway_api_keys": "owner:owner-key"}
    with serve(tmp_path, config(first, second), **settings) as server:
        served = server.parts.reloader.served
        write(tmp_path, config(first, second, more=elsewhere))
        status, answer = await reload(server)
        kept = server.parts.reloader.served
        write(tmp_path, config(first, second, more='local_networks: ["127.0.0.0/24"]'))
        narrower, _ = await reload(server)

    assert status == 400
    assert "REDIS_URL: 127.0.0.2 is cleared for confidential, and is no longer" in json.dumps(answer)
    assert (kept, narrower) == (served, 200)


async def test_a_second_opinion_begins_and_ends_with_a_reload(gateway: GatewayServer, tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator) -> None:
    with NerSimulator({"hello": "PERSON"}) as reader:
        before = await chat(gateway)
        write(tmp_path, config(first, second, more=f'scan: {{second_opinion: {{url: "{reader.base_url}"}}}}'))
        await reload(gateway)
        read = await route(gateway)
        replaced = gateway.parts.chat.second_opinion
        write(tmp_path, config(first, second))
        await reload(gateway)
        after = await route(gateway)
        assert replaced is not None
        replaced._set_status("failing")  # by a request that has waited since then

        assert before[0] == 200
        assert (read["label"], after["label"]) == ("confidential", "public")
        assert len(reader.texts) == 1
        assert REGISTRY.get_sample_value("sluice_degraded", {"part": "second_opinion"}) == 0


async def route(gateway: GatewayServer) -> Any:
    async with aiohttp.ClientSession() as http, http.post(f"{gateway.url}/v1/route", json=HELLO, headers={"authorization": "Bearer owner-key"}) as response:
        return await response.json()


@pytest.mark.parametrize("key", [None, "owner-key", "", ADMIN + "x"])
async def test_no_callers_key_reloads(gateway: GatewayServer, key: str | None) -> None:
    served = gateway.parts.reloader.served

    status, answer = await reload(gateway, key)

    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    assert gateway.parts.reloader.served == served


async def test_the_administrators_key_is_no_callers(gateway: GatewayServer) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {ADMIN}"}) as response:
        assert response.status == 401


async def test_another_method_is_refused_in_the_common_form(gateway: GatewayServer) -> None:
    status, answer = await reload(gateway, method="GET")

    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
    assert answer["error"]["message"] == "This path takes POST only: see /openapi.json."


async def test_without_the_setting_the_path_does_not_exist(tmp_path: Path, first: OpenAISimulator, second: OpenAISimulator) -> None:
    with serve(tmp_path, config(first, second), gateway_api_keys="owner:owner-key") as server:
        status, answer = await reload(server, "owner-key")

    assert (status, answer["error"]["code"]) == (404, "unknown_url")


async def test_reloads_at_the_same_time_take_turns(gateway: GatewayServer) -> None:
    answers = await asyncio.gather(*(reload(gateway) for _ in range(4)))

    assert {status for status, _ in answers} == {200}


async def test_requests_go_on_while_the_file_is_read(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go = threading.Event(), threading.Event()
    real = gateway.parts.reloader._read

    def slow() -> Any:
        reading.set()
        assert go.wait(10)
        return real()

    monkeypatch.setattr(gateway.parts.reloader, "_read", slow)
    asking = asyncio.ensure_future(reload(gateway))
    assert await asyncio.to_thread(reading.wait, 10)

    assert (await chat(gateway))[0] == 200
    go.set()
    assert (await asking)[0] == 200


@pytest.mark.parametrize("key", ["short", "with a space in its middle", "schlüssel-schlüssel-schlüssel"])
def test_a_key_that_cannot_be_one_stops_the_start(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="ADMIN_API_KEY must be 16 or more ASCII characters"):
        load_settings(dotenv=tmp_path / "none", admin_api_key=key)


def test_a_callers_key_cannot_be_the_administrators(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is one of GATEWAY_API_KEYS too"):
        load_settings(dotenv=tmp_path / "none", admin_api_key=ADMIN, gateway_api_keys=f"owner:{ADMIN}")
