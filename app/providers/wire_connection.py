"""One connection to an upstream: HTTP/1.1 (RFC 9112) over an asyncio transport, one exchange after the other."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from typing import TYPE_CHECKING, Final, Protocol, cast

from httptools import HttpParserError, HttpResponseParser

from app.domain import Failure
from app.providers.wire_head import read_headers

if TYPE_CHECKING:
    from app.providers.wire_response import WireResponse

HEAD_LIMIT_BYTES: Final = 64 * 1024
"""What may arrive without a byte of body: the head with every 1xx before it, and later any chunk extension or trailer."""

_LARGE_BODY_BYTES: Final = 64 * 1024  # a request over this may still be on its way out, in buffers we cannot see, when an early refusal is read
_PEEK_AFTER_S: Final = 1.0  # servers close what was idle for seconds: only then is it worth a system call to look
_H: Final = ord("H")
_FRAMING: Final = frozenset(("content-length", "transfer-encoding"))  # a body ends with the connection where there is neither, and anywhere where both are
_VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.0")  # llhttp takes RTSP/1.0 too
_TIMER_SLACK_S: Final = 0.001  # uvloop's timers have whole milliseconds


class _MalformedError(Exception):
    """Stops the parser from inside one of its callbacks."""


class Home(Protocol):
    """Where a connection belongs."""

    def greet(self, connection: Connection) -> None:
        """Note a connection that was made."""
        ...

    def put(self, connection: Connection) -> None:
        """Take a connection back that can serve another request."""
        ...

    def forget(self, connection: Connection) -> None:
        """Drop a connection that was lost."""
        ...


class Connection(asyncio.Protocol):
    """A socket that egress admitted, and the parser of what comes back on it.

    The parser's callbacks (`on_...`) and asyncio's are attributes of this class because both libraries look them up by name. What frames a body is for the
    parser, which is asked for no headers: they stay bytes (wire_head.py).
    """

    def __init__(self, sock: socket.socket, home: Home) -> None:
        self.loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self.lost: asyncio.Future[None] = self.loop.create_future()  # done when the transport is gone
        self._sock = sock
        self._home = home
        self._transport: asyncio.Transport | None = None  # None before it is made and after it is lost
        self._body: list[bytes] = []  # of one read
        self.on_body = self._body.append
        self._response: WireResponse | None = None  # None while idle
        self._head = b""  # what has arrived before the body
        self._quiet = 0  # bytes since the last one of a body
        self._started = self._in_body = self._ended = self._keep = self._interim = False
        self._head_only = self._large_body = self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self.timer_at = math.inf  # by the loop's clock; infinity: there is none

    # What the wire and its pools call.

    @property
    def is_open(self) -> bool:
        """Whether bytes can still be written."""
        return self._transport is not None and not self._transport.is_closing()

    def is_fresh(self, now: float, max_idle_s: float) -> bool:
        """Return whether a request may be written to this idle connection: open, not idle for too long, nothing waiting to be read (an end of file is)."""
        idle_s = now - self.idle_since
        if idle_s > max_idle_s or self._transport is None or self._transport.is_closing():
            return False
        return idle_s < _PEEK_AFTER_S or _is_silent(self._sock)

    def send(self, response: WireResponse, head: bytes, body: bytes, *, head_only: bool) -> None:
        """Write a request whose answer goes to `response`. `head_only`: the answer has no body, whatever it announces (HEAD)."""
        self._response = response
        self._head = b""
        self._quiet = 0
        self._started = self._in_body = self._ended = self._keep = self._interim = False
        self._head_only = head_only
        self._large_body = len(body) > _LARGE_BODY_BYTES
        transport = self._transport
        if transport is None:
            self.fail(Failure.UNREACHABLE)
        elif self._large_body:
            transport.write(head)
            transport.write(body)
        else:
            transport.write(head + body)

    def abort(self) -> None:
        """Close at once, whatever is under way; the response is not told."""
        self._response = None
        if self._transport is not None:
            self._transport.abort()
        self._stop_timer()

    def fail(self, failure: Failure) -> None:
        """Close at once, and tell the response why."""
        response = self._response
        self.abort()
        if response is not None:
            response.fail(failure)

    def pause(self) -> None:
        """Stop reading from the socket (see `Line` for what a response asks of its connection)."""
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def set_timer(self, at: float) -> None:
        """Look then whether the response waits, and for longer than it wanted to.

        One timer serves the connection's whole life: it looks at the response when it fires, and is moved only when it would fire too late.
        """
        self._stop_timer()
        self.timer_at = at
        self._timer = self.loop.call_at(at, self._on_timer)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; over TLS this is after the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = HttpResponseParser(self)  # not before: it holds this connection, and one that is never made would never let go of it
        self._home.greet(self)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, and pass it on once."""
        response = self._response
        if response is None:  # nobody asked: an idle connection, or one that was given up
            self.abort()
            return
        in_body = self._in_body
        malformed = False
        try:
            if not in_body:
                data = self._take_head(data)
            self._parser.feed_data(data)
        except (HttpParserError, _MalformedError):
            malformed = True
        if body := self._body:
            self._quiet = 0
            response.feed(body[0] if len(body) == 1 else b"".join(body))
            body.clear()
            malformed = malformed or self._interim  # what is skipped has no body
        elif in_body:
            self._quiet += len(data)
            malformed = malformed or self._quiet > HEAD_LIMIT_BYTES
        if self._ended:
            self._keep = self._keep and not malformed  # bytes after the message's end
            self._release()
        elif malformed:
            self.fail(Failure.BROKEN)

    def eof_received(self) -> None:
        """End what is framed by the connection's end; anything else is cut."""
        response = self._response
        if self._in_body and response is not None and _FRAMING.isdisjoint(response.headers) and self._is_end_announced():
            self._release()
        else:
            self.fail(Failure.BROKEN if self._started else Failure.UNREACHABLE)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature; a reset and an end are both cuts here
        """Forget the transport."""
        self._transport = None
        self.fail(Failure.BROKEN if self._started else Failure.UNREACHABLE)
        self._home.forget(self)
        self.lost.set_result(None)
        del self._parser  # which holds this connection: the garbage collector would have to find both

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Refuse a second message for one request."""
        if self._ended:
            raise _MalformedError

    def on_headers_complete(self) -> None:
        """Skip an interim answer (RFC 9110 15.2), else begin the response."""
        status = self._parser.get_status_code()
        head = self._head if self._head[0] == _H else self._head.lstrip(b"\r\n")  # of an answer behind an interim one
        end = head.find(b"\r\n\r\n")
        if end < 0 or head[:8] not in _VERSIONS:  # llhttp takes no other end
            raise _MalformedError
        if not 200 <= status < 600:
            if status == 101 or not 100 <= status < 200:
                raise _MalformedError
            self._interim = True
            self._head = head[end + 4 :]
            return
        head = head[:end]
        lower = head.lower()
        headers = read_headers(lower) if lower.find(b"-encoding:") >= 0 else {}  # most have none; `in` takes twice as long as `find`
        if headers.get("transfer-encoding", "chunked") != "chunked" or headers.keys() >= _FRAMING:
            raise _MalformedError
        self._in_body = True
        self._quiet = 0
        self._head = b""
        if self._response is not None:
            self._response.begin(status, head, encoded="content-encoding" in headers)
        if self._head_only:
            self._ended = True
            raise _MalformedError  # httptools cannot be told that what is announced will not come

    def on_message_complete(self) -> None:
        """Note the end, unless it was an interim answer's."""
        if self._interim:
            if self._body:
                raise _MalformedError  # what is skipped has no body
            self._interim = False
            return
        self._ended = True
        self._keep = self._parser.should_keep_alive()

    def _take_head(self, data: bytes) -> bytes:
        """Keep what may be of the head, and return what the parser is to be fed; of a read that goes over the limit it has had the first part then."""
        if not self._started:
            self._started = True
            if data[0] != _H:
                raise _MalformedError
        room = HEAD_LIMIT_BYTES - self._quiet
        if len(data) <= room:
            self._head += data
            self._quiet += len(data)
            return data
        self._head += data[:room]
        self._parser.feed_data(data[:room])
        if not self._in_body:
            raise _MalformedError
        return data[room:]

    def _release(self) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        response.finish()
        transport = self._transport
        # Over TLS it cannot be seen whether the whole request has left, so an error after a large body is taken for an early refusal.
        refused = self._large_body and response.status >= 400
        if self._keep and transport is not None and not refused and transport.get_write_buffer_size() == 0:
            if self._paused:
                self.resume()
            self._home.put(self)
        else:
            self.abort()

    def _is_end_announced(self) -> bool:
        """Return whether the end of the connection is the server's word: over TLS anybody on the way can send the end that TCP has (RFC 9112 9.8)."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return len(tls.read(1)) == 0  # what a close_notify leaves; without one there is more to wait for
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.timer_at = math.inf

    def _on_timer(self) -> None:
        self._timer = None
        self.timer_at = math.inf
        response = self._response
        if response is None or not response.waits:
            return
        if response.deadline - self.loop.time() > _TIMER_SLACK_S:
            self.set_timer(response.deadline)
        else:
            self.fail(Failure.TIMEOUT)


def _is_silent(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
