"""Requests that ask for another protocol than HTTP/1.1, as Java's client does of every server that it reaches without TLS: they are served in HTTP/1.1.

A server may ignore `Upgrade` (RFC 9110, section 7.8). httptools takes such a request for one without a body, and stops behind its head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import httptools

if TYPE_CHECKING:
    from app.http_cycle import HeldCycle

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Callbacks(Protocol):
    """What httptools calls, of a connection (http_protocol.HeldHttpProtocol)."""

    def on_message_begin(self) -> None:
        """Begin a head."""

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""

    def on_headers_complete(self) -> None:
        """End a head."""

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""

    def on_message_complete(self) -> None:
        """End a message."""


class _Behind:
    """Hands on all but the beginning and the end of the first head, which is there for its framing alone."""

    def __init__(self, connection: Callbacks) -> None:
        self._connection = connection
        self._in_first_head = True
        self.on_url = connection.on_url
        self.on_header = connection.on_header  # it keeps none once a head is complete
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete

    def on_message_begin(self) -> None:
        if not self._in_first_head:
            self._connection.on_message_begin()

    def on_headers_complete(self) -> None:
        if not self._in_first_head:
            self._connection.on_headers_complete()
        self._in_first_head = False


def parser_behind(connection: Callbacks, cycle: HeldCycle) -> httptools.HttpRequestParser:
    """Return what reads the body of `cycle`, a request that was just taken for whole by its head, and all that follows on its connection."""
    cycle.more_body = True
    cycle.scope.pop("sluice_whole", None)
    parser = httptools.HttpRequestParser(_Behind(connection))
    framing = (b"%b: %b\r\n" % field for field in cycle.scope["headers"] if field[0] in _FRAMING)
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
    return parser
