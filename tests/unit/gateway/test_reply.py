from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.domain import Attempt, Call, Deployment, Failure, Label, LaneName, Plan, Price, Usage
from app.errors import GatewayError, UpstreamError
from app.gateway.attempts import Walk
from app.gateway.receipt import Receipt
from app.gateway.reply import Reply, StoredAnswer
from app.gateway.streaming import KEEP_ALIVE
from tests.unit.gateway.test_attempts import ANSWER, ROLE, TOKEN, FakeAnswer, FakeLane, failing, streamed, whole

FINISH = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


class FakeCache:
    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}

    async def get(self, key: bytes) -> bytes | None:
        return self.stored.get(key)

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:  # noqa: ARG002 - the port's
        self.stored[key] = value


def deployment(name: str) -> Deployment:
    return Deployment(name=name, provider="openai", model=name, lane=LaneName.RELAY, clearance=Label.INTERNAL, price=Price(1.0, 2.0))


def begun(lane: FakeLane, *, stream: bool, cache: FakeCache | None = None, names: str = "ab") -> Reply:
    plan = Plan("rule", "pool", tuple(Attempt(deployment(name), "") for name in names))
    call = Call(deployment=plan.attempts[0].deployment, label=Label.PUBLIC, body={}, stream=stream)
    walk = Walk(plan, call, {LaneName.RELAY: lane}, deadline=asyncio.get_running_loop().time() + 5)
    reply = Reply(Receipt(), stream=stream)
    if cache is not None:
        reply.store_in(cache, b"key", 60)
    reply.begin(walk, Usage(3, 0, estimated=True))
    return reply


async def sent(reply: Reply) -> bytes:
    return b"".join([data async for data in reply.chunks()])


async def test_a_whole_answer_is_sent_accounted_and_stored() -> None:
    cache, answer = FakeCache(), whole()
    reply = begun(FakeLane({"a": answer}), stream=False, cache=cache)

    await reply.wait_whole()
    await reply.finish()

    assert reply.body == ANSWER
    assert (reply.receipt.deployment, reply.receipt.attempts, reply.receipt.cost_usd) == ("a", 1, 5.0)
    stored = StoredAnswer.load(cache.stored[b"key"])
    assert stored is not None
    assert (stored.deployment, stored.body) == ("a", ANSWER)
    assert answer.closed


async def test_a_whole_stream_is_sent_accounted_and_stored() -> None:
    cache = FakeCache()
    reply = begun(FakeLane({"a": streamed(ROLE, TOKEN, FINISH, DONE)}), stream=True, cache=cache)

    await reply.wait_first_token(5)
    passed = await sent(reply)
    await reply.finish()

    assert passed == ROLE + TOKEN + FINISH + DONE
    assert reply.receipt.usage == Usage(3, 1, estimated=True)
    stored = StoredAnswer.load(cache.stored[b"key"])
    assert stored is not None
    assert stored.body == passed


@pytest.mark.parametrize(
    "broken", [UpstreamError(Failure.BROKEN), UpstreamError(Failure.TIMEOUT), b"data: {\n\n", b'data: {"error": {"message": "secret"}}\n\n']
)
async def test_a_stream_that_breaks_ends_in_an_error_and_is_not_stored(broken: Any) -> None:
    cache, answer = FakeCache(), streamed(TOKEN, broken)
    reply = begun(FakeLane({"a": answer}), stream=True, cache=cache)

    await reply.wait_first_token(5)
    passed = await sent(reply)
    await reply.finish()

    last = json.loads(passed.split(b"\n\n")[-2].removeprefix(b"data: "))
    timed_out = isinstance(broken, UpstreamError) and broken.failure is Failure.TIMEOUT
    assert last["error"]["code"] == ("upstream_timeout" if timed_out else "upstream_error")
    assert b"secret" not in passed
    assert cache.stored == {}
    assert answer.closed


