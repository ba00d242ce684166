"""What a caller may do to a connection before and beside its requests: uvicorn's protocol, held to sizes and times.

uvicorn's own appends trailers to a request's headers (RFC 9110, section 6.5.1, warns of that), buffers heads of any size, and waits for ever for a head to
end and for a caller to read.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.errors import GatewayError, HeadTooLargeError, InvalidRequestError
from app.http_cycle import HeldCycle
from app.http_upgrade import parser_behind
from app.utils.json import dump_json
from app.utils.logging import get_logger
from app.utils.monitoring import ERRORS, FAULTS, REQUESTS

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport
    from collections.abc import Callable

    from app.shortcut import Known, Shortcut, Visit

MAX_HEAD_BYTES = 64 * 1024  # URL and headers; nginx and Node allow 16 to 32 KiB

# A client that is refused while it sends would lose the answer to a TCP reset: what it sends on is read and thrown away for so long.
_LINGER_S = 2.0

# A server that ends may be sent a request just then: on a connection that is new or idle it waits so long for one.
_LAST_REQUEST_S = 0.25

# So much must leave in each `write_idle_s`: a caller that reads byte by byte holds as much as one that does not read.
_MIN_PROGRESS_BYTES = 16 * 1024

_INVALID = InvalidRequestError("This is not valid HTTP/1.1: the request was not read.", code="invalid_http")

# What nearly every request asks for is not taken apart each time.
_HOT_URL = b"/v1/chat/completions"
_HOT = (_HOT_URL.decode(), _HOT_URL, b"")

# All that a request is whose head is known: for RequestEdge and what that has stand behind it for such.
_KNOWN = {"type": "http", "http_version": "1.1", "method": "POST", "path": _HOT[0], "headers": (), "sluice_whole": True}

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_TIMER_SLACK_S = 0.001  # uvloop's timers have whole milliseconds

log = get_logger("access")


class _Ignored(list[tuple[bytes, bytes]]):
    """Takes the place of a message's headers once its head is complete: trailers are not kept."""

    def append(self, _: tuple[bytes, bytes], /) -> None:
        """Keep nothing."""


_IGNORED = _Ignored()


