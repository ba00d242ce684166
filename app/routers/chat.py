"""POST /v1/chat/completions, as an ASGI endpoint that stands before FastAPI's stack: it reads, authenticates, limits, delegates and sends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.errors import GatewayError, MediaTypeError
from app.gateway.body import read_chat_body, take_sensitivity
from app.gateway.bounds import read_bounds
from app.gateway.cache_control import DEFAULT as ANY_ANSWER
from app.gateway.cache_control import parse_cache_control
from app.gateway.decided import is_plain
from app.gateway.hints import NO_HINTS, read_hints, read_tags
from app.gateway.reading import SCAN_INLINE_BYTES
from app.gateway.receipt import Receipt
from app.gateway.request import ChatRequest
from app.gateway.streaming import error_event
from app.http_io import CallerGoneError, Presence, is_whole, read_body, read_headers, send_error, send_whole, shutting_down, take_whole, wait_to_enter
from app.limits import limit_headers, limit_lines, refusal
from app.shortcut import Known
from app.utils.monitoring import ERRORS, IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from starlette.types import Receive, Scope, Send

    from app.dependencies import Guard
    from app.domain import Tenant, Window
    from app.gateway.admission import Admission
    from app.gateway.chat import ChatGateway
    from app.gateway.reply import Reply
    from app.http_io import Header
    from app.shortcut import Shortcut

PATH = "/v1/chat/completions"

# The caller's headers that go upstream; its Authorization never does.
_FORWARDED = frozenset({"idempotency-key", "openai-beta"})

_NO_HEADERS: Mapping[str, str] = {}

_EVENT_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


@dataclass(slots=True)
class ChatEndpoint:
    """Serves one chat request a call."""

    gateway: ChatGateway
    guard: Guard
    admission: Admission
    max_body_bytes: int
    body_idle_s: float
    shortcut: Shortcut | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and account for it whatever became of it."""
        receipt = Receipt()
        fields = scope["sluice"]
        window: Window | None = None
        reply: Reply | None = None
        whose, weight = "", 0  # of what was admitted
        cycle: Any = scope.get("sluice_cycle")
        known = None if cycle is None else cycle.known
        IN_FLIGHT.inc()
        try:
            headers = read_headers(scope) if known is None else _NO_HEADERS  # all that a known head says is known
            client = self.guard.client(scope, headers) if known is None else known.client
            limit = self.guard.limit
            window = await limit.hit(client) if limit.shared else limit.hit_local(client)
            _check(window)
            tenant = self._meet(scope, headers, client) if known is None else known.tenant
            fields["tenant"] = tenant.name
            wanted = self.admission.weigh(headers, whole=is_whole(scope)) if known is None else 1  # it is there, and short
            if not self.admission.try_enter(tenant.key_id, wanted):
                has_s = read_bounds(headers).timeout_below(self.gateway.limits.timeout_s)
                receipt.queue_s = await wait_to_enter(scope, self.admission, tenant.key_id, wanted, has_s)
            whose, weight = tenant.key_id, wanted
            raw = take_whole(scope, self.max_body_bytes)
            if raw is None:
                raw = await read_body(receive, headers, self.max_body_bytes, None if is_whole(scope) else self.body_idle_s)
            with cycle or Presence(receive) as presence:
                reply = await self._reply(raw, headers, tenant, receipt, look=known is None or cycle.decided)
                if reply.stream:
                    await _stream(scope, reply, send, _told(receipt, window), presence)
                elif known is None or not _answer(scope, reply, window):
                    await send_whole(scope, send, reply.body, _told(receipt, window))
        except GatewayError as error:
            await send_error(send, error, _told(receipt, window))
        except CallerGoneError:
            pass
        except BaseException:
            scope["sluice_headers"] = _told(receipt, window)  # RequestEdge answers, and tells what was known
            raise
        finally:
            try:
                if reply is not None:
                    await reply.finish()
            finally:
                IN_FLIGHT.dec()
                if weight:
                    self.admission.leave(whose, weight)
                receipt.note(fields)

    def _meet(self, scope: Scope, headers: Mapping[str, str], client: str) -> Tenant:
        """Return whose request it is, and know its head again where that can be. Raises AuthenticationError."""
        tenant = self.guard.access.tenant(headers.get("authorization"), client)
        key = scope["sluice_cycle"].head_key if "sluice_cycle" in scope else None
        if key is not None and self.shortcut is not None:
            self.shortcut.remember(key, headers, scope["http_version"], Known(tenant, client))
        return tenant

    def _reply(self, raw: bytes, headers: Mapping[str, str], tenant: Tenant, receipt: Receipt, *, look: bool) -> Awaitable[Reply]:
        """Return what waits for the reply, its answer begun; `look`: a body like it may have been decided over before."""
        plain = not headers or is_plain(headers)
        if len(raw) > SCAN_INLINE_BYTES or (plain and look):
            return self._look_or_read(raw, headers, tenant, receipt, plain=plain)
        return self.gateway.run(read_request(raw, headers, tenant, plain=plain), receipt)

    async def _look_or_read(self, raw: bytes, headers: Mapping[str, str], tenant: Tenant, receipt: Receipt, *, plain: bool) -> Reply:
        gateway = self.gateway
        found = await gateway.recall(tenant, raw, receipt) if plain else None
        if found is not None:
            return found
        if len(raw) <= SCAN_INLINE_BYTES:
            request = read_request(raw, headers, tenant, plain=plain)
        else:
            request = await gateway.scans.run(tenant.key_id, len(raw), read_request, raw, headers, tenant)
        return await gateway.run(request, receipt)


