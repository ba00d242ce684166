"""A reply on its way to the caller: whole or streamed, from an upstream or from the cache; and its account at the end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jiter
import orjson

from app.domain import Failure, Usage
from app.errors import GatewayError, UpstreamError
from app.gateway.receipt import cost_usd
from app.gateway.streaming import KEEP_ALIVE, error_event
from app.utils.logging import get_logger
from app.utils.monitoring import COST_USD, FIRST_TOKEN_SECONDS, TOKENS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.gateway.attempts import Served, Walk
    from app.gateway.ports import Cache
    from app.gateway.receipt import Receipt

log = get_logger("reply")

_MAX_STORED_BYTES = 4 * 1024 * 1024
_DRAIN_S = 0.05  # the last chunk of HTTP's framing comes with `[DONE]`, or the connection is not worth keeping
_CHARS_PER_TOKEN = 4  # OpenAI's rule of thumb for English


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer in the cache: who gave it, when (seconds since the epoch), and its bytes as they went to the caller."""

    deployment: str
    stored_at: float
    body: bytes = field(repr=False)

    def dump(self) -> bytes:
        """Return one JSON line of what is known of the answer, then its bytes."""
        return orjson.dumps({"deployment": self.deployment, "stored_at": self.stored_at}) + b"\n" + self.body

    @classmethod
    def load(cls, raw: bytes) -> StoredAnswer | None:
        """Return what `dump` wrote, or None for anything else."""
        head, _, body = raw.partition(b"\n")
        try:
            known = jiter.from_json(head)
            return cls(str(known["deployment"]), float(known["stored_at"]), body)
        except (ValueError, KeyError, TypeError):
            return None

    def age_s(self) -> float:
        """Return the seconds since the answer was stored."""
        return time.time() - self.stored_at


