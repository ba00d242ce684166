"""One request and its answer on a connection, as ASGI has it, with an answer's head and first bytes in one write.

uvicorn's own cycle makes an event and a coroutine more for each request, writes the head by itself, and looks at each header with two regular expressions and
three comparisons: that is a third of what an ASGI server costs.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol, Self

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.utils.monitoring import DISCONNECTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.server import ServerState

    from app.shortcut import Known

_HIGH_WATER_BYTES = 64 * 1024  # of a body that waits to be read: no more is taken from the caller meanwhile (uvicorn's number)
_LARGE_BYTES = 64 * 1024  # copied behind a head, this would cost more than a second write
_BODILESS = frozenset({204, 304})
_UNCHUNKED = frozenset({"0.9", "1.0"})  # versions that know no Transfer-Encoding (RFC 9112, section 6.1); their requests are their connection's last

_log = logging.getLogger("uvicorn.error")


class Connection(Protocol):
    """What a request needs of its connection (http_protocol.HeldHttpProtocol)."""

    transport: asyncio.Transport
    flow: FlowControl
    server_state: ServerState
    tasks: set[asyncio.Task[None]]

    def known_start(self) -> bytes:
        """Return how an answer with 200 begins."""

    def on_response_complete(self) -> None:
        """Serve the next request, or be idle."""


class HeldCycle:
    """Serves one request. The head waits for the first part of the body, which follows at once in everything that the gateway sends.

    In a `with`, its task is cancelled when the connection is lost before the answer is complete; nothing of the `with` runs on, nothing is raised, and `gone`
    says so. `send` takes header names in lower case, as ASGI asks.
    """

    disconnected = False
    gone = False
    more_body = True  # of the request
    response_started = False
    response_complete = False
    waiting_for_100_continue = False
    head_key: bytes | None = None  # what shortcut.py would know its head by
    known: Known | None = None  # whose request it is, where shortcut.py knows its head
    decided = False  # whether a body like it was decided over before, of a request that is known
    task: asyncio.Task[None] | None = None  # that serves it
    _watched = False
    _held_bytes = 0
    _news = False  # something has come, or ended, since `receive` last told
    _event: asyncio.Event | None = None  # made for who has to wait for news
    _head = b""  # until it is written
    _chunked = False
    _left_bytes: int | None = 0  # of the body that Content-Length announced; None where the connection's end is the body's

    def __init__(self, connection: Connection, scope: Any, *, keep_alive: bool) -> None:
        self.scope = scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.keep_alive = keep_alive
        self._connection = connection
        self._parts: list[bytes] = []

    def __enter__(self) -> Self:
        if self.task is None:
            raise RuntimeError("a request is served outside a task")
        self._watched = True
        if self.disconnected:
            self.leave()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> bool:
        self._watched = False
        if kind is None or not self.gone or self.task is None or not issubclass(kind, asyncio.CancelledError):
            return False
        self.task.uncancel()
        DISCONNECTS.inc()
        return True

    def lose(self) -> None:
        """Say that the connection is lost: what came of the body is read by nobody."""
        self.disconnected = not self.response_complete
        self._parts.clear()
        if self.task is None:  # never begun, or over: nothing else would take it out of its own scope
            self.scope = {}
        self.wake()
        self.leave()

    def leave(self) -> None:
        """Cancel what is done for a caller that is gone."""
        if self._watched and self.task is not None:
            self.gone = True
            self.task.cancel()

    def cut(self) -> bool:
        """Cut off a caller that does not read, where nothing can be said to it in time; False for one that reads."""
        if self.flow.write_paused:
            self.transport.abort()
        return self.flow.write_paused

    def feed(self, part: bytes) -> None:
        """Take a part of the request's body."""
        if self.response_complete:
            return
        self._parts.append(part)
        self._held_bytes += len(part)
        if self._held_bytes > _HIGH_WATER_BYTES:
            self.flow.pause_reading()
        self.wake()

    def hold_whole(self, body: bytes) -> None:
        """Take the request's body, which has come with its head; of one that nobody serves yet."""
        self._parts.append(body)
        self.more_body = False
        self._news = True

    def end(self) -> None:
        """Say that the request's body is whole."""
        if not self.response_complete:
            self.more_body = False
            self.wake()

    def wake(self) -> None:
        """Let `receive` tell of what is new."""
        self._news = True
        if self._event is not None:
            self._event.set()

    def take_body(self) -> bytes | None:
        """Return the body of a request that is whole, without a message for it; None where `receive` has to be asked."""
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return None
        self._news = False
        return self._take()

    async def receive(self) -> dict[str, Any]:
        """Return what has come of the body since the last time, or that the caller left or has its answer, when there is any of it."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            if not self._news:
                self._event = self._event or asyncio.Event()
                self._event.clear()
                await self._event.wait()
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._take(), "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        """Take one message of the answer; a start that has `sluice_body` brings all of the body with it.

        Raises RuntimeError for one that is not next, or that HTTP cannot carry.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = "http.response.body" if self.response_started else "http.response.start"
        if message["type"] != kind or self.response_complete:
            raise RuntimeError(f"An ASGI message {message['type']!r} came where {kind!r} was due.")
        if self.response_started:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            self._begin(message["status"], message.get("headers", ()))
            if "sluice_body" in message:
                self._send_body(message["sluice_body"], more=False)

    def pass_on(self, part: bytes) -> bool:
        """Write a part of a stream at once, without a message and coroutines for it; False where it has to be sent as a message, as the first one is."""
        if not self._chunked or self._head or not part or self.flow.write_paused or self.disconnected or self.response_complete:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True

    def answer(self, lines: bytes, body: bytes) -> bool:
        """Answer 200 with JSON, at once; False where it has to be sent in messages. `lines` are further ones of the head, each with its end.

        Not for HEAD. Raises RuntimeError where an answer has begun.
        """
        if self.flow.write_paused or self.disconnected:
            return False
        if self.response_started:
            raise RuntimeError("An answer came where another had begun.")
        self.response_started = True
        last = b"" if self.keep_alive else b"connection: close\r\n"
        head = b"%bcontent-type: application/json\r\ncontent-length: %d\r\n%b%b\r\n" % (self._connection.known_start(), len(body), lines, last)
        if len(body) > _LARGE_BYTES:
            self.transport.write(head)
            self.transport.write(body)
        else:
            self.transport.write(head + body)
        self._complete()
        return True

    def ended(self, task: asyncio.Task[None]) -> None:
        """Close a connection whose request was not answered to its end, once its application is done; where nothing was said, with a 500."""
        self._connection.tasks.discard(task)
        fault = asyncio.CancelledError() if task.cancelled() else task.exception()
        if fault is not None or not (self.response_complete or self.disconnected):
            self._see_to_the_end(fault)
        self.task, self.scope = None, {}  # which hold the cycle: the garbage collector would have to find each request otherwise

    def _see_to_the_end(self, fault: BaseException | None) -> None:
        if self.response_complete or self.disconnected:
            _log.error("The application failed.", exc_info=fault)
            return
        _log.error("The application did not complete its answer.", exc_info=fault)
        if self.response_started:
            self.transport.close()
            return
        said = b"Internal Server Error"
        self._begin(500, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(said)), (b"connection", b"close")])
        self._send_body(said, more=False)

    def _take(self) -> bytes:
        if self.flow.read_paused:
            self.flow.resume_reading()
        parts, self._parts, self._held_bytes = self._parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        fields = [*self._connection.server_state.default_headers, *headers]
        known = dict(fields)
        length = known.get(b"content-length")
        if length is not None:
            self._left_bytes = int(length)
        elif known.get(b"transfer-encoding") == b"chunked":
            self._chunked = True
        elif status not in _BODILESS and self.scope["method"] != "HEAD":
            if self.scope["http_version"] in _UNCHUNKED:
                self._left_bytes = None
            else:
                self._chunked = True
                fields.append((b"transfer-encoding", b"chunked"))
        if b"close" in known.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            fields.append((b"connection", b"close"))
        head = STATUS_LINE[status] + b"\r\n".join([*map(b": ".join, fields), b"", b""])
        ends = len(fields) + 2
        if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
            raise RuntimeError("A header of an answer breaks out of its line.")
        self._head = head

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        elif self._chunked:
            end = b"" if more else b"0\r\n\r\n"
            body = b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end
        elif self._left_bytes is not None:
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (self._left_bytes and not more):
                raise RuntimeError("An answer's body is not as long as its Content-Length says.")
        if self._head:
            if len(body) > _LARGE_BYTES:
                self.transport.write(self._head)
            else:
                body = self._head + body
            self._head = b""
        if body:
            self.transport.write(body)
        if not more:
            self._complete()

    def _complete(self) -> None:
        self.response_complete = True
        self._watched = False
        self._parts.clear()  # of a request that was refused unread: an idle connection would hold them
        if self._event is not None:
            self._event.set()
        if not self.keep_alive:
            self.transport.close()
        self._connection.on_response_complete()
