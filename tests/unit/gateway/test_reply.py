from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import weakref
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from app.domain import Attempt, Deployment, Facts, Failure, Label, LaneName, Plan, Price, Usage
from app.domain_attempts import AttemptPolicy
from app.errors import GatewayError, UpstreamError
from app.gateway.attempts import Walk
from app.gateway.bounds import ChatLimits
from app.gateway.cache_control import CacheControl
from app.gateway.flights import Flights
from app.gateway.receipt import Receipt
from app.gateway.reply import Reply, StreamReply, WholeReply
from app.gateway.stored import Place, StoredAnswer
from app.gateway.streaming import KEEP_ALIVE
from app.gateway.transcript import Transcript
from app.gateway.vitals import Vitals
from tests.unit.gateway.test_attempts import ANSWER, REQUEST, ROLE, TOKEN, FakeAnswer, FakeLane, failing, streamed, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from app.domain import Call
    from app.gateway.taint import Conversation

FINISH = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
LARGE = b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\n\n' % (b"a" * 64 * 1024)


class FakeCache:
    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}

    async def get(self, key: bytes) -> bytes | None:
        return self.stored.get(key)

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:  # noqa: ARG002 - the port's
        self.stored[key] = value


def deployment(name: str) -> Deployment:
    return Deployment(name=name, provider="openai", model=name, lane=LaneName.RELAY, clearance=Label.INTERNAL, price=Price(1.0, 2.0))


def made(lane: FakeLane, cache: FakeCache | None = None, names: str = "ab", *, stream: bool) -> tuple[Receipt, Walk, Place]:
    plan = Plan("rule", "pool", tuple(Attempt(deployment(name), "") for name in names))
    facts = Facts(Label.PUBLIC, "default", (), prompt_tokens=3)
    walk = Walk(plan, REQUEST, facts, {LaneName.RELAY: lane}, ChatLimits(), asyncio.get_running_loop().time() + 5, stream)
    return Receipt(), walk, Place(cache, Flights(), None if cache is None else b"key", CacheControl(), 60)


def streaming(lane: FakeLane, cache: FakeCache | None = None, names: str = "ab") -> StreamReply:
    return StreamReply(*made(lane, cache, names, stream=True))


def waiting(lane: FakeLane, cache: FakeCache | None = None, names: str = "ab") -> WholeReply:
    return WholeReply(*made(lane, cache, names, stream=False))


async def sent(reply: Reply) -> bytes:
    return b"".join([data async for data in reply.chunks()])


async def test_a_whole_answer_is_sent_accounted_and_stored() -> None:
    cache, answer = FakeCache(), whole()
    reply = waiting(FakeLane({"a": answer}), cache)

    await reply.begin()
    await reply.finish()

    assert reply.body == ANSWER
    assert (reply.receipt.deployment, reply.receipt.attempts, reply.receipt.cost_usd) == ("a", 1, 5.0)
    stored = StoredAnswer.load(cache.stored[b"key"])
    assert stored is not None
    assert (stored.deployment, stored.body) == ("a", ANSWER)
    assert answer.closed


async def test_while_an_answer_is_sent_its_bytes_alone_are_held() -> None:
    reply = waiting(FakeLane({"a": whole()}))

    await reply.begin()

    assert reply._served is not None
    assert (reply.body, reply._served.choices) == (ANSWER, ())


THOUGHT = b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": "Let me think it over."}}]}\n\n'


@pytest.mark.parametrize("rest", [[FINISH, DONE], []], ids=["whole", "cut"])
async def test_thoughts_are_accounted_for_where_nobody_counts_them(rest: list[bytes]) -> None:
    reply = streaming(FakeLane({"a": streamed(ROLE, THOUGHT, *rest)}))

    await reply.begin(5)
    await sent(reply)
    await reply.finish()

    assert reply.receipt.usage == Usage(3, 6, estimated=True)


async def test_a_whole_stream_is_sent_accounted_and_stored() -> None:
    cache = FakeCache()
    reply = streaming(FakeLane({"a": streamed(ROLE, TOKEN, FINISH, DONE)}), cache)

    await reply.begin(5)
    passed = await sent(reply)
    await reply.finish()

    assert passed == ROLE + TOKEN + FINISH + DONE
    assert reply.receipt.usage == Usage(3, 1, estimated=True)
    stored = StoredAnswer.load(cache.stored[b"key"])
    assert stored is not None
    assert stored.body == passed


