from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import CacheState, Facts, Failure, Hints, Label, LaneName, Tenant
from app.domain_routing import Condition
from app.errors import GatewayError, RejectedError
from app.gateway.bounds import Bounds, ChatLimits
from app.gateway.cache_control import CacheControl, parse_cache_control
from app.gateway.chat import ChatGateway
from app.gateway.receipt import Receipt
from app.gateway.request import ChatRequest
from app.gateway.scans import Scans
from app.gateway.second_opinion import OpinionLimits, SecondOpinion
from app.policy.complexity import SCALE
from tests.unit.gateway.in_loop import Watched
from tests.unit.gateway.test_attempts import ANSWER, TOKEN, FakeAnswer, FakeLane, failing, streamed, whole
from tests.unit.gateway.test_reply import FINISH, FakeCache
from tests.unit.gateway.test_second_opinion import Reader
from tests.unit.policy.table import deployment, facts, table

if TYPE_CHECKING:
    from app.domain import Cuts
    from app.gateway.reply import Reply
    from app.policy.taint import Earlier

HOME = deployment("b", Label.CONFIDENTIAL)
TABLE = table({"cheap": [deployment("a")], "local": [HOME]}, fallback="local")


class FakeAssessor(Watched):
    """Gives the hint's label to everything, and notes in which thread it was asked."""

    scale = SCALE

    def assess(self, body: Any, hints: Hints, earlier: Earlier, cuts: Cuts) -> Facts:  # noqa: ARG002 - the assessor's
        self.note()
        return facts(Label.CONFIDENTIAL if earlier.confidential else hints.label or Label.PUBLIC)

    def label_of(self, _: object) -> Label:
        return Label.PUBLIC


def gateway(lane: FakeLane, cache: FakeCache | None = None) -> ChatGateway:
    assessor: Any = FakeAssessor()
    return ChatGateway(TABLE, assessor, {LaneName.RELAY: lane}, cache, b"secret", ChatLimits(timeout_s=5), Scans(ThreadPoolExecutor(1), 1))


def request(tenant: str = "t", *, label: Label | None = None, control: CacheControl | None = None, size: int = 10, **body: Any) -> ChatRequest:
    given = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]} | body
    return ChatRequest(given, size, Tenant(tenant, tenant), Hints(label), control or CacheControl())


async def served(chat: ChatGateway, asked: ChatRequest) -> Reply:
    reply = await chat.run(asked, Receipt())
    if reply.stream:
        reply.body = b"".join([data async for data in reply.chunks()])
    await reply.finish()
    return reply


class Counting(FakeLane):
    async def open(self, call: Any) -> FakeAnswer:
        self.outcomes = {name: streamed(TOKEN, FINISH) if call.stream else whole() for name in "ab"}
        return await super().open(call)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_second_of_two_equal_requests_is_a_hit(*, stream: bool) -> None:
    lane = Counting({})
    chat = gateway(lane, FakeCache())

    first = await served(chat, request(stream=stream))
    second = await served(chat, request(stream=stream))

    assert (first.receipt.cache, second.receipt.cache) == (CacheState.MISS, CacheState.HIT)
    assert second.body == first.body
    assert (second.receipt.deployment, second.receipt.attempts, second.receipt.cost_usd) == ("a", 0, 0.0)
    assert len(lane.calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        request("another tenant"),
        request(temperature=0.5),
        request(stream=True),
        request(model="local"),
    ],
)
async def test_another_request_is_a_miss(other: ChatRequest) -> None:
    lane = Counting({})
    chat = gateway(lane, FakeCache())
    await served(chat, request())

    reply = await served(chat, other)

    assert reply.receipt.cache is CacheState.MISS
    assert len(lane.calls) == 2


@pytest.mark.parametrize("asked", [request(label=Label.CONFIDENTIAL), request(store=True), request(control=parse_cache_control("no-store"))])
async def test_some_answers_are_never_stored(asked: ChatRequest) -> None:
    cache = FakeCache()

    reply = await served(gateway(Counting({}), cache), asked)

    assert reply.receipt.cache is CacheState.BYPASS
    assert cache.stored == {}


async def test_no_cache_asks_anew_and_stores() -> None:
    lane, cache = Counting({}), FakeCache()
    chat = gateway(lane, cache)
    await served(chat, request())
    cache.stored.clear()

    reply = await served(chat, request(control=parse_cache_control("no-cache")))

    assert reply.receipt.cache is CacheState.BYPASS
    assert len(cache.stored) == 1
    assert len(lane.calls) == 2