def read_request(raw: bytes, headers: Mapping[str, str], tenant: Tenant, *, plain: bool = False) -> ChatRequest:
    """Return the request that a body and its headers make; `plain`: these say nothing (`is_plain`).

    Raises InvalidRequestError and MediaTypeError.
    """
    if plain:
        body = read_chat_body(raw)
        return ChatRequest(body, len(raw), tenant, read_hints({}, take_sensitivity(body)) if "metadata" in body else NO_HINTS, ANY_ANSWER, raw=raw)
    check_media_type(headers)
    body = read_chat_body(raw)
    return ChatRequest(
        body=body,
        size_bytes=len(raw),
        tenant=tenant,
        hints=read_hints(headers, take_sensitivity(body)),
        cache_control=parse_cache_control(headers.get("cache-control")),
        headers=() if _FORWARDED.isdisjoint(headers) else tuple((name, headers[name]) for name in sorted(_FORWARDED) if name in headers),
        tags=read_tags(headers),
        bounds=read_bounds(headers),
    )


def check_media_type(headers: Mapping[str, str]) -> None:
    """Refuse a body that is not announced as JSON; one without a Content-Type is taken for JSON. Raises MediaTypeError."""
    kind = headers.get("content-type", "application/json")
    kind = kind if kind == "application/json" else kind.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise MediaTypeError("The Content-Type must be application/json (with curl: -H 'Content-Type: application/json').")
    if "content-encoding" in headers and headers["content-encoding"].strip().lower() != "identity":
        raise MediaTypeError("The body must not be compressed: send it without Content-Encoding.")


def _check(window: Window | None) -> None:
    if window is not None and not window.allowed:
        raise refusal(window)


def _told(receipt: Receipt, window: Window | None) -> list[Header]:
    return receipt.headers() if window is None else [*receipt.headers(), *limit_headers(window)]


def _answer(scope: Scope, reply: Reply, window: Window | None) -> bool:
    """Answer a caller that is known, past the layers around the endpoint: what they add to an answer hangs on headers that a known head does not have."""
    limits = b"" if window is None else limit_lines(window)
    answered: bool = scope["sluice_cycle"].answer(b"%b%bx-request-id: %b\r\n" % (reply.receipt.lines(), limits, scope["sluice_id"]), reply.body)
    if answered:
        scope["sluice"]["status"] = 200
    return answered


async def _stream(scope: Scope, reply: Reply, send: Send, headers: list[Header], presence: Presence) -> None:
    pass_on = scope["sluice_cycle"].pass_on if "sluice_cycle" in scope else None
    await send({"type": "http.response.start", "status": 200, "headers": [*_EVENT_STREAM, *headers]})
    try:
        async for data in reply.chunks(pass_on):
            if reply.over or pass_on is None or not pass_on(data):
                await send({"type": "http.response.body", "body": data, "more_body": not reply.over})
    except asyncio.CancelledError:
        if presence.gone:
            reply.receipt.ended = "left"
            raise
        error = shutting_down()  # only the server's end cancels otherwise
        ERRORS.labels(error.count_label).inc()
        reply.receipt.ended, reply.receipt.error = "failed", error.count_label
        if "sluice_cycle" not in scope or not scope["sluice_cycle"].cut():
            await send({"type": "http.response.body", "body": error_event(error)})
