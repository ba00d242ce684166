"""Bytes to events, without I/O: lines, server-sent events and Amazon's event stream, whatever the bytes' cuts.

Lines end at CR, LF or CRLF and nowhere else (WHATWG HTML, "Parsing an event stream"): U+2028 and its like are ordinary characters of a JSON string.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import orjson

from app.domain import Failure
from app.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE_LIMIT_BYTES = 32 * 1024 * 1024  # no event of any dialect comes near; without it one endless line would fill the memory


class Framing(Protocol):
    """Turns a body's bytes into its events' JSON objects, each with its type where the type stands outside of it.

    `alive` is set by what says nothing but that the provider is still there.
    """

    alive: bool

    def feed(self, data: bytes) -> Iterable[tuple[str, dict[str, Any]]]:
        """Take bytes and yield the events that they complete. Raises UpstreamError (BROKEN) for what is not the dialect, after the events before it."""
        ...

    def flush(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield what is left at the body's end."""
        ...


class Lines:
    """Cuts bytes into lines without their ends."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._skip_lf = False  # the last byte was a CR: a LF that comes next belongs to it

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and return the lines that they complete."""
        if not data:
            return []
        if self._skip_lf and data.startswith(b"\n"):
            data = data[1:]
        self._skip_lf = data.endswith(b"\r")
        *whole, rest = (data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data).split(b"\n")
        if whole:
            whole[0] = b"".join((*self._held, whole[0]))
            self._held, self._held_bytes = [], 0
        if rest:
            self._held.append(rest)
            self._held_bytes += len(rest)
            if self._held_bytes > LINE_LIMIT_BYTES:
                raise UpstreamError(Failure.BROKEN)
        return whole

    def flush(self) -> list[bytes]:
        """Return the last line where it has no end."""
        rest = b"".join(self._held)
        self._held, self._held_bytes, self._skip_lf = [], 0, False
        return [rest] if rest else []


class JsonLines:
    """One JSON object a line, as Ollama streams."""

    def __init__(self) -> None:
        self.alive = False
        self._lines = Lines()

    def feed(self, data: bytes) -> Iterable[tuple[str, dict[str, Any]]]:
        """Take bytes and yield the objects that they complete."""
        return self._read(self._lines.feed(data))

    def flush(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield a last object without a line end."""
        return self._read(self._lines.flush())

    @staticmethod
    def _read(lines: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
        return (("", parse_object(line)) for line in lines if line.strip())


class ServerSentEvents:
    """Server-sent events whose data are JSON objects. Comments, `id`, `retry` and a `[DONE]` are passed over; Anthropic's `ping` is no more than a comment."""

    def __init__(self) -> None:
        self.alive = False
        self._lines = Lines()
        self._data: list[bytes] = []
        self._event = ""
        self._started = False

    def feed(self, data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """Take bytes and yield the events that they complete."""
        for line in self._lines.feed(data):
            yield from self._take(line)

    def flush(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield a last event without its blank line."""
        for line in (*self._lines.flush(), b""):
            yield from self._take(line)

    def _take(self, line: bytes) -> list[tuple[str, dict[str, Any]]]:
        if not self._started:
            self._started = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                self._data.append(value)
            elif name == b"event":
                self._event = value.decode("ascii", "replace")
            self.alive = self.alive or not name or (name == b"event" and value == b"ping")
            return []
        data, event = b"\n".join(self._data), self._event
        self._data, self._event = [], ""
        if not data.strip() or data == b"[DONE]":
            return []
        return [(event, parse_object(data))]


def parse_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises UpstreamError (BROKEN) for anything else."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise UpstreamError(Failure.BROKEN) from None  # the parser's error holds the document
    if not isinstance(value, dict):
        raise UpstreamError(Failure.BROKEN)
    return value