async def test_an_answer_older_than_max_age_is_a_miss() -> None:
    lane = Counting({})
    chat = gateway(lane, FakeCache())
    await served(chat, request())

    assert (await served(chat, request(control=CacheControl(max_age_s=-1.0)))).receipt.cache is CacheState.MISS
    assert (await served(chat, request(control=CacheControl(max_age_s=60)))).receipt.cache is CacheState.HIT


async def test_without_a_cache_everything_passes_by() -> None:
    assert (await served(gateway(Counting({})), request())).receipt.cache is CacheState.BYPASS


async def test_a_long_body_is_scanned_off_the_event_loop() -> None:
    chat = gateway(Counting({}))
    await served(chat, request(size=10))
    await served(chat, request(size=10_000_000))

    assert chat.assessor.in_loop == [True, False]  # type: ignore[attr-defined]


async def test_a_reload_in_between_leaves_a_request_with_the_configuration_that_it_began_with() -> None:
    tagged = Condition(tags=frozenset({"urgent"}))
    old = table({"cheap": [deployment("a")], "strong": [deployment("b")]}, [(tagged, "strong"), (Condition(), "cheap")])
    chat = gateway(Counting({}))
    chat.table = old
    real = chat.assessor

    class Reloading(FakeAssessor):
        def assess(self, body: Any, hints: Hints, earlier: Earlier, cuts: Cuts) -> Facts:
            found = super().assess(body, hints, earlier, cuts)
            chat.table, chat.assessor = table({"only": [deployment("a")]}), real  # no rule of it has a word for the tag
            return found

        def label_of(self, _: object) -> Label:
            return Label.PUBLIC

    given: Any = Reloading()
    chat.assessor = given
    asked = replace(request(size=10_000_000), tags=frozenset({"urgent"}))

    first, second = await served(chat, asked), await served(chat, asked)

    assert (first.receipt.rule, first.receipt.deployment) == ("rule-1", "b")
    assert (second.receipt.rule, second.receipt.deployment) == ("rule-1", "a")


async def test_the_receipt_of_a_rejected_request_names_the_rule() -> None:
    chat = gateway(Counting({}))
    chat.table = table({"cheap": [deployment("a")]}, [(Condition(tags=frozenset({"x"})), ""), (Condition(), "cheap")])
    receipt = Receipt()

    with pytest.raises(RejectedError):
        await chat.run(replace(request(), tags=frozenset({"x"})), receipt)

    assert (receipt.rule, receipt.deployment) == ("rule-1", None)


async def test_a_second_opinion_has_what_is_left_of_the_requests_time() -> None:
    reader = Reader(())
    chat = gateway(Counting({}))
    chat.second_opinion = SecondOpinion(reader, OpinionLimits(frozenset({Label.PUBLIC}), 60.0, 100), b"")

    await served(chat, replace(request(), bounds=Bounds(timeout_s=2.0)))
    await served(chat, request(label=Label.INTERNAL))

    assert reader.texts == ["hi"]
    assert 1.0 < reader.left_s[0] < 2.0


async def test_a_wait_for_admission_is_a_part_of_the_requests_time() -> None:
    lane = Counting({"a": whole()})
    receipt = Receipt()
    receipt.queue_s = 1.5

    await gateway(lane).run(replace(request(), bounds=Bounds(timeout_s=2.0, no_fallback=True)), receipt)

    assert 0 < lane.calls[0].timeout_s <= 0.5


async def test_a_failure_leaves_what_was_known_in_the_receipt() -> None:
    receipt = Receipt()

    with pytest.raises(GatewayError):
        await gateway(FakeLane({"a": failing(Failure.OPERATOR), "b": failing(Failure.OPERATOR)})).run(request(), receipt)

    assert receipt.facts is not None
    assert (receipt.rule, receipt.attempts) == ("rule-1", 2)


async def test_callers_that_joined_get_the_leaders_answer_and_fail_for_themselves() -> None:
    class Gate(FakeLane):
        async def open(self, call: Any) -> FakeAnswer:
            await asyncio.sleep(0.02)
            return await super().open(call)

    lane = Gate({"a": whole()})
    chat = gateway(lane, FakeCache())

    replies = await asyncio.gather(*(chat.run(request(), Receipt()) for _ in range(3)))

    assert [json.loads(reply.body) for reply in replies] == [json.loads(ANSWER)] * 3
    assert len(lane.calls) == 1
    assert sorted(str(reply.receipt.cache) for reply in replies) == ["joined", "joined", "miss"]


async def test_confidential_callers_never_join() -> None:
    lane = Counting({})
    chat = gateway(lane, FakeCache())

    await asyncio.gather(*(chat.run(request(label=Label.CONFIDENTIAL), Receipt()) for _ in range(3)))

    assert len(lane.calls) == 3
