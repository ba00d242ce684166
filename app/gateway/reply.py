"""A reply on its way to the caller: from the cache, whole, or streamed; and its account at the end."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from app.domain import Failure, Usage
from app.errors import GatewayError, UpstreamError, without_frames
from app.gateway.deadlines import Within
from app.gateway.receipt import cost_usd
from app.gateway.stored import MAX_STORED_BYTES, StoredAnswer
from app.gateway.streaming import KEEP_ALIVE, StreamWatch, error_event
from app.utils.logging import get_logger
from app.utils.monitoring import ATTEMPTS, ERRORS, FIRST_TOKEN_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from app.gateway.attempts import Walk
    from app.gateway.beginning import Served
    from app.gateway.receipt import Receipt
    from app.gateway.stored import Place
    from app.gateway.taint import Conversation
    from app.gateway.transcript import Transcript

    PassOn = Callable[[bytes], bool]  # writes to the caller at once; False where that cannot be

log = get_logger("reply")

_ALIVE_EVERY_S = 10.0  # proxies give up what is silent, commonly after 60
_DRAIN_S = 0.05  # the last chunk of HTTP's framing comes with `[DONE]`, or the connection is not worth keeping
_LARGE_BYTES = 64 * 1024  # goes before the end and not with it: a caller that does not take it has not had the end, and has left
_CHARS_PER_TOKEN = 4  # OpenAI's rule of thumb for English


class Reply:
    """What the router sends: `body`, or `chunks()` where `stream`. The router calls `finish` once, whatever became of the sending.

    `over` says, with what `chunks()` yields last, that this is the last. This one is there already: it comes from the cache, and a stored stream is replayed
    as a stream.
    """

    over = False

    def __init__(self, receipt: Receipt, *, stream: bool, body: bytes = b"") -> None:
        self.receipt = receipt
        self.stream = stream
        self.body = body

    async def chunks(self, pass_on: PassOn | None = None) -> AsyncIterator[bytes]:  # noqa: ARG002 -- what is there already is passed on in one piece
        """Yield the stream for the caller. Parts of it may go to `pass_on` instead, while somebody waits for the next one to be yielded."""
        self.over = True
        yield self.body

    def drop(self) -> None:
        """Give up what was not read."""

    async def finish(self) -> None:
        """Account for what was served, store it where it is whole, and give up what was not read."""


class _Walked(Reply):
    """A reply that a walk through a plan brings."""

    def __init__(self, receipt: Receipt, walk: Walk, place: Place, conversation: Conversation | None = None) -> None:
        self.receipt = receipt
        self.stream = walk.stream
        self.body = b""
        self._walk = walk
        self._conversation = conversation
        self._place = place
        self._served: Served | None = None

    def _note_walk(self, start: float) -> None:
        receipt, walk = self.receipt, self._walk
        receipt.upstream_s = time.perf_counter() - start
        receipt.attempts = walk.attempts
        receipt.deployment = walk.current.name if walk.current is not None else None

    def _settle(self, served: Served, usage: Usage) -> None:
        """Count what was used and what it cost."""
        self.receipt.usage = usage
        if served.lease is not None:
            served.lease.end(usage)
            self.receipt.cost_usd = served.lease.vital.spend(served.deployment, usage)
        if self._walk.abandoned:
            self._add_abandoned()

    def _add_abandoned(self) -> None:
        """Add what was asked beside the answer, and given up, to the receipt."""
        costs = [cost_usd(deployment, usage) for deployment, usage in self._walk.abandoned]
        known = [cost for cost in costs if cost is not None]
        if known:
            self.receipt.cost_usd = (self.receipt.cost_usd or 0.0) + sum(known)

    def _is_first_choice(self, served: Served) -> bool:
        """Whether the plan's first deployment answered: what a fallback says in an outage is not kept beyond it."""
        return served.deployment is self._walk.plan.attempts[0].deployment

    def _guess(self, chars: int) -> Usage:
        """Return an account of what a provider does not count."""
        return Usage(self._walk.facts.tokens_about, -(-chars // _CHARS_PER_TOKEN), estimated=True)

    async def _remember(self, transcript: Transcript | None) -> None:
        """Remember what was answered, once: before its end reaches the caller, whose next turn may come to another replica at once."""
        conversation, self._conversation = self._conversation, None
        if conversation is not None and transcript is not None and self._served is not None:
            await conversation.heard(transcript, self._served.deployment)

    def drop(self) -> None:
        """Give up what was not read: the connection is closed, unless the answer was read to its end."""
        self._place.abandon()
        served = self._served
        if served is None:
            self._walk.give_up()
            if self._walk.abandoned and self.receipt.usage is None:
                self.receipt.usage = self._walk.abandoned[-1][1]
                self._add_abandoned()
            return
        served.give_up()


class WholeReply(_Walked):
    """An answer in one piece."""

    _stored: StoredAnswer | None = None

    async def begin(self) -> None:
        """Wait for the answer. Raises GatewayError."""
        start = time.perf_counter()
        try:
            self._served = served = await self._walk.run()
        finally:
            self._note_walk(start)
        self.receipt.dropped = served.answer.dropped_params
        self.body = body = served.body
        self._settle(served, served.usage or self._guess(served.said_chars))
        conversation = self._conversation
        if conversation is not None and conversation.may_leave_marks(served.choices):
            transcript = conversation.transcript()
            transcript.hear_whole(served.choices)
            await self._remember(transcript)
        served.choices = ()  # several times the answer's size: not for as long as a slow caller takes
        if self._place.may_be_given:
            self._stored = stored = _stored(served, body)
            self._place.land(stored)

    async def finish(self) -> None:
        """Store the answer, which is whole and accounted for."""
        served, stored = self._served, self._stored
        if served is None or stored is None:
            self.drop()
            return
        served.answer.close()
        if self._is_first_choice(served):
            await self._place.keep(stored)


class StreamReply(_Walked):
    """A stream."""

    def __init__(self, receipt: Receipt, walk: Walk, place: Place, conversation: Conversation | None = None) -> None:
        super().__init__(receipt, walk, place, conversation)
        self._pending: asyncio.Task[Served] | None = None
        self._keeps = place.keeps
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._whole = False
        self._late = False

    async def begin(self, commit_s: float) -> None:
        """Wait until the first token, or `commit_s` seconds: from then on no other deployment is tried. Raises GatewayError."""
        start = time.perf_counter()
        loop = asyncio.get_running_loop()
        begun = loop.create_future()  # waited for in place of the task, it saves asyncio.wait and a turn of the loop
        self._pending = loop.create_task(self._run(start, begun))  # and in no local: an exception of the task's would hold this frame, and that the task
        timer = loop.call_later(commit_s, _tell, begun)
        try:
            await begun
        except asyncio.CancelledError:
            self._note_walk(start)  # for who hears no more of it than this: the task is cancelled behind what is told
            raise
        finally:
            timer.cancel()
        if self._pending.done():
            self._pending.result()
        else:
            self._walk.committed = True
            self._note_walk(start)

    async def _run(self, start: float, begun: asyncio.Future[None]) -> Served:
        try:
            self._served = served = await self._walk.run()
        finally:
            self._note_walk(start)
            _tell(begun)
        self.receipt.dropped = served.answer.dropped_params
        FIRST_TOKEN_SECONDS.labels(served.deployment.name).observe(time.perf_counter() - self.receipt.started)
        return served

    async def chunks(self, pass_on: PassOn | None = None) -> AsyncIterator[bytes]:
        """Yield the stream for the caller, or what `pass_on` does not take of it. It ends in `[DONE]`, or in an error event."""
        assert self._pending is not None  # noqa: S101 -- `begin` came first
        timer = self._pending.get_loop().call_at(self._walk.deadline, self._expire)
        data = b""  # what came last and has not gone on: it goes with the end, where the stream ends in it
        try:
            while not self._pending.done():
                yield KEEP_ALIVE
                await asyncio.wait((self._pending,), timeout=_ALIVE_EVERY_S)
            served = await self._pending
            watch, chunks = served.watch, served.chunks
            assert watch is not None  # noqa: S101 -- a stream has its watch
            assert chunks is not None  # noqa: S101 -- and its bytes
            data = served.head
            if not watch.ended and watch.broken is None:
                self._keep(data)
                yield data
                data = b""
                if pass_on is not None:
                    served.answer.offer(partial(self._forward, watch, pass_on))
                async for arrived in chunks:
                    data = watch.feed(arrived)
                    if watch.ended or watch.broken is not None:
                        break
                    if data:
                        self._keep(data)
                        yield data
                        data = b""
            if len(data) > _LARGE_BYTES:
                self._keep(data)
                yield data
                data = b""
            last = data + await self._end(watch)
            self._keep(last)
        except UpstreamError as error:
            last = data + self._broken_off(UpstreamError(Failure.TIMEOUT) if self._late else without_frames(error))
        except GatewayError as error:  # after the headers had left: nothing can be answered but this event
            ERRORS.labels(error.count_label).inc()
            self.receipt.ended, self.receipt.error = "failed", error.count_label
            last = error_event(error)
        finally:
            timer.cancel()
        self.over = True
        yield last

    def _forward(self, watch: StreamWatch, pass_on: PassOn, data: bytes) -> bool:
        """Pass plain chunks on as they come. What else comes, and what the caller is too slow for, waits for `chunks`."""
        if not watch.forward(data, pass_on):
            return False
        if self._keeps:
            self._keep(data)
        return True

    def _expire(self) -> None:
        """End a stream that outlasts the request's deadline; one that has not begun by then ends by its walk."""
        if self._served is not None and not self._whole:
            self._late = True
            self._served.answer.close()

    async def _end(self, watch: StreamWatch) -> bytes:
        """Return the last bytes of a stream that has ended. Raises UpstreamError where that was no honest end."""
        if watch.broken is not None:
            raise watch.broken
        last = watch.finish(self._walk.request.body.get("n") or 1)
        await self._remember(watch.transcript)
        self._whole = True
        return watch.usage_chunk(watch.usage or self._guess(watch.said_chars)) + last

    def _broken_off(self, error: UpstreamError) -> bytes:
        """Count a stream that its provider cut, and return its last event."""
        name = self.receipt.deployment or ""
        lease = self._served.lease if self._served is not None else None
        if lease is not None and not self._late:
            lease.cut()
        code = "upstream_timeout" if error.failure is Failure.TIMEOUT else "upstream_error"
        ATTEMPTS.labels(name, "cut").inc()
        ERRORS.labels(code).inc()
        self.receipt.ended, self.receipt.error = "cut", code
        log.warning("stream_broken", deployment=name, code=error.label, failure=str(error.failure))
        return error_event(GatewayError(self._walk.tell_limit() if self._late else self._tell_break(error), code=code))

    def _tell_break(self, error: UpstreamError) -> str:
        what = "The provider's stream broke off before its end"
        if error.is_own_limit:
            what = f"Nothing more came from the provider for {self._walk.limits.idle_s:g} s (STREAM_IDLE_S)"
        return f"{what}: what was received is incomplete. Ask again."

    async def finish(self) -> None:
        """Account for what was streamed, store it where it is whole, and remember it where the conversation calls for that."""
        served = self._served
        if served is not None and served.watch is not None:
            self._settle(served, served.watch.usage or self._guess(served.watch.said_chars))
        try:
            if served is not None and served.chunks is not None and self._whole:
                if self._kept and self._is_first_choice(served):  # before the drain: who has the end may ask the same at once
                    await self._place.keep(_stored(served, b"".join(self._kept)))
                await self._drain(served.chunks)
        finally:
            self.drop()
        if served is not None and served.watch is not None:
            await self._remember(served.watch.transcript)

    def drop(self) -> None:
        """Give up what was not read, and what is still waited for."""
        pending, self._pending = self._pending, None  # whose exception holds this reply: the garbage collector would have to find each that failed
        if pending is not None and not pending.done():
            pending.cancel()
        elif pending is not None and not pending.cancelled():
            pending.exception()  # it may be that nobody waited for it
        super().drop()

    async def _drain(self, chunks: AsyncIterator[bytes]) -> None:
        """Read what is left after `[DONE]`, so that the connection can be used again."""
        try:
            with Within(self._walk.deadlines, _DRAIN_S):
                async for _ in chunks:
                    continue
        except (TimeoutError, UpstreamError):
            return

    def _keep(self, data: bytes) -> None:
        if not self._keeps:
            return
        self._kept_bytes += len(data)
        self._kept.append(data)
        if self._kept_bytes > MAX_STORED_BYTES:
            self._keeps = False
            self._kept.clear()


def _tell(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _stored(served: Served, body: bytes) -> StoredAnswer:
    return StoredAnswer(served.deployment.name, time.time(), body, served.answer.dropped_params)
