"""The HTTP front as hostile and broken callers meet it: framing, heads, bodies that stop, callers that do not read, and the server's end."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY

from app.gateway.reply import StreamReply
from app.utils import logging
from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.test_command_line import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulators import OpenAISimulator

PATH = "/v1/chat/completions"
IDLE_S = 0.5


def config_of(cloud: OpenAISimulator) -> str:
    return f"""
    deployments:
      first: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k1, clearance: internal}}
      home: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k1, clearance: confidential}}
    pools: {{cheap: [first], local: [home]}}
    rules: [{{when: {{label: confidential}}, use: local}}, {{use: cheap}}]
    """


@pytest.fixture
def gateway(tmp_path: Path, cloud: OpenAISimulator) -> Iterator[GatewayServer]:
    with serve(tmp_path, config_of(cloud), llm_timeout=20, body_idle_s=IDLE_S, stream_idle_s=IDLE_S) as server:
        yield server


def body_of(*, stream: bool = False) -> bytes:
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hello"}], "stream": stream}).encode()


def request_of(body: bytes, *headers: str, method: str = "POST", path: str = PATH) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "content-type: application/json", *(headers or (f"content-length: {len(body)}",)), "", ""]
    return "\r\n".join(lines).encode() + body


async def until(condition: Callable[[], object], *, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 -- the other side is a thread, which sets no event of this loop
            await asyncio.sleep(0.005)


async def send(port: int, raw: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    await writer.drain()
    return reader, writer


async def head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    return int(head.split()[1]), {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:-2])}


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    status, headers = await head_of(reader)
    async with asyncio.timeout(10):
        return status, headers, json.loads(await reader.readexactly(int(headers["content-length"])))


def counted(status: str) -> float:
    return REGISTRY.get_sample_value("sluice_requests_total", {"route": PATH, "status": status}) or 0


def left() -> float:
    return REGISTRY.get_sample_value("sluice_client_disconnects_total") or 0


@pytest.mark.parametrize(
    "raw",
    [
        request_of(b"0\r\n\r\n", "transfer-encoding: chunked", "content-length: 5"),
        request_of(b"{}", "content-length: 2", "content-length: 2"),
        request_of(b"{}", "content-length: 2", "content-length: 3"),
        request_of(b"{}", "content-length: +2"),
        request_of(b"{}").replace(b"\r\n", b"\n"),
        request_of(b"{}", "x-folded: one\r\n two", "content-length: 2"),
        request_of(b"{}", "content-length : 2"),
    ],
    ids=["te and cl", "two cl", "two cl that differ", "signed cl", "bare lf", "obs-fold", "space before colon"],
)
async def test_framing_that_two_servers_could_read_differently_is_refused(gateway: GatewayServer, cloud: OpenAISimulator, raw: bytes) -> None:
    reader, writer = await send(gateway.port, raw)
    status, headers, body = await answer_of(reader)
    writer.close()

    assert (status, body["error"]["code"], headers["connection"]) == (400, "invalid_http", "close")
    assert cloud.connections == 0


async def test_pipelined_requests_are_answered_in_their_order(gateway: GatewayServer) -> None:
    health = request_of(b"", "content-length: 0", method="GET", path="/health")
    reader, writer = await send(gateway.port, request_of(body_of()) + health + request_of(body_of()))
    first, second, third = [await answer_of(reader) for _ in range(3)]
    writer.close()

    assert [status for status, _, _ in (first, second, third)] == [200, 200, 200]
    assert "status" in second[2]
    assert first[2]["object"] == third[2]["object"] == "chat.completion"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
async def test_another_method_on_the_chat_path_is_405(gateway: GatewayServer, method: str) -> None:
    reader, writer = await send(gateway.port, request_of(b"", "connection: close", method=method))
    status, headers = await head_of(reader)
    body = await reader.read()
    writer.close()

    assert (status, headers["allow"]) == (405, "POST")
    assert (body == b"") is (method == "HEAD")


async def test_a_trailer_does_not_become_the_callers_address(tmp_path: Path, cloud: OpenAISimulator) -> None:
    body = body_of()
    chunked = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    with serve(tmp_path, config_of(cloud), trusted_proxies="127.0.0.1", rate_limit_per_minute=1) as gateway:
        statuses = []
        for address in (b"203.0.113.1", b"203.0.113.2"):
            raw = request_of(chunked + b"x-forwarded-for: " + address + b"\r\n\r\n", "transfer-encoding: chunked", "x-forwarded-for: 198.51.100.1")
            reader, writer = await send(gateway.port, raw)
            statuses.append((await answer_of(reader))[0])
            writer.close()

    assert statuses == [200, 429]


async def test_a_head_over_the_limit_is_431_in_openais_shape(gateway: GatewayServer) -> None:
    reader, writer = await send(gateway.port, request_of(body_of(), "x-long: " + "v" * 70_000))
    status, headers, body = await answer_of(reader)
    writer.close()

    assert (status, headers["connection"], body["error"]["code"]) == (431, "close", "request_head_too_large")


@pytest.mark.parametrize("path", [PATH, "/search"])
@pytest.mark.parametrize("part", [b"", b'{"model'])
async def test_a_body_that_stops_arriving_is_408_and_ends_the_connection(gateway: GatewayServer, path: str, part: bytes) -> None:
    reader, writer = await send(gateway.port, request_of(part, "content-length: 100", path=path))
    status, headers, body = await answer_of(reader)
    rest = await reader.read()
    writer.close()

    assert (status, headers["connection"], body["error"]["code"], rest) == (408, "close", "request_timeout", b"")
    assert headers["x-request-id"]


@pytest.mark.parametrize("fault", ["words-200000", "bigchunk-8000"])
async def test_a_caller_that_stops_reading_lets_go_of_its_upstream_stream(gateway: GatewayServer, cloud: OpenAISimulator, fault: str) -> None:
    cloud.fault = fault
    before = left()
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.sendall(request_of(body_of(stream=True)))
        await until(lambda: cloud.requests)
        await until(lambda: not gateway.state.tasks and not gateway.state.connections, within_s=15)

    assert left() - before == 1
    await until(lambda: all(one.finished for one in cloud.requests) or cloud.open_connections == 0)


async def test_a_caller_that_left_unanswered_counts_as_499(gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "hang"
    before = counted("499")
    _, writer = await send(gateway.port, request_of(body_of()))
    await until(lambda: cloud.requests)
    writer.close()

    await until(lambda: counted("499") == before + 1)
    assert counted("0") == 0


@pytest.mark.parametrize("known", ["x-gateway-label", "x-gateway-rule"])
async def test_a_fault_of_ours_keeps_what_was_known_of_the_request(gateway: GatewayServer, known: str) -> None:
    class Broken:
        async def open(self, _: object) -> None:
            raise ZeroDivisionError

    gateway.parts.chat.lanes = dict.fromkeys(gateway.parts.chat.lanes, Broken())  # type: ignore[arg-type] # what fails need not fit
    reader, writer = await send(gateway.port, request_of(body_of()))
    status, headers, body = await answer_of(reader)
    writer.close()

    assert (status, body["error"]["code"]) == (500, "internal_error")
    assert known in headers
    assert headers["x-request-id"]


async def test_a_request_that_is_cancelled_behind_its_answer_is_logged_with_what_was_known(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cancelled(_: object) -> None:
        raise asyncio.CancelledError  # as at the server's end

    monkeypatch.setattr(StreamReply, "finish", cancelled)
    output = io.StringIO()
    logging.configure("info", readable=False, stream=output)
    try:
        reader, writer = await send(gateway.port, request_of(body_of(stream=True)))
        await reader.readuntil(b"0\r\n\r\n")
        await until(lambda: '"event":"request"' in output.getvalue())
    finally:
        logging.configure("info", readable=False)
    writer.close()
    event = next(json.loads(line) for line in output.getvalue().splitlines() if '"event":"request"' in line)

    assert (event["status"], event["label"], event["deployment"]) == (200, "public", "first")


async def test_three_hundred_callers_that_leave_early_leave_nothing_behind(gateway: GatewayServer, cloud: OpenAISimulator) -> None:
    cloud.fault = "slow-stream-500"
    held_pages = []
    for batch in range(1, 7):
        writers = [(await send(gateway.port, request_of(body_of(stream=True))))[1] for _ in range(50)]
        await until(lambda expected=batch * 50: len(cloud.requests) == expected, within_s=15)  # type: ignore[misc] # mypy infers no default of a lambda
        for writer in writers:
            writer.transport.abort()
        await until(lambda: cloud.open_connections == 0 and not gateway.state.tasks and not gateway.state.connections, within_s=15)
        held_pages.append(resident_pages())

    assert REGISTRY.get_sample_value("sluice_in_flight") == 0
    assert (held_pages[-1] - held_pages[1]) * 4096 < 20 * 2**20


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def shutdown_config(tmp_path: Path, cloud: OpenAISimulator) -> str:
    path = tmp_path / "slow.yaml"
    path.write_text("\n".join(line[4:] for line in config_of(cloud).splitlines()))
    return str(path)


async def test_at_the_servers_end_streams_end_in_an_error_event_and_what_waits_is_503(tmp_path: Path, cloud: OpenAISimulator) -> None:
    settings = {"GATEWAY_CONFIG": shutdown_config(tmp_path, cloud), "SHUTDOWN_GRACE_S": "1"}
    with serving(tmp_path, **settings) as (url, process, log):
        port = int(url.rpartition(":")[2])
        cloud.fault = "words-200000"
        unread = socket.create_connection(("127.0.0.1", port))
        unread.sendall(request_of(body_of(stream=True)))
        await until(lambda: len(cloud.requests) == 1)
        cloud.fault = "stall-2"
        streamed, stream_writer = await send(port, request_of(body_of(stream=True)))
        await streamed.readuntil(b"data: ")
        cloud.fault = "hang"
        waiting, waiting_writer = await send(port, request_of(body_of()))
        await until(lambda: len(cloud.requests) == 3)
        process.send_signal(signal.SIGTERM)
        status, headers, body = await answer_of(waiting)
        async with asyncio.timeout(10):
            rest = await streamed.read()
        await asyncio.to_thread(process.wait, 10)
        stream_writer.close()
        waiting_writer.close()
        unread.close()

    last = rest.rpartition(b"data: ")[2]
    assert b'"code":"shutting_down"' in last
    assert last.endswith(b"0\r\n\r\n")
    assert b"[DONE]" not in rest
    assert (status, body["error"]["code"], headers["retry-after"]) == (503, "shutting_down", "1")
    assert headers["x-gateway-label"] == "public"
    events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [event["requests"] for event in events if event["event"] == "shutdown_grace_over"] == [3]
    assert [event["ended"] for event in events if event["event"] == "request" and "ended" in event] == ["failed", "failed"]  # also of who does not read
    assert "library_log" not in {event["event"] for event in events}
    assert "Traceback" not in log.read_text()


def test_a_server_lets_the_garbage_collector_walk_what_is_under_way_seldom(tmp_path: Path, cloud: OpenAISimulator) -> None:
    before = gc.get_threshold()
    gc.set_threshold(700, *before[1:])
    try:
        with serve(tmp_path, config_of(cloud)):
            assert gc.get_threshold() == (10_000, *before[1:])
            assert gc.get_freeze_count() > 10_000  # what start-up made is not walked at all
    finally:
        gc.set_threshold(*before)