@pytest.mark.parametrize(
    "broken",
    [
        UpstreamError(Failure.BROKEN),
        UpstreamError(Failure.TIMEOUT),
        UpstreamError(Failure.TIMEOUT, provider_code="TIMEOUT"),
        b"data: {\n\n",
        b'data: {"error": {"means": "broken", "message": "secret"}}\n\n',
    ],
)
async def test_a_stream_that_breaks_ends_in_an_error_and_is_not_stored(broken: Any) -> None:
    cache, answer = FakeCache(), streamed(TOKEN, broken)
    reply = streaming(FakeLane({"a": answer}), cache)

    await reply.begin(5)
    passed = await sent(reply)
    await reply.finish()

    last = json.loads(passed.split(b"\n\n")[-2].removeprefix(b"data: "))
    timed_out = isinstance(broken, UpstreamError) and broken.failure is Failure.TIMEOUT
    assert last["error"]["code"] == ("upstream_timeout" if timed_out else "upstream_error")
    assert ("(STREAM_IDLE_S)" in last["error"]["message"]) == (timed_out and broken.provider_code is None)
    assert b"secret" not in passed
    assert cache.stored == {}
    assert answer.closed


@pytest.mark.parametrize("events", [(TOKEN + b"data: {\n\n",), (TOKEN, TOKEN + b"data: {\n\n")])
async def test_tokens_that_come_with_a_break_are_sent_before_the_error(events: tuple[bytes, ...]) -> None:
    reply = streaming(FakeLane({"a": streamed(*events)}))

    await reply.begin(5)
    passed = await sent(reply)

    assert passed.startswith(TOKEN * len(events))
    assert b'"error"' in passed


async def test_a_stream_that_ends_without_a_finish_reason_is_a_cut() -> None:
    reply = streaming(FakeLane({"a": streamed(TOKEN)}))

    await reply.begin(5)

    assert b'"error"' in await sent(reply)


async def test_a_slow_first_token_commits_and_the_stream_goes_on() -> None:
    class Slow(FakeLane):
        async def open(self, call: Call) -> FakeAnswer:
            await asyncio.sleep(0.05)
            return await super().open(call)

    reply = streaming(Slow({"a": streamed(TOKEN, FINISH)}))

    await reply.begin(0.01)

    assert reply.receipt.deployment == "a"
    assert await sent(reply) == KEEP_ALIVE + TOKEN + FINISH + DONE


async def test_a_caller_hears_that_a_first_token_is_waited_for_until_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateway.reply._ALIVE_EVERY_S", 0.01)
    came = asyncio.Event()

    class Slow(FakeLane):
        async def open(self, call: Call) -> FakeAnswer:
            await came.wait()
            return await super().open(call)

    reply = streaming(Slow({"a": streamed(TOKEN, FINISH)}))
    await reply.begin(0.01)
    chunks = reply.chunks()

    assert [await anext(chunks) for _ in range(3)] == [KEEP_ALIVE] * 3
    came.set()
    assert b"".join([data async for data in chunks]).removeprefix(KEEP_ALIVE) == TOKEN + FINISH + DONE
    await reply.finish()


async def test_after_commitment_no_other_deployment_is_tried() -> None:
    class Slow(FakeLane):
        async def open(self, call: Call) -> FakeAnswer:
            await asyncio.sleep(0.05)
            return await super().open(call)

    lane = Slow({"a": failing(Failure.UNAVAILABLE), "b": streamed(TOKEN, FINISH)})
    reply = streaming(lane)

    await reply.begin(0.01)
    passed = await sent(reply)

    assert passed.startswith(KEEP_ALIVE)
    assert b"upstream_unavailable" in passed
    assert {call.deployment.name for call in lane.calls} == {"a"}


async def test_a_failure_before_the_first_token_is_raised() -> None:
    reply = streaming(FakeLane({"a": failing(Failure.UNAVAILABLE)}), names="a")

    with pytest.raises(GatewayError):
        await reply.begin(5)


@pytest.mark.parametrize("make", [waiting, streaming])
async def test_a_reply_that_fails_leaves_nothing_to_the_garbage_collector(make: Callable[..., StreamReply | WholeReply]) -> None:
    lane = FakeLane({"a": [failing(Failure.UNAVAILABLE), failing(Failure.UNAVAILABLE)], "b": failing(Failure.BROKEN)})
    reply = make(lane)
    reply._walk.vitals = Vitals(policy=AttemptPolicy(retries=1, wait_s=0.01))
    gone = weakref.ref(lane)  # which the walk alone holds, as it does its request
    gc.disable()
    try:
        with contextlib.suppress(GatewayError):
            await (reply.begin(5) if isinstance(reply, StreamReply) else reply.begin())
        reply.drop()
        del lane, reply
        await asyncio.sleep(0)
        left = gone()
    finally:
        gc.enable()

    assert left is None


async def test_dropping_a_reply_cancels_what_is_still_waited_for() -> None:
    reply = streaming(FakeLane({}), names="a")
    await reply.begin(0.01)
    assert reply._pending is not None
    waited_for = reply._pending

    await reply.finish()

    with pytest.raises(asyncio.CancelledError):
        await waited_for