class Reply:
    """What the router sends. It calls `finish` once, whatever became of the sending: accounting belongs to no request that can be cancelled."""

    def __init__(self, receipt: Receipt, *, stream: bool) -> None:
        self.receipt = receipt
        self.stream = stream
        self.body = b""
        self._walk: Walk | None = None
        self._pending: asyncio.Task[Served] | None = None
        self._served: Served | None = None
        self._estimate = Usage(0, 0, estimated=True)
        self._cache: tuple[Cache, bytes, float] | None = None
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._whole = False

    @classmethod
    def of_stored(cls, stored: StoredAnswer, receipt: Receipt, *, stream: bool) -> Reply:
        """Return a reply from the cache; a stored stream is replayed as a stream."""
        reply = cls(receipt, stream=stream)
        reply.body = stored.body
        return reply

    def store_in(self, cache: Cache, key: bytes, ttl_s: float) -> None:
        """Ask for the answer to be stored when it is whole."""
        self._cache = (cache, key, ttl_s)

    def begin(self, walk: Walk, estimate: Usage) -> None:
        """Take the walk that will bring the answer, and what the prompt is estimated to hold."""
        self._walk = walk
        self._estimate = estimate

    async def wait_whole(self) -> None:
        """Wait for a whole answer. Raises GatewayError."""
        served = await self._run()
        self.body = served.body
        self._keep(served.body)
        self._whole = True
        self._settle(served.usage)

    async def wait_first_token(self, commit_s: float) -> None:
        """Wait until the first token, or `commit_s` seconds: from then on no other deployment is tried. Raises GatewayError."""
        self._pending = asyncio.ensure_future(self._run())
        try:
            await asyncio.wait({self._pending}, timeout=commit_s)
        except asyncio.CancelledError:
            self._pending.cancel()
            raise
        if self._pending.done():
            self._pending.result()
            return
        assert self._walk is not None  # noqa: S101 -- `begin` came first
        self._walk.committed = True
        self._note_walk()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the stream for the caller. It ends in `[DONE]`, or in an error event."""
        if self._pending is None:
            yield self.body
            return
        try:
            if not self._pending.done():
                yield KEEP_ALIVE
            served = await self._pending
            async for data in self._passed(served):
                self._keep(data)
                yield data
        except UpstreamError as error:
            self._note_cut(error)
            yield error_event(_broken_off(error))
        except GatewayError as error:  # after the headers had left: nothing can be answered but this event
            yield error_event(error)

    @property
    def stored(self) -> StoredAnswer | None:
        """The whole answer as the cache keeps it, or None while it is not whole or too large to be kept."""
        if not self._whole or self._served is None or self._kept_bytes > _MAX_STORED_BYTES:
            return None
        return StoredAnswer(self._served.deployment.name, time.time(), b"".join(self._kept))

    async def finish(self) -> None:
        """Account for what was served, store it where it is whole, and give up what was not read."""
        self.drop()
        served = self._served
        if served is None:
            return
        if served.watch is not None:
            self._settle(served.watch.usage or self._guess(served.watch.content_chars))
        stored = self.stored
        if self._cache is not None and stored is not None:
            cache, key, ttl_s = self._cache
            await cache.put(key, stored.dump(), ttl_s)

    def drop(self) -> None:
        """Give up what was not read: every connection of this reply is closed, unless its answer was read to the end."""
        pending = self._pending
        if pending is not None and not pending.done():
            pending.cancel()
        elif pending is not None and not pending.cancelled():
            pending.exception()  # it may be that nobody waited for it
        if self._served is not None:
            self._served.answer.close()

    async def _run(self) -> Served:
        assert self._walk is not None  # noqa: S101 -- `begin` came first
        start = time.perf_counter()
        try:
            served = await self._walk.run()
        finally:
            self._note_walk()
            self.receipt.upstream_s = time.perf_counter() - start
        self._served = served
        self.receipt.dropped = served.answer.dropped_params
        if self.stream:
            FIRST_TOKEN_SECONDS.labels(served.deployment.name).observe(time.perf_counter() - self.receipt.started)
        return served

    def _note_walk(self) -> None:
        walk = self._walk
        if walk is not None:
            self.receipt.attempts = walk.attempts
            self.receipt.deployment = walk.current.name if walk.current is not None else None

    async def _passed(self, served: Served) -> AsyncIterator[bytes]:
        watch = served.watch
        assert watch is not None  # noqa: S101 -- a stream has its watch
        assert served.chunks is not None  # noqa: S101 -- and its bytes
        if served.head:
            yield served.head
        if not watch.ended and watch.broken is None:
            async for data in served.chunks:
                passed = watch.feed(data)
                if passed:
                    yield passed
                if watch.ended or watch.broken is not None:
                    break
        if watch.broken is not None:
            raise watch.broken
        last = watch.finish()
        self._whole = True
        yield watch.usage_chunk(watch.usage or self._guess(watch.content_chars)) + last
        await _drain(served)

    def _guess(self, content_chars: int) -> Usage:
        return Usage(self._estimate.prompt_tokens, -(-content_chars // _CHARS_PER_TOKEN), estimated=True)

    def _settle(self, usage: Usage | None) -> None:
        served = self._served
        if served is None or usage is None:
            return
        name = served.deployment.name
        self.receipt.usage = usage
        TOKENS.labels(name, "prompt").inc(usage.prompt_tokens)
        TOKENS.labels(name, "completion").inc(usage.completion_tokens)
        cost = cost_usd(served.deployment, usage)
        if cost is not None:
            self.receipt.cost_usd = cost
            COST_USD.labels(name).inc(cost)

    def _keep(self, data: bytes) -> None:
        if self._cache is None:
            return
        self._kept_bytes += len(data)
        if self._kept_bytes <= _MAX_STORED_BYTES:
            self._kept.append(data)
        else:
            self._kept.clear()

    def _note_cut(self, error: UpstreamError) -> None:
        log.warning("stream_broken", deployment=self.receipt.deployment, code=error.label, failure=str(error.failure))


def _broken_off(error: UpstreamError) -> GatewayError:
    code = "upstream_timeout" if error.failure is Failure.TIMEOUT else "upstream_error"
    return GatewayError("The provider's stream broke off before its end: what was received is incomplete. Ask again.", code=code)


async def _drain(served: Served) -> None:
    """Read what is left after `[DONE]`, so that the connection can be used again."""
    assert served.chunks is not None  # noqa: S101 -- a stream has its bytes
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for _ in served.chunks:
                continue
    except (TimeoutError, UpstreamError):
        return
