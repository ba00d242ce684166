"""What the gateway's own ASGI parts share: headers, errors as answers, and the watch for a caller that leaves."""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import TYPE_CHECKING, Any, Self

from app.errors import BodyTimeoutError, BodyTooLargeError, InternalError, UnavailableError
from app.utils.json import dump_json
from app.utils.monitoring import DISCONNECTS, ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from starlette.types import Message, Receive, Scope, Send

    from app.errors import GatewayError
    from app.gateway.admission import Admission

Header = tuple[bytes, bytes]

# A watch is a task: it is made only for a request that lasts, and still in time to notice within 200 ms.
_WATCH_AFTER_S = 0.1


class CallerGoneError(Exception):
    """The caller left before its request was whole: there is nobody to answer."""


class RequestIds:
    """The ids of this process's requests: no two are the same, and none says how many came before it."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(8).encode()
        self._served = secrets.randbelow(1 << 32)

    def new(self) -> bytes:
        """Return an id for a request that brings none."""
        self._served += 1
        return b"req_%b%010x" % (self._process, self._served)


def read_headers(scope: Scope) -> dict[str, str]:
    """Return the request's headers by lower-case name; a name sent more than once has its values joined by commas (RFC 9110, section 5.3)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def is_whole(scope: Scope) -> bool:
    """Say whether the request is known to have arrived to its end (HeldHttpProtocol says so; another server may not)."""
    return "sluice_whole" in scope


async def receive_within(receive: Receive, idle_s: float) -> Message:
    """Return the next message of a request whose body is not whole. Raises BodyTimeoutError."""
    try:
        async with asyncio.timeout(idle_s):
            return await receive()
    except TimeoutError:
        raise BodyTimeoutError(f"The body stopped arriving for {idle_s:g} seconds (BODY_IDLE_S): send it again.", headers={"connection": "close"}) from None


async def read_body(receive: Receive, headers: Mapping[str, str], max_bytes: int, idle_s: float | None = None) -> bytes:
    """Return the request's body; `idle_s` is how long its next part may take (None: it is whole, or may take as long as it likes).

    Raises BodyTooLargeError, BodyTimeoutError, and CallerGoneError for a caller that left in the middle.
    """
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await (receive() if idle_s is None else receive_within(receive, idle_s))
        if message["type"] == "http.disconnect":
            raise CallerGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def take_whole(scope: Scope, max_bytes: int) -> bytes | None:
    """Return the request's body where HeldHttpProtocol has all of it; None where it has to be waited for. Raises BodyTooLargeError."""
    body: bytes | None = scope["sluice_cycle"].take_body() if "sluice_cycle" in scope else None
    if body is not None and len(body) > max_bytes:
        raise too_large(max_bytes)
    return body


async def send_whole(scope: Scope, send: Send, body: bytes, headers: Iterable[Header]) -> None:
    """Answer 200 with JSON: in one message where HeldHttpProtocol serves, for each is a call through every layer."""
    if "sluice_cycle" not in scope:
        await send_json(send, 200, body, headers)
        return
    start = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": start, "sluice_body": body})


def too_large(max_bytes: int) -> BodyTooLargeError:
    """Return the error for a body over the limit; what is left of it is not read, so the connection ends."""
    return BodyTooLargeError(f"The body is larger than {max_bytes} bytes (MAX_BODY_BYTES): send less.", headers={"connection": "close"})


async def send_error(send: Send, error: GatewayError, headers: Iterable[Header] = ()) -> None:
    """Answer with OpenAI's error body."""
    ERRORS.labels(error.count_label).inc()
    own = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    await send_json(send, error.status, error.body(), [*own, *headers], error.count_label)


async def send_json(send: Send, status: int, body: Any, headers: Iterable[Header] = (), error: str = "") -> None:
    """Answer with JSON; bytes are taken for JSON already. `error` is what the access log says of it."""
    raw = body if isinstance(body, bytes) else dump_json(body)
    start = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(raw)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start, **({"sluice_error": error} if error else {})})
    await send({"type": "http.response.body", "body": raw})


def internal_error() -> InternalError:
    """Return what the caller is told of a fault of ours."""
    return InternalError("The gateway failed on this request. The log has the fault under the id in `x-request-id`.")


def shutting_down() -> UnavailableError:
    """Return what the caller of a request is told that outlasts SHUTDOWN_GRACE_S."""
    return UnavailableError("The gateway is shutting down: ask again.", code="shutting_down", headers={"retry-after": "1", "connection": "close"})


class Presence:
    """Cancels the body of a `with` when the caller leaves; nothing of it runs on, nothing is raised, and `gone` says so.

    For a server that has to be asked, by a task that is made only for a request that lasts. HeldCycle is its own.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        self.gone = False

    def __enter__(self) -> Self:
        owner = asyncio.current_task()
        if owner is None:
            raise RuntimeError("a request is served outside a task")
        self._owner = owner
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._begin)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> bool:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        if not self.gone or kind is None or not issubclass(kind, asyncio.CancelledError):
            return False
        self._owner.uncancel()
        DISCONNECTS.inc()
        return True

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self.gone = True
        self._owner.cancel()


async def wait_to_enter(scope: Scope, admission: Admission, tenant: str, weight: int, limit_s: float = math.inf) -> float:
    """Wait for a request's admission, `limit_s` seconds at most, and return how many that took.

    Raises OverloadedError, and CallerGoneError where its caller leaves the line, or left before it.
    """
    cycle = scope.get("sluice_cycle")
    if cycle is None:  # asking `receive` would take the body's messages away
        return await admission.enter(tenant, weight, limit_s)
    if cycle.disconnected:  # a line that is full would refuse it before its cancellation is delivered
        DISCONNECTS.inc()
        raise CallerGoneError
    with cycle:
        return await admission.enter(tenant, weight, limit_s)
    raise CallerGoneError