async def test_a_caller_that_leaves_before_the_first_token_is_said_to_have_asked_whom_it_asked() -> None:
    lane = FakeLane({})
    reply = streaming(lane)
    beginning = asyncio.ensure_future(reply.begin(5))
    async with asyncio.timeout(5):
        while not lane.calls:  # noqa: ASYNC110 -- what asks is a task of the reply's own
            await asyncio.sleep(0)

    beginning.cancel()
    await asyncio.wait({beginning})
    reply.drop()

    assert (reply.receipt.deployment, reply.receipt.attempts, reply.receipt.usage) == ("a", 1, Usage(3, 0, estimated=True))


async def test_a_cancelled_wait_cancels_the_attempt() -> None:
    reply = streaming(FakeLane({}), names="a")
    beginning = asyncio.ensure_future(reply.begin(5))
    await asyncio.sleep(0.01)

    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    reply.drop()


async def test_an_answer_too_large_for_the_cache_is_served_all_the_same() -> None:
    cache = FakeCache()
    large = json.dumps({"choices": [{"message": {"content": "x" * 5_000_000}}]}).encode()
    reply = waiting(FakeLane({"a": whole(large)}), cache)

    await reply.begin()
    await reply.finish()

    assert reply.body == large
    assert cache.stored == {}


async def test_the_end_of_a_stream_is_drained_for_the_connections_sake() -> None:
    drained: list[str] = []

    class Framed(FakeAnswer):
        async def events(self) -> Any:
            yield TOKEN + FINISH + DONE
            drained.append("whole")

    reply = streaming(FakeLane({"a": Framed(b"", ())}))
    await reply.begin(5)
    await sent(reply)

    assert drained == []  # the caller has its end first
    await reply.finish()
    assert drained == ["whole"]


async def test_a_stream_is_stored_before_its_upstream_is_drained() -> None:
    cache, stored = FakeCache(), list[int]()

    class Framed(FakeAnswer):
        async def events(self) -> Any:
            yield TOKEN + FINISH + DONE
            stored.append(len(cache.stored))

    reply = streaming(FakeLane({"a": Framed(b"", ())}), cache)
    await reply.begin(5)
    await sent(reply)
    await reply.finish()

    assert stored == [1]  # a caller that has its end may ask the same at once


async def test_an_upstream_that_leaves_its_stream_open_behind_the_end_is_not_waited_for() -> None:
    class Late(FakeAnswer):
        async def events(self) -> Any:
            yield TOKEN + FINISH + DONE
            await asyncio.Event().wait()

    answer = Late(b"", ())
    reply = streaming(FakeLane({"a": answer}))
    await reply.begin(5)

    assert (await sent(reply)).endswith(DONE)
    await reply.finish()
    assert answer.closed


@pytest.mark.parametrize(
    ("events", "pieces"),
    [
        ([TOKEN, FINISH + DONE], [TOKEN, FINISH + DONE]),
        ([TOKEN, FINISH, DONE], [TOKEN, FINISH, DONE]),
        ([TOKEN + FINISH + DONE], [TOKEN + FINISH + DONE]),
        ([LARGE + FINISH + DONE], [LARGE + FINISH, DONE]),
        ([TOKEN, LARGE + FINISH + DONE], [TOKEN, LARGE + FINISH, DONE]),
    ],
)
async def test_the_end_goes_with_what_came_with_it_unless_that_is_large_and_is_said_to_be_the_end(events: list[bytes], pieces: list[bytes]) -> None:
    reply = streaming(FakeLane({"a": streamed(*events)}))
    await reply.begin(5)

    yielded = [(data, reply.over) async for data in reply.chunks()]

    assert yielded == [(piece, place == len(pieces)) for place, piece in enumerate(pieces, 1)]
    await reply.finish()


async def test_a_stream_whose_caller_leaves_while_it_is_remembered_is_not_stored_without_its_end() -> None:
    class Remembering:
        def __init__(self) -> None:
            self.hears = asyncio.Event()

        async def heard(self, *_: Any) -> None:
            self.hears.set()
            await asyncio.Event().wait()

    cache, conversation = FakeCache(), Remembering()
    receipt, walk, place = made(FakeLane({"a": streamed(TOKEN, FINISH + DONE)}), cache, stream=True)
    walk.transcript = partial(Transcript, texts=True)
    reply = StreamReply(receipt, walk, place, cast("Conversation", conversation))
    await reply.begin(5)
    sending = asyncio.ensure_future(sent(reply))
    await conversation.hears.wait()

    sending.cancel()
    await asyncio.wait({sending})
    await reply.finish()

    assert cache.stored == {}


