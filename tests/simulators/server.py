"""A small HTTP/1.1 server in a thread of its own that records every byte it receives and gives each answer byte by byte.

Requests are parsed by httptools; answers are steps (`script.py`), so that a fault is exactly what was meant. Times are `time.monotonic()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from tests.simulators.script import Cut, End, Head, Part, Step, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends a RST


@dataclass(slots=True)
class Received:
    """One whole request, and how its answer went (`finished` may turn true a moment after the caller has read the end: wait for it)."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float
    connection: int
    chunks_sent: int = 0
    finished: bool = False

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The parsed body, None where it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A caller that went away before its answer was whole."""

    at: float
    request: Received
    chunks_sent: int


@dataclass(slots=True)
class Connection:
    """Every byte that one connection brought."""

    number: int
    opened: float
    raw: bytearray = field(default_factory=bytearray)
    closed: float | None = None


class Server:
    """Listens on loopback from `start` to `close`. Subclasses say what is answered (`respond`) and what a new connection meets (`greet`)."""

    def __init__(self, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = port
        self.requests: list[Received] = []
        self.disconnects: list[Disconnect] = []
        self.history: list[Connection] = []
        self.errors: list[BaseException] = []  # what went wrong in the simulator itself; leaving the context raises the first
        self._open: set[_Protocol] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listener: asyncio.Server | None = None
        self._place: socket.socket | None = None

    def respond(self, request: Received) -> list[Step]:
        raise NotImplementedError

    def greet(self) -> list[Step]:
        """Return what happens to a new connection before a byte of it is read."""
        return []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def calls(self) -> list[Received]:
        """The requests for an answer: without those that only ask what a server or a model of it is."""
        return [request for request in list(self.requests) if request.method == "POST" and request.path != "/api/show"]

    @property
    def connections(self) -> int:
        """How many connections were ever accepted."""
        return len(self.history)

    @property
    def open_connections(self) -> int:
        return sum(connection.closed is None for connection in self.history)

    @property
    def raw(self) -> bytes:
        """Every byte ever received, connection after connection."""
        return b"".join(bytes(connection.raw) for connection in list(self.history))

    def saw(self, canary: bytes) -> bool:
        """Say whether `canary` ever arrived: on the wire, in a body whose framing is removed, in an unescaped JSON string or URL."""
        if canary in self.raw:
            return True
        text = canary.decode(errors="replace")
        return any(canary in r.body or text in unquote(r.target) or any(text in s for s in _strings(r.json)) for r in list(self.requests))

    def clear(self) -> None:
        """Forget what was received; connections that are open stay known."""
        self.requests.clear()
        self.disconnects.clear()
        self.history[:] = [connection for connection in self.history if connection.closed is None]
        for connection in self.history:
            connection.raw.clear()

    def wait_for(self, condition: Callable[[], object], timeout_s: float = 5.0) -> None:
        """Block until `condition()` is true. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.url}: the condition did not come true within {timeout_s} s")
            time.sleep(0.002)

    async def until(self, condition: Callable[[], object], timeout_s: float = 5.0) -> None:
        """Likewise for a coroutine, whose event loop goes on meanwhile."""
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - the other side is a thread, which sets no event of this loop
                await asyncio.sleep(0.002)

    def start(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)
        self._thread.start()
        self._place = self._bound()
        self.port = self._place.getsockname()[1]
        self.revive()
        return self

    def revive(self) -> None:
        """Listen, again after `kill`, on the same port."""
        if self._listener is None:
            self._run(self._listen())

    def kill(self) -> None:
        """Reset every connection and refuse new ones from now on."""
        self._run(self._stop())

    def close(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self.kill()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None
        if self._place is not None:
            self._place.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        if self.errors and error is None:
            raise self.errors[0]

    def _bound(self) -> socket.socket:
        """Return a socket bound to our port that never listens: it keeps the port ours, and refused, while the server is killed."""
        place = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if hasattr(socket, "SO_REUSEPORT"):
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((self.host, self.port))
        return place

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Protocol(self), sock=self._bound(), backlog=1024)

    async def _stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        protocols = list(self._open)
        for protocol in protocols:
            protocol.end(reset=True)
        while self._open:  # noqa: ASYNC110 - each leaves at one of the next turns of this very loop
            await asyncio.sleep(0)

    def _run(self, work: Any) -> None:
        if self._loop is None:
            raise RuntimeError("start the server first")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield key
                yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)


class _Protocol(asyncio.Protocol):
    """One connection: records, parses, and answers its requests in order."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: asyncio.Queue[Received | None] = asyncio.Queue()
        self._current: Received | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ours = False
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connection = Connection(len(self._server.history), time.monotonic())
        self._server.history.append(self._connection)
        self._server._open.add(self)
        if any(isinstance(step, Cut) for step in self._server.greet()):
            self.end(reset=True)
        self._task = asyncio.get_running_loop().create_task(self._serve())
        self._task.add_done_callback(self._served)

    def data_received(self, data: bytes) -> None:
        self._connection.raw += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.end()
        except httptools.HttpParserError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.end()

    def eof_received(self) -> bool:
        return False  # half-closed counts as gone: no HTTP client waits for an answer that way

    def connection_lost(self, _exc: Exception | None) -> None:
        self._connection.closed = now = time.monotonic()
        self._server._open.discard(self)
        if self._current is not None and not self._ours:
            self._server.disconnects.append(Disconnect(now, self._current, self._current.chunks_sent))
        self._writable.set()
        self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def end(self, *, reset: bool = False) -> None:
        """Close from our side: what is written still goes out, unless it is a reset."""
        self._ours = True
        if reset:
            with contextlib.suppress(OSError):
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._transport.close()

    # httptools calls these

    def _begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if ("expect", "100-continue") in self._headers:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        request = Received(method, self._url.decode("latin-1"), tuple(self._headers), bytes(self._body), time.monotonic(), self._connection.number)
        self._server.requests.append(request)
        self._waiting.put_nowait(request)
        if not self._parser.should_keep_alive():
            self._waiting.put_nowait(None)

    async def _serve(self) -> None:
        while (request := await self._waiting.get()) is not None:
            self._current = request
            for number, step in enumerate(self._server.respond(request)):
                await self._perform(step, request)
                if number % 64 == 0:
                    await asyncio.sleep(0)  # so that a caller that has gone is noticed within a long answer
                if self._ours or self._transport.is_closing():
                    return
            self._current = None
        self.end()

    def _served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._server.errors.append(error)
            self.end(reset=True)

    async def _perform(self, step: Step, request: Received) -> None:
        match step:
            case Wait(None):
                await asyncio.Event().wait()
            case Wait(seconds):
                assert seconds is not None
                await asyncio.sleep(seconds)
            case Head(data, chunked):
                self._chunked = chunked
                await self._write(data)
            case Part(data, chunk):
                request.chunks_sent += chunk  # first, so that who has read a chunk finds it counted
                if data:
                    await self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
            case End(close):
                if self._chunked:
                    self._transport.write(b"0\r\n\r\n")
                request.finished = True
                if close:
                    self.end()
            case Cut(reset):
                self.end(reset=reset)

    async def _write(self, data: bytes) -> None:
        self._transport.write(data)
        await self._writable.wait()
