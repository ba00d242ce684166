"""An answer and its faults as a list of steps: decided purely here, acted out by the server."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.simulators.faults import Faults

Headers = tuple[tuple[str, str], ...]
_SLOW_PIECES = 8


@dataclass(frozen=True, slots=True)
class Body:
    """A whole answer."""

    content: bytes
    status: int = 200
    headers: Headers = ()
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Stream:
    """A streamed answer: its chunks up to the finish reason, then the dialect's last word, if it has one, and what its faults look like."""

    chunks: Sequence[bytes]
    end: Sequence[bytes] = ()
    headers: Headers = ()
    content_type: str = "text/event-stream"
    comment: bytes = b": PROCESSING\n\n"
    malformed: bytes = b'data: {"choices": [{"ind\n\n'
    error: Sequence[bytes] = ()
    error_body: bytes = b""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass; None is for ever."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Head:
    """The status line and headers; `chunked` says how the parts after it are framed."""

    data: bytes
    chunked: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One write of body bytes. `chunk` counts it as a chunk of a stream."""

    data: bytes
    chunk: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The body is whole; `close` ends the connection too."""

    close: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends in the middle of things, with a FIN or a RST."""

    reset: bool = False


Step = Wait | Head | Part | End | Cut


@dataclass(slots=True)
class _Framing:
    """How a body is put on the wire."""

    status: int
    headers: list[tuple[str, str]]
    length: int | None
    close: bool
    zipper: zlib._Compress | None = field(default=None)

    def head(self) -> Head:
        chunked = self.length is None and not self.close
        lines = [f"HTTP/1.1 {self.status} {_reason(self.status)}", *(f"{name}: {value}" for name, value in self.headers)]
        if chunked:
            lines.append("transfer-encoding: chunked")
        elif not self.close:
            lines.append(f"content-length: {self.length}")
        if self.close:
            lines.append("connection: close")
        return Head(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), chunked)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"


def perform(answer: Body | Stream, faults: Faults) -> list[Step]:
    """Return what the server does to give `answer` with `faults`."""
    if "hang" in faults:
        return [Wait(None)]
    if "refuse" in faults:
        return [Cut(reset=True)]
    steps: list[Step] = []
    if (first := faults.get("slow-first")) is not None:
        steps.append(Wait(first / 1000))
    return steps + (_whole(answer, faults) if isinstance(answer, Body) else _streamed(answer, faults))


def _whole(answer: Body, faults: Faults) -> list[Step]:
    content, half = answer.content, len(answer.content) // 2
    if "endclean" in faults:
        content = content[:half]
    if "malformed" in faults:
        content = content[:half] + b"}{"
    headers = [("content-type", answer.content_type), *answer.headers]
    if "gzip" in faults:
        content = gzip.compress(content, mtime=0)
        headers.append(("content-encoding", "gzip"))
    steps: list[Step] = [_Framing(answer.status, headers, len(content), "connclose" in faults).head()]
    if "stall" in faults:
        return [*steps, Part(content[:half]), Wait(None)]
    if "cut" in faults or "reset" in faults:
        return [*steps, Part(content[: len(content) // 2]), Cut(reset="reset" in faults)]
    if (pause := faults.get("slow-token")) is not None:
        steps.append(Wait(pause / 1000))
    pieces = [content]
    if (pause := faults.get("slow-body")) is not None:
        pieces = [part for a, b in pairwise(range(0, len(content) + _stride(content), _stride(content))) if (part := content[a:b])]
    elif "splitutf8" in faults:
        pieces, pause = _torn(content), 1
    return [*steps, *_paced([Part(piece) for piece in pieces], pause), End(close="connclose" in faults)]


def _stride(content: bytes) -> int:
    return max(1, -(-len(content) // _SLOW_PIECES))


def _streamed(answer: Stream, faults: Faults) -> list[Step]:
    headers = [("content-type", answer.content_type), *answer.headers]
    if "gzip" in faults:
        headers.append(("content-encoding", "gzip"))
    close = "connclose" in faults
    framing = _Framing(200, headers, None, close, zlib.compressobj(wbits=31) if "gzip" in faults else None)
    chunks, last = _broken(answer, faults)
    if "commentfirst" in faults and answer.comment:
        chunks = [answer.comment, *chunks]
    parts = [Part(framing.zipper.compress(c) + framing.zipper.flush(zlib.Z_SYNC_FLUSH) if framing.zipper else c, chunk=True) for c in chunks]
    if framing.zipper and isinstance(last, End):
        parts.append(Part(framing.zipper.flush()))
    pause = faults.get("slow-stream")
    if "splitutf8" in faults:
        parts = [Part(torn, chunk=i == 0) for part in parts for i, torn in enumerate(_torn(part.data))]
        pause = 1 if pause is None else pause
    steps: list[Step] = [framing.head()]
    if (token := faults.get("slow-token")) is not None:
        steps.append(Wait(token / 1000))
    return [*steps, *_paced(parts, pause), last]


def _broken(answer: Stream, faults: Faults) -> tuple[list[bytes], Step]:
    """Return the chunks that are sent, and how the answer ends."""
    chunks = list(answer.chunks)
    whole = chunks if "nodone" in faults else [*chunks, *answer.end]
    close = "connclose" in faults
    if (count := faults.get("error")) is not None:
        return [*chunks[:count], *answer.error], End(close=close)
    if (count := faults.get("malformed")) is not None:
        at = max(0, min(count, len(chunks)) - 1)
        return [*chunks[:at], answer.malformed, *whole[at + 1 :]], End(close=close)
    for name, last in (("cut", Cut()), ("reset", Cut(reset=True)), ("endclean", End(close=close)), ("stall", Wait(None))):
        if (count := faults.get(name)) is not None:
            return chunks[:count], last
    return whole, End(close=close)


def _paced(parts: Iterable[Part], pause_ms: int | None) -> list[Step]:
    steps: list[Step] = []
    for part in parts:
        if steps and pause_ms is not None:
            steps.append(Wait(pause_ms / 1000))
        steps.append(part)
    return steps


def _torn(data: bytes) -> list[bytes]:
    """Cut inside every character of several bytes, inside `data`, and between the two line ends of an event."""
    cuts = {i + 1 for i, byte in enumerate(data) if byte >= 0xC0}
    cuts |= {i + 2 for i in range(len(data)) if data.startswith((b"data", b"event"), i) and (i == 0 or data[i - 1] == 0x0A)}
    cuts |= {i + 1 for i in range(len(data)) if data.startswith(b"\n\n", i)}
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]
