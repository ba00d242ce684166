"""The outermost layers, pure ASGI.

From the outside in (main.py builds them in this order):

1. RequestEdge: request id, access log, last resort for faults
2. LoopbackGuard: only while no API keys are configured
3. starlette's CORSMiddleware: only where ALLOWED_ORIGINS is set
4. HotRoute: POST /v1/chat/completions leaves here
5. Gate: everything but /health and /readyz wants a caller
6. BodyLimit, then FastAPI
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from app.access import check_loopback
from app.errors import GatewayError
from app.http_io import CallerGoneError, internal_error, is_whole, read_headers, receive_within, send_error, shutting_down, too_large, wait_to_enter
from app.utils import logging
from app.utils.monitoring import FAULTS, REQUEST_SECONDS, REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.dependencies import Guard
    from app.gateway.admission import Admission
    from app.http_io import Header, RequestIds

log = logging.get_logger("access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_UNROUTED = "unrouted"
_CALLER_GONE = 499  # nginx's number for a caller that left before any answer
_READING = frozenset({"GET", "HEAD", "OPTIONS"})  # these cost little, and an operator wants them most when there is much to do
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestEdge:
    """Gives each request its id, logs it when it is over, and answers 500 for what nobody else caught.

    A caller's own id is taken over when it has the form of one and `holds_content` finds nothing in it: it goes to the log. `paths` are those that are
    served, by which a request is called that a layer refuses before it is routed. `known` serves what has passed every layer before (shortcut.py).
    """

    def __init__(self, app: ASGIApp, holds_content: Callable[[str], bool], ids: RequestIds, paths: Collection[str] = (), known: ASGIApp | None = None) -> None:
        self._app = app
        self._holds_content = holds_content
        self._ids = ids
        self._paths = frozenset(paths)
        self._known = known or app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        is_known = "sluice_cycle" in scope and scope["sluice_cycle"].known is not None
        request_id = scope["sluice_id"] = self._ids.new() if is_known else self._id(scope)
        name = request_id.decode()
        logging.request_id.set(name)  # in the context of the request's own task
        fields = scope["sluice"] = begin_fields(name, scope["method"] if scope["method"] in _METHODS else "OTHER", scope["path"] if is_known else _UNROUTED)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = fields["status"] = message["status"]
                if status >= 400 and "sluice_error" in message:
                    fields["error"] = message["sluice_error"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            await (self._known if is_known else self._app)(scope, receive, send_with_id)
        except asyncio.CancelledError:  # the server's end: a caller that leaves raises nothing
            if fields["status"] != _CALLER_GONE:
                raise
            await send_error(send_with_id, shutting_down(), scope.get("sluice_headers", ()))
        except Exception as exc:
            FAULTS.labels("edge").inc()
            log.fault("request_failed", exc)
            if fields["status"] != _CALLER_GONE:  # only a broken connection tells the truth now
                raise
            await send_error(send_with_id, internal_error(), scope.get("sluice_headers", ()))
        finally:
            if not is_known:
                fields["route"] = self._route(scope)
            account(fields, seconds=time.perf_counter() - start)

    def _route(self, scope: Scope) -> str:
        template: str | None = getattr(scope.get("route"), "path", None)
        return template or (scope["path"] if scope["path"] in self._paths else _UNROUTED)

    def _id(self, scope: Scope) -> bytes:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value) and not self._holds_content(value.decode()):
                return bytes(value)
        return self._ids.new()


class LoopbackGuard:
    """Keeps a gateway without API keys to this machine's own callers."""

    def __init__(self, app: ASGIApp, allowed_origins: Collection[str]) -> None:
        self._app = app
        self._allowed_origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            headers = read_headers(scope)
            try:
                check_loopback(headers.get("host"), headers.get("origin"), self._allowed_origins)
            except GatewayError as error:
                await send_error(send, error)
                return
        await self._app(scope, receive, send)


class HotRoute:
    """Takes one path out of the app that stands behind, before that one's own stack and route table."""

    def __init__(self, app: ASGIApp, *, path: str, endpoint: ASGIApp) -> None:
        self._app = app
        self._path = path
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        await (self._endpoint if scope["method"] == "POST" else self._app)(scope, receive, send)


class Gate:
    """Limits and authenticates every request but those to `open_paths`, admits those that are work, and ends what is done for a caller that leaves.

    The tenant stands in the scope for dependencies.Caller.
    """

    def __init__(self, app: ASGIApp, guard: Guard, admission: Admission, open_paths: Collection[str]) -> None:
        self._app = app
        self._guard = guard
        self._admission = admission
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        limits: list[Header] = []

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *limits]
            await send(message)

        headers = read_headers(scope)
        try:
            scope["sluice_tenant"] = tenant = await self._guard.admit(scope, headers, limits)
            weight = 0 if scope["method"] in _READING else self._admission.weigh(headers, whole=is_whole(scope))
            if weight and not self._admission.try_enter(tenant.key_id, weight):
                await wait_to_enter(scope, self._admission, tenant.key_id, weight)
        except GatewayError as error:
            await send_error(send_with_limits, error)
            return
        except CallerGoneError:
            return
        try:
            with scope.get("sluice_cycle") or nullcontext():  # asking `receive` would take the body's messages away
                await self._app(scope, receive, send_with_limits)
        finally:
            if weight:
                self._admission.leave(tenant.key_id, weight)


class BodyLimit:
    """Refuses bodies over `max_bytes`, announced or not, and those of which nothing more comes for `idle_s` seconds."""

    def __init__(self, app: ASGIApp, max_bytes: int, idle_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._idle_s = idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = read_headers(scope).get("content-length", "")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await send_error(send, too_large(self._max_bytes))
            return
        seen = 0
        whole = False
        refused: GatewayError | None = None

        async def receive_bounded() -> Message:
            nonlocal seen, whole, refused
            try:
                message = await (receive() if whole or is_whole(scope) else receive_within(receive, self._idle_s))
                seen += len(message.get("body", b""))
                if seen > self._max_bytes:
                    raise too_large(self._max_bytes)
            except GatewayError as error:
                refused = error
                raise
            whole = not message.get("more_body", False)
            return message

        async def send_unless_refused(message: Message) -> None:
            if refused is None:  # FastAPI makes a 400 of whatever is raised while it reads a body
                await send(message)
            elif message["type"] == "http.response.start":
                await send_error(send, refused)

        await self._app(scope, receive_bounded, send_unless_refused)


def begin_fields(request_id: str, method: str, route: str, status: int = _CALLER_GONE) -> dict[str, Any]:
    """Begin the access log's event of a request: what is said of every one, in its order. `account` knows `time` and `ms`."""
    return {
        "time": 0.0,
        "level": "info",
        "logger": "access",
        "event": "request",
        "request_id": request_id,
        "method": method,
        "route": route,
        "status": status,
        "ms": 0.0,
    }


_counters: dict[tuple[str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}  # by route and status, as bounded as the labels are


def _count_as(route: str, status: int) -> tuple[Callable[[], None], Callable[[float], None]]:
    found = _counters[route, status] = REQUESTS.labels(route, str(status)).inc, REQUEST_SECONDS.labels(route).observe
    return found


def account(fields: dict[str, Any], *, seconds: float) -> None:
    """Count and log a request that is over."""
    what = fields["route"], fields["status"]
    count, observe = _counters.get(what) or _count_as(*what)
    count()
    observe(seconds)
    fields["ms"] = int(seconds * 10_000 + 0.5) / 10  # `round` takes three times as long
    logging.put(fields)
