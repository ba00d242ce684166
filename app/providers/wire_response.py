"""An answer on its way in: what a caller of the wire holds from the head on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final, Protocol

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.wire_encoding import decode_whole, decoder_for
from app.providers.wire_head import read_headers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from app.providers.wire_encoding import Decoder

HIGH_WATER_BYTES: Final = 256 * 1024
"""What may wait here for a reader before the connection stops reading; the read that goes over it (256 KiB at most) is kept too."""

_THREAD_BYTES: Final = 64 * 1024  # compressed; at 1 : 1,000 what is below takes the event loop about 0.1 s at worst

_HEAD, _CHUNK, _WHOLE = range(3)  # what the reader waits for


class Line(Protocol):
    """What a response needs of the connection that it comes in on."""

    loop: asyncio.AbstractEventLoop
    timer_at: float  # when it looks next whether the response waits for too long, by the loop's clock; infinity: never

    def pause(self) -> None:
        """Stop reading from the socket."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def abort(self) -> None:
        """Close at once, without a word to the response."""
        ...

    def set_timer(self, at: float) -> None:
        """Look then, and fail the response where it waits beyond its `deadline`."""
        ...


class WireResponse:
    """A status, headers, and a body to be read once: whole, or as it arrives, by one reader.

    Whoever holds it reads the body to its end or calls `close`.
    """

    __slots__ = (
        "_encoded",
        "_failure",
        "_head",
        "_held_back",
        "_idle_s",
        "_line",
        "_max_body_bytes",
        "_parts",
        "_size",
        "_take_at_once",
        "_waiter",
        "_wants",
        "deadline",
        "head_by",
        "status",
    )

    def __init__(self, line: Line, idle_s: float, max_body_bytes: int) -> None:
        self.status = 0  # until the head is there
        self._head = b""
        self._encoded = False
        self._line: Line | None = line  # None once the message is whole, has failed or was given up
        self._idle_s = idle_s
        self.head_by = 0.0  # when the head has to be there, by the loop's clock
        self._max_body_bytes = max_body_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._held_back = False
        self.deadline = 0.0  # of who `waits`, by the loop's clock
        self._failure: Failure | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take_at_once: Callable[[bytes], bool] | None = None
        self._wants = _HEAD

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name, made anew each time: a plain answer's nobody reads."""
        return read_headers(self._head)

    @property
    def waits(self) -> bool:
        """Whether somebody waits for what has not arrived."""
        return self._waiter is not None and not self._waiter.done()

    async def read(self, timeout_s: float) -> bytes:
        """Return the body, or what is left of it, decompressed.

        Raises UpstreamError: TIMEOUT, or BROKEN when the body is cut, ill-encoded or over `max_body_bytes`.
        """
        if self._line is not None:
            await self._wait_for_end(timeout_s)
        if self._failure is not None:
            raise UpstreamError(self._failure)
        if self._size > self._max_body_bytes:
            raise UpstreamError(Failure.BROKEN)
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        decoder = self._decoder() if self._encoded else None
        if decoder is None:
            return body
        return await asyncio.to_thread(decode_whole, decoder, body) if len(body) > _THREAD_BYTES else decode_whole(decoder, body)

    async def read_start(self, timeout_s: float, limit_bytes: int) -> bytes:
        """Return the body up to `limit_bytes`, decompressed, and give up what is over. Raises UpstreamError as `read` does."""
        start = bytearray()
        try:
            async with asyncio.timeout(timeout_s), contextlib.aclosing(self.chunks()) as chunks:
                while len(start) < limit_bytes and (chunk := await anext(chunks, None)) is not None:
                    start += chunk
        except TimeoutError:
            raise UpstreamError(Failure.TIMEOUT) from None
        finally:
            self.close()
        return bytes(start[:limit_bytes])

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body's bytes as they arrive, decompressed, cut anywhere, never empty.

        Raises UpstreamError: TIMEOUT when nothing arrives for `idle_s`, BROKEN when the body is cut or ill-encoded. The first chunk has as long as the head
        had, where that is longer: many servers send the head at once and then load a model, or read a long prompt. A stream is not held in memory, so only
        a compressed one is bounded (by `max_body_bytes`).
        """
        self._wants = _CHUNK
        by = self.head_by
        try:
            decoder = self._decoder() if self._encoded else None
            while self._parts or self._line is not None:
                if self._line is not None and not self._parts:
                    try:
                        await self._arrival(self._line, max(by, self._line.loop.time() + self._idle_s))
                    except (asyncio.CancelledError, GeneratorExit):
                        self.close()
                        raise
                by = 0.0
                if not self._parts:
                    continue
                if decoder is None:
                    yield self._take()
                else:
                    for piece in decoder.decode(self._take()):
                        yield piece
            if self._failure is not None:
                raise UpstreamError(self._failure)  # noqa: TRY301 - one place closes, whoever raised
            if decoder is not None:
                decoder.finish()
        except UpstreamError:
            self.close()
            raise

    def offer(self, take: Callable[[bytes], bool]) -> None:
        """Offer what arrives while `chunks` waits to `take` first, which says whether it took it: its reader's task is woken for what it did not.

        Does nothing for a compressed body, or one of which nothing is to come.
        """
        if self._line is not None and not self._encoded:
            self._take_at_once = take

    def close(self) -> None:
        """Give up what is left: abort the connection, unless the message was read whole (then it is back in its pool already). Idempotent."""
        if self._line is not None or self._parts:
            self._give_up(Failure.BROKEN)

    async def wait_for_head(self, deadline: float) -> None:
        """Return when `status` and `headers` are there. Raises UpstreamError."""
        self.head_by = deadline
        if self._line is not None:
            try:
                await self._arrival(self._line, deadline)
            except (asyncio.CancelledError, GeneratorExit):
                self.close()
                raise
        if self.status == 0 and self._failure is not None:
            raise UpstreamError(self._failure)

    # What the connection calls.

    def begin(self, status: int, head: bytes, *, encoded: bool) -> None:
        """Take the head, as it came, and wake who waits for it; `encoded`: it has a Content-Encoding."""
        self.status = status
        self._head = head
        self._encoded = encoded
        if self._waiter is not None:
            self._wake()

    def feed(self, data: bytes) -> None:
        """Take bytes of the body: wake the reader that wants them, and hold the connection back when it is behind."""
        take = self._take_at_once
        if take is not None and self._waiter is not None and take(data):
            self.deadline = time.monotonic() + self._idle_s  # the event loop's clock
            return
        self._parts.append(data)
        self._size += len(data)
        if self._wants == _WHOLE:
            if self._size > self._max_body_bytes:
                self._give_up(Failure.BROKEN)
            return
        if self._size > HIGH_WATER_BYTES and self._line is not None:
            self._held_back = True
            self._line.pause()
        if self._waiter is not None:
            self._wake()

    def finish(self) -> None:
        """Note that the message is whole; the connection goes its own way."""
        self._line = self._take_at_once = None
        if self._waiter is not None:
            self._wake()

    def fail(self, failure: Failure) -> None:
        """Note that the connection is gone before the message was whole."""
        self._failure = failure
        self.finish()

    def _give_up(self, failure: Failure) -> None:
        line, self._line, self._take_at_once = self._line, None, None
        if line is not None:
            line.abort()
        if (line is not None or self._parts) and self._failure is None:
            self._failure = failure
        self._parts.clear()
        self._size = 0
        if self._waiter is not None:
            self._wake()

    async def _wait_for_end(self, timeout_s: float) -> None:
        self._wants = _WHOLE
        if self._size > self._max_body_bytes:
            self._give_up(Failure.BROKEN)
        if self._line is None:
            return
        if self._held_back:
            self._held_back = False
            self._line.resume()
        try:
            await self._arrival(self._line, self._line.loop.time() + timeout_s)
        except (asyncio.CancelledError, GeneratorExit):
            self.close()
            raise

    def _arrival(self, line: Line, deadline: float) -> asyncio.Future[None]:
        """Return what is done once what the reader wants is there. Whoever is cancelled while awaiting it closes."""
        self.deadline = deadline
        if deadline < line.timer_at:
            line.set_timer(deadline)
        waiter = self._waiter = line.loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _decoder(self) -> Decoder | None:
        """Return what undoes the body's encoding. Raises UpstreamError (BROKEN) for one that is not known."""
        return decoder_for(self.headers.get("content-encoding"), self._max_body_bytes)

    def _take(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        if self._held_back and self._line is not None:
            self._held_back = False
            self._line.resume()
        return data