async def test_what_a_fallback_says_is_served_and_not_kept() -> None:
    for make, answer in ((waiting, whole()), (streaming, streamed(TOKEN, FINISH))):
        cache = FakeCache()
        reply = make(FakeLane({"a": failing(Failure.UNAVAILABLE), "b": answer}), cache)
        await (reply.begin(5) if isinstance(reply, StreamReply) else reply.begin())
        await sent(reply)
        await reply.finish()

        assert reply.receipt.deployment == "b"
        assert cache.stored == {}


async def test_a_cut_stream_is_counted_and_said_in_the_log() -> None:
    before = REGISTRY.get_sample_value("sluice_attempts_total", {"deployment": "a", "outcome": "cut"}) or 0
    reply = streaming(FakeLane({"a": streamed(TOKEN)}))

    await reply.begin(5)
    await sent(reply)

    assert REGISTRY.get_sample_value("sluice_attempts_total", {"deployment": "a", "outcome": "cut"}) == before + 1
    assert (reply.receipt.ended, reply.receipt.error) == ("cut", "upstream_error")


async def test_a_reply_from_the_cache_is_there_already() -> None:
    reply = Reply(Receipt(), stream=True, body=b"data: [DONE]\n\n")

    assert await sent(reply) == b"data: [DONE]\n\n"
    reply.drop()
    await reply.finish()


async def test_a_stream_that_is_left_before_its_first_token_is_billed_for_its_prompt_by_estimate() -> None:
    reply = streaming(FakeLane({}))
    await reply.begin(0.01)

    await reply.finish()

    assert reply.receipt.usage == Usage(3, 0, estimated=True)
    assert reply.receipt.cost_usd == 3.0


async def test_a_deployment_whose_streams_break_off_rests() -> None:
    vitals = Vitals()
    for _ in range(20):
        reply = streaming(FakeLane({"a": streamed(TOKEN, UpstreamError(Failure.BROKEN))}), names="a")
        reply._walk.vitals = vitals
        try:
            await reply.begin(1)
        except GatewayError:
            break
        await sent(reply)
        await reply.finish()

    assert "a" in vitals.resting()


class Offering(FakeAnswer):
    """An answer whose parts are offered first, as the wire does while its reader waits."""

    take: Callable[[bytes], bool] | None = None

    def offer(self, take: Callable[[bytes], bool]) -> None:
        self.take = take

    async def events(self) -> AsyncIterator[bytes]:
        for event in self._events:
            assert isinstance(event, bytes)
            if self.take is None or not self.take(event):
                yield event


WHOLE_STREAM = ROLE + TOKEN * 3 + b": alive\n\n" + TOKEN.replace(b'"a"', '"ü\\n"'.encode()) + TOKEN * 2 + FINISH + DONE


@given(cuts=st.sets(st.integers(1, len(WHOLE_STREAM) - 1), max_size=12), takes=st.lists(st.booleans(), max_size=12))
@example(cuts={len(ROLE + TOKEN), len(ROLE + TOKEN * 2), len(ROLE + TOKEN * 3)}, takes=[True, True])
async def test_a_stream_is_the_same_whatever_is_passed_on_as_it_comes(cuts: set[int], takes: list[bool]) -> None:
    async def served(*, straight: bool) -> tuple[bytes, bytes, Usage | None]:
        answers = iter(takes)
        heard: list[bytes] = []

        def pass_on(data: bytes) -> bool:
            if not next(answers, False):
                return False
            heard.append(data)
            return True

        places = [0, *sorted(cuts), len(WHOLE_STREAM)]
        cache = FakeCache()
        reply = streaming(FakeLane({"a": Offering(b"", [WHOLE_STREAM[start:end] for start, end in pairwise(places)])}), cache)
        await reply.begin(5)
        async for data in reply.chunks(pass_on if straight else None):
            heard.append(data)  # noqa: PERF401 -- `pass_on` adds to it meanwhile
        await reply.finish()
        stored = StoredAnswer.load(cache.stored[b"key"])
        assert stored is not None
        return b"".join(heard), stored.body, reply.receipt.usage

    assert await served(straight=True) == await served(straight=False)


async def test_plain_chunks_are_passed_on_without_being_yielded() -> None:
    passed: list[bytes] = []

    def pass_on(data: bytes) -> bool:
        passed.append(data)
        return True

    reply = streaming(FakeLane({"a": Offering(b"", [TOKEN] * 4 + [FINISH, DONE])}))
    await reply.begin(5)

    yielded = [data async for data in reply.chunks(pass_on)]

    assert passed == [TOKEN] * 2  # the first one names the role in most streams, and the second is what the others are like
    assert yielded == [TOKEN, TOKEN, FINISH, DONE]
    assert reply.receipt.usage is None
    await reply.finish()
    assert reply.receipt.usage == Usage(3, 1, estimated=True)
