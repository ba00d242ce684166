"""Open-loop load, for what wrk cannot send: requests leave at a constant rate whether or not answers come, and times count from when each was due.

    python -m benchmarks.load '{"port": 8000, "rate": 100, "seconds": 5, "count": 100, "pace_ms": 5}'

Prints one JSON object. `count` 0 sends plain JSON requests; `large_every_s` sends a request of 1 MB now and then among the others.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from dataclasses import dataclass, field
from time import monotonic  # and not the loop's time, which uvloop keeps in whole milliseconds
from typing import TYPE_CHECKING

import uvloop

from benchmarks.payloads import MARK, json_body, letters, nonce, stream_body

if TYPE_CHECKING:
    from collections.abc import Mapping

_STALL_MS = 100.0  # a gap between two chunks that a reader notices, at 20 ms pace
_GRACE_S = 15.0
_MARK = MARK.encode()


@dataclass(frozen=True, slots=True)
class Load:
    """What to send."""

    port: int
    rate: float
    seconds: float
    count: int = 0
    pace_ms: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    large_every_s: float = 0.0


@dataclass(slots=True)
class Outcome:
    """One request: when it was due, when bytes came."""

    due: float
    first: float = 0.0
    last: float = 0.0
    gap: float = 0.0  # the longest between two reads
    reads: int = 0
    whole: bool = False


class Caller(asyncio.Protocol):
    """One connection, for one request at a time."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._outcome: Outcome | None = None
        self._tail = b""
        self._left = -1  # bytes of a body by length that are still to come; -1: ended by its last chunk
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment] # uvloop's has no common base

    def send(self, request: bytes, outcome: Outcome) -> None:
        self._outcome = outcome
        self._tail = b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        outcome = self._outcome
        if outcome is None:
            return
        now = monotonic()
        if outcome.reads == 0:
            outcome.first = now
            self._left = _length(data)
        else:
            outcome.gap = max(outcome.gap, now - outcome.last)
        outcome.reads += 1
        outcome.last = now
        if self._left > 0:
            self._left -= len(data)
        self._tail = (self._tail + data)[-32:]
        if self._left == 0 or (self._left < 0 and self._tail.endswith(b"0\r\n\r\n")):
            outcome.whole = self._left == 0 or self._generator.is_whole(self._tail)
            self._outcome = None
            self._generator.idle.append(self)
            self._generator.finished += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        if self._outcome is not None:
            self._outcome = None
            self._generator.finished += 1
        if self in self._generator.idle:
            self._generator.idle.remove(self)


def _length(head: bytes) -> int:
    """Return how many bytes follow the first read, and -1 where no length is announced. A head fits into a read."""
    end = head.find(b"\r\n\r\n") + 4
    at = head.lower().find(b"content-length:", 0, end)
    if at < 0:
        return -1
    left = int(head[at + 15 : head.find(b"\r\n", at)]) - (len(head) - end)
    return left + len(head)  # data_received takes this read away again


class Generator:
    """Sends a load and keeps what became of each request."""

    def __init__(self, load: Load) -> None:
        self.loop = asyncio.get_running_loop()
        self.idle: list[Caller] = []
        self.finished = 0
        self._load = load
        self._number = nonce()
        self._small = self._framed(stream_body(load.count, load.pace_ms) if load.count else json_body(1024))
        self._large = self._framed(json_body(1024 * 1024))

    def is_whole(self, tail: bytes) -> bool:
        """Say whether a chunked answer ended as it should; a stream ends in [DONE]."""
        return not self._load.count or b"[DONE]" in tail

    async def run(self) -> tuple[list[Outcome], list[Outcome]]:
        """Return what became of the small requests, and of the large ones."""
        load = self._load
        small: list[Outcome] = []
        large: list[Outcome] = []
        tasks: set[asyncio.Task[None]] = set()
        start = monotonic() + 0.1
        dues = [(start + index / load.rate, small) for index in range(int(load.rate * load.seconds))]
        if load.large_every_s:
            dues += [(start + load.large_every_s * (index + 0.5), large) for index in range(int(load.seconds / load.large_every_s))]
        for due, outcomes in sorted(dues, key=lambda item: item[0]):
            if (wait := due - monotonic()) > 0:
                await asyncio.sleep(wait)
            outcome = Outcome(due)
            outcomes.append(outcome)
            if self.idle:
                self.idle.pop().send(self._request(large=outcomes is large), outcome)
                continue
            task = asyncio.ensure_future(self._connect(outcome, large=outcomes is large))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        deadline = monotonic() + _GRACE_S
        while self.finished < len(dues) and monotonic() < deadline:  # noqa: ASYNC110 -- a look now and then costs the load less than an event
            await asyncio.sleep(0.02)
        for caller in self.idle[:]:
            caller.transport.abort()
        return small, large

    async def _connect(self, outcome: Outcome, *, large: bool) -> None:
        try:
            _, caller = await self.loop.create_connection(lambda: Caller(self), "127.0.0.1", self._load.port)
        except OSError:
            self.finished += 1
            return
        caller.send(self._request(large=large), outcome)

    def _framed(self, body: bytes) -> tuple[bytes, bytes]:
        lines = [f"host: 127.0.0.1:{self._load.port}", "content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self._load.headers.items()]
        before, _, after = body.partition(_MARK)
        return ("POST /v1/chat/completions HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + before, after

    def _request(self, *, large: bool) -> bytes:
        self._number += 1
        before, after = self._large if large else self._small
        return before + letters(self._number).encode() + after


def summary(load: Load, outcomes: list[Outcome]) -> dict[str, float]:
    """Return the figures of one kind of request, in milliseconds. A gap is the longest of its stream."""
    whole = [outcome for outcome in outcomes if outcome.whole]
    if len(whole) < 2:
        return {"requests": len(whole), "failed": len(outcomes) - len(whole), "seconds": load.seconds, "stalled": 0}
    first = [(outcome.first - outcome.due) * 1000 for outcome in whole]
    total = [(outcome.last - outcome.due) * 1000 for outcome in whole]
    gaps = [outcome.gap * 1000 for outcome in whole]
    return {
        "requests": len(whole),
        "failed": len(outcomes) - len(whole),
        "seconds": load.seconds,
        "p50_ms": round(statistics.median(total), 3),
        "p99_ms": round(_high(total), 3),
        "first_p50_ms": round(statistics.median(first), 3),
        "first_p99_ms": round(_high(first), 3),
        "gap_p50_ms": round(statistics.median(gaps), 3),
        "gap_p99_ms": round(_high(gaps), 3),
        "stalled": sum(gap > _STALL_MS for gap in gaps),
        "reads": round(statistics.fmean(outcome.reads for outcome in whole), 1),
    }


def _high(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


async def main(load: Load) -> None:
    small, large = await Generator(load).run()
    result: dict[str, object] = {**summary(load, small)}
    if large:
        result["large"] = summary(load, large)
    print(json.dumps(result))


if __name__ == "__main__":
    uvloop.run(main(Load(**json.loads(sys.argv[1]))))
