"""One request and its answer on a connection: uvicorn's cycle, with an answer's head and first bytes in one write.

uvicorn's own writes the head by itself and looks at each header with two regular expressions and three comparisons: a third of what an ASGI server costs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGE_BYTES = 64 * 1024  # copied behind a head, this would cost more than a second write
_BODILESS = frozenset({204, 304})


class HeldCycle(RequestResponseCycle):
    """Serves one request. The head waits for the first part of the body, which follows at once in everything that the gateway sends.

    `on_gone` is called when the connection is lost before the answer is complete. `send` takes header names in lower case, as ASGI asks.
    """

    def __init__(self, protocol: HttpToolsProtocol, *, keep_alive: bool) -> None:
        super().__init__(
            scope=protocol.scope,
            transport=protocol.transport,
            flow=protocol.flow,
            logger=protocol.logger,
            access_logger=protocol.access_logger,
            access_log=False,
            default_headers=protocol.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=protocol.expect_100_continue,
            keep_alive=keep_alive,
            on_response=protocol.on_response_complete,
        )
        self.on_gone: Callable[[], None] | None = None
        self._head = b""  # until it is written

    def take_body(self) -> bytes | None:
        """Return the body of a request that is whole, without a message for it; None where `receive` has to be asked."""
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return None
        self.flow.resume_reading()
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return body

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

    def _begin(self, status: int, headers: Any) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        fields = [*self.default_headers, *headers]
        known = dict(fields)
        length = known.get(b"content-length")
        if length is not None:
            self.chunked_encoding = False
            self.expected_content_length = int(length)
        elif known.get(b"transfer-encoding") == b"chunked":
            self.chunked_encoding = True
        elif status not in _BODILESS and self.scope["method"] != "HEAD":
            self.chunked_encoding = True
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
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            end = b"" if more else b"0\r\n\r\n"
            body = b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more):
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
        self.on_gone = None
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