class HeldHttpProtocol(HttpToolsProtocol):
    """One connection.

    `head_s`: from its start, or from a head's own first bytes, until that head is complete; then it is closed. `write_idle_s`: how long a caller that has
    more than uvicorn's high-water mark to read may take none of it; then the connection is cut, which is how its request learns that the caller is gone.
    """

    head_s = 30.0

    cycle: HeldCycle  # type: ignore[assignment] # in place of uvicorn's

    def __init__(self, *args: Any, write_idle_s: float = 60.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.write_idle_s = write_idle_s
        self._held = 0  # bytes received since the parser last passed anything on: no more is ever buffered unseen
        self._fed = 0  # bytes of the piece that is being parsed
        self._in_head = self._in_body = False
        self._refusal: GatewayError = _INVALID
        self._refused = False
        self._head_timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None
        self._unwritten = 0
        self._shortcut: Shortcut | None = self.app_state.get("shortcut")
        self._visit: Callable[[bytes], Visit | None] | None = None
        self._head_key: bytes | None = None  # of the piece that is being parsed
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._known_start = b""  # of an answer that the shortcut gives
        self._drain = self.app_state.get("drain")  # says whether the process is about to end (shutdown.Drain)
        self._ending = False
        self._idle_since: float | None = None  # None while a request is served
        self._served: HeldCycle | None = None  # `cycle` is the newest, which may wait
        self._waiting: deque[HeldCycle] = deque()  # requests that came before the one before was answered, the newest first

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin; the first head's time runs from here."""
        super().connection_made(transport)
        if self._shortcut is not None:
            self._visit = self._shortcut.visitor(self.client[0] if self.client else "")
        self._head_timer = self.loop.call_later(self.head_s, self._end_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, with every timer; the request that is served is told, and those that wait for its answer are never begun.

        Nothing of the connection is left in a cycle of references: it would hold its last request until the garbage collector comes by.
        """
        self._cancel_head_timer()
        self.resume_writing()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self.connections.discard(self)
        while self._waiting:
            self._waiting.pop().lose()
        cycle, self._served, self.cycle = self._served, None, None  # type: ignore[assignment] # as uvicorn has it before the first request
        if exc is None:
            self.transport.close()
        self.parser = None
        if cycle is not None:
            cycle.lose()

    def data_received(self, data: bytes) -> None:
        """Parse what came, within bounds."""
        if self._refused:
            return
        self._head_key = None
        if self._visit is not None and self._is_between():
            visit = self._visit(data)
            if visit is not None:
                self._head_key, known, body = visit
                if known is not None and self._serve_known(known, body):
                    return
        self._fed = len(data)
        self._held += self._fed
        self._idle_since = None
        try:
            while data:
                data = self._parse(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        if self._held:
            self._bound_what_waits()

    def _parse(self, data: bytes) -> bytes:
        """Parse, and return what is left behind a head that asks for another protocol."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._in_body = True
            self.parser = parser_behind(self, self.cycle)
            return data[exc.args[0] :]
        return b""

    def _is_between(self) -> bool:
        """Say whether all that came before is answered, and the caller reads its answers."""
        return not (self._held or self._in_head or self._in_body) and (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _serve_known(self, known: Known, body: bytes) -> bool:
        """Serve a request without reading its head, which is known (shortcut.py); False where it has to be read."""
        if self._shortcut is None or self._ending or (self._drain is not None and self._drain.begun):
            return False
        try:
            decision = self._shortcut.find(known, body)
            answer = None if decision is None else self._shortcut.answer(known, decision)
        except Exception as exc:  # noqa: BLE001 -- it is a request like any other then, whose edge answers for what fails
            FAULTS.labels("shortcut").inc()
            log.fault("shortcut_failed", exc)
            return False
        if self._head_timer is not None:
            self._cancel_head_timer()
        if answer is not None:
            self.transport.write(self.known_start() + answer)
            self.on_response_complete()
            return True
        self._idle_since = None
        scope: dict[str, Any] = _KNOWN.copy()
        self.cycle = scope["sluice_cycle"] = cycle = HeldCycle(self, scope, keep_alive=True)
        cycle.known, cycle.decided = known, decision is not None
        cycle.hold_whole(body)
        self._serve(cycle)
        return True

    def known_start(self) -> bytes:
        """Return how an answer with 200 begins."""
        headers = self.server_state.default_headers
        if headers is not self._default_headers:  # uvicorn makes them anew each second
            self._default_headers = headers
            self._known_start = STATUS_LINE[200] + b"".join(b"%b: %b\r\n" % header for header in headers)
        return self._known_start

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._in_head = True
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Freeze the head and begin its request."""
        if max(self._held, self._fed) > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            self._refusal = _too_large()
            raise httptools.HttpParserError  # not the refusal: kept with its traceback, it would hold the connection in a cycle
        self._held = 0
        if self._head_timer is not None:
            self._cancel_head_timer()
        self._begin_request()
        self._in_head, self._in_body = False, True
        if self._ending or (self._drain is not None and self._drain.begun):
            _make_last(self.cycle)
        self.headers = _IGNORED

    def on_body(self, body: bytes) -> None:
        """Hand on a part of the body."""
        self._held = 0
        self.cycle.feed(body)

    def on_message_complete(self) -> None:
        """End a request, and say in its scope that reading its body does not wait."""
        self._held = 0
        self._in_body = False
        self.cycle.scope["sluice_whole"] = True
        self.cycle.end()

    def pause_writing(self) -> None:
        """Hold the sender, and look from time to time whether the caller reads at all."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Let the sender go on."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def shutdown(self) -> None:
        """Take no more requests but one that may be on its way already."""
        self._ending = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_LAST_REQUEST_S, self._close_if_idle)
        elif not self.cycle.response_started:  # one that is under way has promised already that another request may follow
            _make_last(self.cycle)

    def on_response_complete(self) -> None:
        """Serve the next request that has come already, or be idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self._waiting:
            self._serve(self._waiting.pop())
            return
        self._idle_since = self.loop.time()
        if self._ending:
            self.loop.call_later(_LAST_REQUEST_S, self._close_if_idle)
        elif self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose last answer is not read yet has `write_idle_s`.

        One timer serves all requests of a connection: it is not moved by each, and looks when it fires whether it fires too early.
        """
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > _TIMER_SLACK_S:
            self.timeout_keep_alive_task = self.loop.call_later(left_s, self.timeout_keep_alive_handler)
            return
        super().timeout_keep_alive_handler()
        self._watch_writing()

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _begin_request(self) -> None:
        """Make the scope (ASGI's HTTP specification), and serve the request, or keep it until the one before it is answered."""
        parser = self.parser
        version = parser.get_http_version()
        path, raw_path, query = _HOT if self.url == _HOT_URL else _split(self.url)
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "scheme": self.scheme,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self.headers,
            "client": self.client,
            "server": self.server,
            "state": self.app_state.copy(),
        }
        before = self.cycle
        keep_alive = version == "1.1" and parser.should_keep_alive()  # Transfer-Encoding in any other is faulty framing (RFC 9112, section 6.1)
        self.cycle = scope["sluice_cycle"] = cycle = HeldCycle(self, scope, keep_alive=keep_alive)
        cycle.waiting_for_100_continue = self.expect_100_continue
        cycle.head_key, self._head_key = self._head_key, None  # one request's alone: another may stand behind it in the same piece
        if before is None or before.response_complete:
            self._serve(cycle)
        else:
            if self._waiting:  # not for the first that waits: the end of a connection that is not read goes unnoticed
                self.flow.pause_reading()
            self._waiting.appendleft(cycle)

    def _serve(self, cycle: HeldCycle) -> None:
        self._served = cycle
        task = cycle.task = self.loop.create_task(self.app(cycle.scope, cycle.receive, cycle.send))
        self.tasks.add(task)
        task.add_done_callback(cycle.ended)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _bound_what_waits(self) -> None:
        """Refuse what is too much without an end (a head, or trailers); else give a head that has begun its time."""
        if self._held > MAX_HEAD_BYTES and not self._refused:
            self._refuse(_too_large())
        elif not self._in_body and not self._refused and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_s, self._end_head)

    def _end_head(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:  # what has come early waits for the answer before it
            self._head_timer = self.loop.call_later(self.head_s, self._end_head)
        else:
            self.transport.close()
            self._watch_writing()

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: GatewayError) -> None:
        """Read no more. Answer with `error` and close, unless that would fall into another answer that is on its way."""
        self._refused = True
        self._cancel_head_timer()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not self._in_body:
            cycle.keep_alive = False  # that answer ends the connection
            return
        if self._in_body and (cycle.response_started or self._waiting):
            self.transport.close()
            return
        request_id = "req_" + secrets.token_hex(12)
        ERRORS.labels(error.count_label).inc()
        REQUESTS.labels("unrouted", str(error.status)).inc()
        log.info("request_refused", status=error.status, code=error.code, request_id=request_id)
        self.transport.write(_answer(error, request_id))
        if self._in_body:
            self.transport.close()  # its request learns so that there is nobody to answer
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)

    def _watch_writing(self) -> None:
        if self._write_timer is None and (unwritten := self.transport.get_write_buffer_size()):
            self._unwritten = unwritten
            self._write_timer = self.loop.call_later(self.write_idle_s, self._check_writing)

    def _check_writing(self) -> None:
        """Cut a connection whose caller does not read."""
        self._write_timer = None
        unwritten = self.transport.get_write_buffer_size()
        if unwritten and self._unwritten - unwritten < _MIN_PROGRESS_BYTES:
            self.transport.abort()
        else:
            self._watch_writing()


def _make_last(cycle: HeldCycle) -> None:
    """End the connection after this answer, which says so where its head has not left."""
    cycle.keep_alive = False


def _split(url: bytes) -> tuple[str, bytes, bytes]:
    """Return a request target's path, as it came and without percent-encoding, and its query. Raises httptools.HttpParserInvalidURLError."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


def _too_large() -> HeadTooLargeError:
    return HeadTooLargeError(f"The request's URL and headers are larger than {MAX_HEAD_BYTES} bytes: send less.")


def _answer(error: GatewayError, request_id: str) -> bytes:
    body = dump_json(error.body())
    head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\nx-request-id: {request_id}\r\n\r\n"
    return STATUS_LINE[error.status] + head.encode() + body
