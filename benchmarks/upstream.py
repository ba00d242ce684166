"""The provider of the benchmarks: it answers from bytes made once, so that it is never the limit.

python -m benchmarks.upstream PORT
"""

from __future__ import annotations

import asyncio
import functools
import re
import sys

import uvloop

from benchmarks.payloads import ANSWER, stream_chunks

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SEED = re.compile(rb'"seed": ?(\d+)')
_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@functools.cache
def _writes(count: int, *, usage: bool) -> list[bytes]:
    framed = [b"%x\r\n%s\r\n" % (len(part), part) for part in stream_chunks(count, usage=usage)]
    return [_STREAM_HEAD + framed[0], *framed[1:-1], framed[-1] + b"0\r\n\r\n"]


class Provider(asyncio.Protocol):
    """One connection: a request after the other, by length."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parts: list[bytes] = []
        self._missing = 0  # bytes of the body that are not there yet
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # uvloop's has no common base

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing <= 0:
                self._answer(self._parts[0])
            return
        if self._parts:
            data = self._parts.pop() + data
        end = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, end) if end >= 0 else None
        if length is None:
            self._parts = [data]
            return
        self._missing = end + 4 + int(length[1]) - len(data)
        self._parts = [data]
        if self._missing <= 0:
            self._answer(data)

    def _answer(self, head: bytes) -> None:
        if self._missing < 0:
            self._transport.abort()  # nobody here pipelines
            return
        whole = head if len(self._parts) == 1 else b"".join(self._parts[:2])
        self._parts = []
        self._missing = 0
        if b'"stream":true' not in whole:
            self._transport.write(_JSON)
            return
        seed = _SEED.search(whole)
        pace_ms, count = divmod(int(seed[1]) if seed else 100, 1000)
        writes = _writes(count, usage=b'"include_usage":true' in whole)
        self._write_next(writes, 0, pace_ms / 1000, self._loop.time())

    def _write_next(self, writes: list[bytes], index: int, pace_s: float, due: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(writes[index])
        if index + 1 < len(writes):  # by the clock, so that a late write does not delay the rest
            self._loop.call_at(due + pace_s, self._write_next, writes, index + 1, pace_s, due + pace_s)


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Provider(loop), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