@pytest.mark.parametrize("events", [(TOKEN + b"data: {\n\n",), (TOKEN, TOKEN + b"data: {\n\n")])
async def test_tokens_that_come_with_a_break_are_sent_before_the_error(events: tuple[bytes, ...]) -> None:
    reply = begun(FakeLane({"a": streamed(*events)}), stream=True)

    await reply.wait_first_token(5)
    passed = await sent(reply)

    assert passed.startswith(TOKEN * len(events))
    assert b'"error"' in passed


async def test_a_stream_that_ends_without_a_finish_reason_is_a_cut() -> None:
    reply = begun(FakeLane({"a": streamed(TOKEN)}), stream=True)

    await reply.wait_first_token(5)

    assert b'"error"' in await sent(reply)


async def test_a_slow_first_token_commits_and_the_stream_goes_on() -> None:
    class Slow(FakeLane):
        async def open(self, call: Call) -> FakeAnswer:
            await asyncio.sleep(0.05)
            return await super().open(call)

    reply = begun(Slow({"a": streamed(TOKEN, FINISH)}), stream=True)

    await reply.wait_first_token(0.01)

    assert reply.receipt.deployment == "a"
    assert await sent(reply) == KEEP_ALIVE + TOKEN + FINISH + DONE


async def test_after_commitment_no_other_deployment_is_tried() -> None:
    class Slow(FakeLane):
        async def open(self, call: Call) -> FakeAnswer:
            await asyncio.sleep(0.05)
            return await super().open(call)

    lane = Slow({"a": failing(Failure.UNAVAILABLE), "b": streamed(TOKEN, FINISH)})
    reply = begun(lane, stream=True)

    await reply.wait_first_token(0.01)
    passed = await sent(reply)

    assert passed.startswith(KEEP_ALIVE)
    assert b"upstream_unavailable" in passed
    assert [call.deployment.name for call in lane.calls] == ["a"]


async def test_a_failure_before_the_first_token_is_raised() -> None:
    reply = begun(FakeLane({"a": failing(Failure.UNAVAILABLE)}), stream=True, names="a")

    with pytest.raises(GatewayError):
        await reply.wait_first_token(5)


async def test_dropping_a_reply_cancels_what_is_still_waited_for() -> None:
    lane = FakeLane({})
    reply = begun(lane, stream=True, names="a")
    await reply.wait_first_token(0.01)

    await reply.finish()
    await asyncio.sleep(0.01)

    with pytest.raises(asyncio.CancelledError):
        await sent(reply)


async def test_a_cancelled_wait_cancels_the_attempt() -> None:
    reply = begun(FakeLane({}), stream=True, names="a")
    waiting = asyncio.ensure_future(reply.wait_first_token(5))
    await asyncio.sleep(0.01)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    reply.drop()


async def test_an_answer_too_large_for_the_cache_is_served_all_the_same() -> None:
    cache = FakeCache()
    large = json.dumps({"choices": [{"message": {"content": "x" * 5_000_000}}]}).encode()
    reply = begun(FakeLane({"a": whole(large)}), stream=False, cache=cache)

    await reply.wait_whole()
    await reply.finish()

    assert reply.body == large
    assert cache.stored == {}


async def test_the_end_of_a_stream_is_drained_for_the_connections_sake() -> None:
    class Late(FakeAnswer):
        async def events(self) -> Any:
            yield TOKEN + FINISH + DONE
            await asyncio.Event().wait()

    reply = begun(FakeLane({"a": Late(b"", ())}), stream=True)
    await reply.wait_first_token(5)

    assert (await sent(reply)).endswith(DONE)


def test_what_is_stored_is_read_back() -> None:
    answer = StoredAnswer("d", 1.5, b"two\nlines")

    assert StoredAnswer.load(answer.dump()) == answer


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]\nx", b"nonsense\nx", b'{"deployment": "d"}\nx', b'{"deployment": "d", "stored_at": null}\nx'])
def test_anything_else_in_the_cache_is_a_miss(raw: bytes) -> None:
    assert StoredAnswer.load(raw) is None
