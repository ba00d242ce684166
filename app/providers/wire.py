"""The HTTP client: HTTP/1.1 requests over connections that egress admitted. No redirects, proxies, cookies, and nothing from the environment."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from app.domain import Address, Failure, Label
from app.errors import UpstreamError
from app.providers.egress import canonical
from app.providers.wire_dial import Dialer, verified_tls
from app.providers.wire_names import Names
from app.providers.wire_pool import Pool
from app.providers.wire_response import WireResponse

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Sequence

    from app.providers.egress import Egress
    from app.providers.wire_connection import Connection

__all__ = ["FixedHeaders", "Wire", "WireResponse"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OWN_HEADERS: Final = frozenset(
    ("host", "content-length", "transfer-encoding", "accept-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect")
)
_REQUEST_LINE: Final = re.compile(r"[A-Z]+ /[!-~]*")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token (RFC 9110 5.6.2)
_BREAKS: Final = re.compile(r"[\r\n\0]")
_BODILESS: Final = frozenset(("GET", "HEAD"))  # these say nothing of a body where there is none (RFC 9110 8.6)
_CLOSE_WAIT_S: Final = 1.0  # an aborted transport is gone within a turn of the loop; this only keeps a fault from hanging the shutdown


@dataclass(slots=True)
class _Route:
    """What stays the same for every request of one label to one address."""

    target: Address
    pool: Pool
    head: str


class FixedHeaders(tuple[tuple[str, str], ...]):  # noqa: SLOT001 -- a tuple's length is its own: a subclass can have no slot for `written`
    """Headers that many requests share: they are checked and written once for each method and path that they are sent with, which should be few."""

    written: dict[tuple[str, str, str], bytes]

    def __new__(cls, headers: Iterable[tuple[str, str]]) -> Self:
        """Take the headers as they are."""
        made = super().__new__(cls, headers)
        made.written = {}
        return made


class Wire:
    """Sends requests, and keeps connections for the next ones: in pools of one label and one address each.

    `max_body_bytes` bounds what `WireResponse.read` holds; `max_idle` is per pool. `tls` makes the context of https connections, once, when
    first needed, but of those to an address that has its own authorities.
    """

    def __init__(
        self,
        egress: Egress,
        *,
        max_body_bytes: int = 64 * 1024 * 1024,
        max_idle: int = 64,
        max_idle_s: float = 55.0,  # common servers and balancers close after 60
        tls: Callable[[], ssl.SSLContext] = verified_tls,
    ) -> None:
        self._egress = egress
        self._max_body_bytes = max_body_bytes
        self._max_idle = max_idle
        self._max_idle_s = max_idle_s
        self._make_tls = tls
        self._names = Names()
        self._tls_contexts: dict[str | None, ssl.SSLContext] = {}  # by file of authorities
        self._routes: dict[tuple[Label, Address], _Route] = {}
        self._live: set[Connection] = set()
        self._closed = False

    async def request(
        self,
        label: Label,
        target: Address,
        *,
        method: str = "POST",
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        connect_s: float,
        timeout_s: float,
        idle_s: float,
    ) -> WireResponse:
        """Send a request and return its response once the head is there.

        `connect_s` bounds name, TCP and TLS; `timeout_s` all that happens until the head is there; `idle_s` the time between two of the response's chunks.
        `path` is as it goes on the wire, with its query. Headers that frame the message are the wire's own: those given are left out.

        Raises UpstreamError, `sent` False when no byte of the request was written: NOT_CLEARED; UNREACHABLE (no such name, refused, closed before any byte of
        an answer); TIMEOUT; BROKEN (an answer that is not HTTP, or cut in its head); OPERATOR (a header or path that HTTP cannot carry).
        """
        self._egress.admit(label, target)
        route = self._routes.get((label, target)) or self._add_route(label, target)
        head = _encode_head(route, method, path, headers, len(body))
        now = time.monotonic()  # the event loop's clock
        connection = route.pool.take(now) or await self._connect(label, route, min(connect_s, timeout_s))
        response = WireResponse(connection, idle_s, self._max_body_bytes)
        connection.send(response, head, body, head_only=method == "HEAD")
        await response.wait_for_head(now + timeout_s)
        return response

    def replace_egress(self, egress: Egress) -> None:
        """Hold every further request to `egress`, on connections of its own. Responses under way finish; idle connections are closed."""
        self._egress = egress
        self._tls_contexts.clear()  # files of authorities are read anew
        self._close_pools()

    async def aclose(self) -> None:
        """Close every connection; responses under way fail."""
        self._closed = True
        self._close_pools()
        live = tuple(self._live)
        for connection in live:
            connection.fail(Failure.BROKEN)
        if live:
            await asyncio.wait([connection.lost for connection in live], timeout=_CLOSE_WAIT_S)

    async def _connect(self, label: Label, route: _Route, limit_s: float) -> Connection:
        if self._closed:
            raise UpstreamError(Failure.UNREACHABLE, sent=False)
        connection = await Dialer(self._egress, partial(self._tls, route.target), self._names).dial(label, route.target, route.pool, limit_s)
        if self._closed or not connection.is_open:
            connection.abort()
            raise UpstreamError(Failure.UNREACHABLE, sent=False)
        return connection

    def _add_route(self, label: Label, target: Address) -> _Route:
        spelled = canonical(target)
        host = spelled.host.partition("%")[0]
        host = f"[{host}]" if ":" in host else host
        port = "" if _DEFAULT_PORTS.get(spelled.scheme) == spelled.port else f":{spelled.port}"
        pool = Pool(self._live, max_idle=self._max_idle, max_idle_s=self._max_idle_s)
        route = _Route(spelled, pool, f" HTTP/1.1\r\nhost: {host}{port}\r\naccept-encoding: identity\r\n")
        self._routes[label, target] = route
        return route

    def _close_pools(self) -> None:
        for route in self._routes.values():
            route.pool.close()
        self._routes.clear()

    def _tls(self, target: Address) -> ssl.SSLContext:
        file = self._egress.authority(target)
        context = self._tls_contexts.get(file)
        if context is None:
            context = self._tls_contexts[file] = self._make_tls() if file is None else verified_tls(file)
        return context


def _encode_head(route: _Route, method: str, path: str, headers: Sequence[tuple[str, str]], length: int) -> bytes:
    """Return the request's head. Raises UpstreamError (OPERATOR) where a part would break out of its place or cannot be written."""
    if isinstance(headers, FixedHeaders):
        place = (route.head, method, path)
        start = headers.written.get(place)
        if start is None:
            start = headers.written[place] = _encode_start(route, method, path, headers)
    else:
        start = _encode_start(route, method, path, headers)
    if length or method not in _BODILESS:
        return b"%bcontent-length: %d\r\n\r\n" % (start, length)
    return start + b"\r\n"


def _encode_start(route: _Route, method: str, path: str, headers: Sequence[tuple[str, str]]) -> bytes:
    request_line = f"{method} {path}"
    values = "".join([value for _, value in headers])
    if not _REQUEST_LINE.fullmatch(request_line) or _BREAKS.search(values) or not all(_NAME.fullmatch(name) for name, _ in headers):
        raise _unsendable(route)
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers if name.lower() not in _OWN_HEADERS])
    try:
        return f"{request_line}{route.head}{fields}".encode("latin-1")
    except UnicodeEncodeError:
        raise _unsendable(route) from None


def _unsendable(route: _Route) -> UpstreamError:
    remedy = f"A header or the path of a request to {route.target} has a character that HTTP cannot carry: look at the deployment's key, model and address."
    return UpstreamError(Failure.OPERATOR, sent=False, remedy=remedy)
