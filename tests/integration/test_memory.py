"""What the gateway's process holds in memory while callers do not read what they asked for, and while there are more of them than it serves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_command_line import free_port, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MIB = 1024 * 1024
READERS, STREAM_BYTES = 8, 32 * MIB
WAVES, CALLERS, BODY_BYTES = 6, 60, MIB
SERVED = 3  # at a time: MAX_IN_FLIGHT is 16, and a MiB counts for five
_CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"a" * 4000)
_FRAME = b"%x\r\n%s\r\n" % (len(_CHUNK), _CHUNK)


class Provider:
    """Answers who asks for a stream with STREAM_BYTES, as fast as they are taken, and nobody else."""

    def __init__(self) -> None:
        self.sent: Counter[int] = Counter()  # bytes, by call
        self._calls: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    @contextlib.asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()
            for writer in self._calls:
                writer.transport.abort()
            await self.end_of_calls()

    async def end_of_calls(self) -> None:
        await asyncio.gather(*filter(None, self._calls.values()))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._calls[writer] = asyncio.current_task()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if b'"stream":true' not in await reader.readexactly(length):
                await reader.read()
                return
            self.sent[call := len(self.sent)] = 0
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            while self.sent[call] < STREAM_BYTES:
                writer.write(_FRAME)
                await writer.drain()
                self.sent[call] += len(_FRAME)
        writer.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, int]]:
    """Serve, and return the ports of the gateway and of its provider, and the process."""
    folder, provider = tmp_path_factory.mktemp("memory"), free_port()
    (folder / "gateway.yaml").write_text(
        f'deployments: {{big: {{model: openai/gpt, api_base: "http://127.0.0.1:{provider}/v1", clearance: confidential}}}}\nrules: [{{use: big}}]\n'
    )
    bounds = {"MAX_IN_FLIGHT": "16", "MAX_QUEUED": "8", "QUEUE_WAIT_S": "0.1", "RATE_LIMIT_PER_MINUTE": "0", "CACHE_TTL": "0", "LOG_LEVEL": "error"}
    with serving(folder, GATEWAY_CONFIG=str(folder / "gateway.yaml"), **bounds) as (url, process, _):
        yield int(url.rpartition(":")[2]), provider, process.pid


def resident(pid: int) -> int:
    """Return the bytes of a process's memory."""
    fields = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()
    return int(fields[0]) * 1024


async def ask(port: int, text: str, *, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = json.dumps({"model": "auto", "stream": stream, "messages": [{"role": "user", "content": text}]}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024)
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    return reader, writer


async def until_still(sent: Counter[int]) -> int:
    """Return what was sent in all, once that has not grown for a quarter of a second."""
    before = -1
    while (now := sent.total()) != before:
        before = now
        await asyncio.sleep(0.25)
    return now


async def test_callers_that_do_not_read_are_no_buffers(gateway: tuple[int, int, int]) -> None:
    port, provider_port, pid = gateway
    provider = Provider()
    async with asyncio.timeout(30), provider.listening(provider_port):
        reader, writer = await ask(port, "Say a lot.", stream=True)
        await reader.readuntil(b"data: ")  # what the first request loads stays
        writer.transport.abort()
        await provider.end_of_calls()
        provider.sent.clear()
        before = resident(pid)
        callers = [await ask(port, "Say a lot.", stream=True) for _ in range(READERS)]
        for reader, _ in callers:
            await reader.readuntil(b"data: ")

        taken, held = await until_still(provider.sent), resident(pid) - before
        for _, writer in callers:
            writer.transport.abort()

    assert len(provider.sent) == READERS
    assert taken < READERS * STREAM_BYTES / 2  # in the sockets' own buffers
    assert held < READERS * STREAM_BYTES / 8


async def test_memory_stays_flat_under_overload(gateway: tuple[int, int, int]) -> None:
    port, provider_port, pid = gateway
    before, levels, refusals = resident(pid), list[int](), list[bool]()
    async with asyncio.timeout(40), Provider().listening(provider_port):
        for _ in range(WAVES):
            callers = [await ask(port, "Say a lot. " * (BODY_BYTES // 11), stream=False) for _ in range(CALLERS)]
            refused = [asyncio.create_task(_is_refused(reader)) for reader, _ in callers]
            await _until_most(refused)
            levels.append(resident(pid))
            refusals += [task.result() for task in refused if task.done()]
            for task in refused:
                task.cancel()
            for _, writer in callers:
                writer.transport.abort()

    assert all(refusals)
    assert max(levels) - before < CALLERS * BODY_BYTES / 2
    assert max(levels[1:]) - levels[0] < 16 * MIB


async def _until_most(tasks: list[asyncio.Task[bool]]) -> None:
    while sum(task.done() for task in tasks) < CALLERS - SERVED:
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)


async def _is_refused(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(OSError):
        return (await reader.read(MIB)).startswith(b"HTTP/1.1 503")
    return True
