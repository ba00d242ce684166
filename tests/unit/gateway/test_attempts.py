from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Attempt, Call, Deployment, Facts, Failure, Label, LaneName, Plan, Tenant, Usage
from app.domain_attempts import AttemptPolicy, BreakerPolicy, DeploymentLimits, FailureClass
from app.errors import AttemptsFailedError, ContextExceededError, GatewayError, InvalidRequestError, UpstreamError
from app.gateway.attempts import Walk
from app.gateway.beginning import Served
from app.gateway.bounds import ChatLimits
from app.gateway.cache_control import CacheControl
from app.gateway.hints import NO_HINTS
from app.gateway.request import ChatRequest
from app.gateway.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

OF_THE_REQUEST = (Failure.REJECTED, Failure.CONTEXT_EXCEEDED, Failure.CONTENT_REFUSED)
ANSWER = json.dumps({"choices": [{"index": 0}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}).encode()
REFUSED = b'{"choices": [{"index": 0, "finish_reason": "content_filter"}]}'
TOKEN = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
ROLE = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n'


REQUEST = ChatRequest({}, 2, Tenant("ann", "key:ann"), NO_HINTS, CacheControl())
KEPT = replace(REQUEST, body={"store": True})
FACTS = Facts(Label.PUBLIC, "default", ())
UNLIMITED = ChatLimits(timeout_s=math.inf, first_token_s=math.inf)


class FakeAnswer:
    dropped_params: tuple[str, ...] = ()

    def __init__(self, said: bytes | UpstreamError, events: Iterable[bytes | UpstreamError]) -> None:
        self._said = said
        self._events = events
        self.closed = False

    async def body(self) -> bytes:
        if isinstance(self._said, UpstreamError):
            raise self._said
        return self._said

    async def events(self) -> AsyncIterator[bytes]:
        for event in self._events:
            if isinstance(event, UpstreamError):
                raise event
            yield event

    def offer(self, take: Callable[[bytes], bool]) -> None:
        """Offer nothing."""

    def error_inside(self, error: Mapping[str, Any]) -> UpstreamError:
        return UpstreamError(Failure(error["means"]), provider_text=error.get("message"))

    def close(self) -> None:
        self.closed = True


Outcome = UpstreamError | FakeAnswer


class FakeLane:
    """Gives each deployment the outcome that its name was scripted with, or one after another; a deployment without one hangs."""

    def __init__(self, outcomes: Mapping[str, Outcome | list[Outcome]]) -> None:
        self.outcomes = dict(outcomes)
        self.calls: list[Call] = []

    @property
    def asked(self) -> str:
        return "".join(call.deployment.name for call in self.calls)

    async def open(self, call: Call) -> FakeAnswer:
        self.calls.append(call)
        outcome = self.outcomes.get(call.deployment.name)
        if isinstance(outcome, list):
            outcome = outcome.pop(0)
        if outcome is None:
            await asyncio.Event().wait()
        if isinstance(outcome, UpstreamError):
            raise outcome
        assert outcome is not None
        return outcome


def deployment(name: str) -> Deployment:
    return Deployment(name=name, provider="openai", model=name, lane=LaneName.RELAY, clearance=Label.INTERNAL)


def walk(lane: FakeLane, names: str, *, longer: str = "", stream: bool = False, timeout_s: float = 5.0, retries: int = 0, **policy: Any) -> Walk:
    """Return a walk that waits no time between retries where nobody asked for a wait."""
    plan = Plan("rule", "pool", tuple(Attempt(deployment(name), "") for name in names), (), tuple(Attempt(deployment(name), "") for name in longer))
    deadline = asyncio.get_running_loop().time() + timeout_s
    vitals = Vitals(policy=AttemptPolicy(retries=retries, **policy))
    return Walk(plan, REQUEST, FACTS, {LaneName.RELAY: lane}, UNLIMITED, deadline, stream, vitals, draw=lambda: 0.0)


def whole(said: bytes | UpstreamError = ANSWER) -> FakeAnswer:
    return FakeAnswer(said, ())


def streamed(*events: bytes | UpstreamError) -> FakeAnswer:
    return FakeAnswer(b"", events)


def failing(failure: Failure = Failure.UNAVAILABLE, **fields: Any) -> UpstreamError:
    return UpstreamError(failure, **fields)


async def failed(walking: Walk) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await walking.run()
    return caught.value


async def test_the_first_answer_is_served_with_its_usage() -> None:
    served = await walk(FakeLane({"a": whole()}), "ab").run()

    assert isinstance(served, Served)
    assert (served.deployment.name, served.usage) == ("a", Usage(1, 2))


@pytest.mark.parametrize("failure", [failure for failure in Failure if failure not in OF_THE_REQUEST])
async def test_every_failure_but_the_callers_own_goes_to_the_next(failure: Failure) -> None:
    walking = walk(FakeLane({"a": failing(failure), "b": whole()}), "ab")

    assert (await walking.run()).deployment.name == "b"
    assert walking.attempts == 2


async def test_the_callers_own_fault_ends_the_walk_with_the_providers_words() -> None:
    lane = FakeLane({"a": failing(Failure.REJECTED, provider_text="'x' is too short", provider_code="invalid", param="x"), "b": whole()})

    error = await failed(walk(lane, "ab"))

    assert isinstance(error, InvalidRequestError)
    assert (error.message, error.code, error.param) == ("'x' is too short", "invalid", "x")
    assert len(lane.calls) == 1


async def test_a_refusal_without_words_says_so() -> None:
    assert "without saying why" in (await failed(walk(FakeLane({"a": failing(Failure.REJECTED)}), "a"))).message


async def test_a_context_that_is_exceeded_goes_on_to_long_only() -> None:
    lane = FakeLane({"a": failing(Failure.CONTEXT_EXCEEDED), "b": whole(), "c": whole()})

    assert (await walk(lane, "ab", longer="ac").run()).deployment.name == "c"


async def test_a_context_that_is_exceeded_everywhere_is_the_callers_to_know() -> None:
    error = await failed(walk(FakeLane({"a": failing(Failure.CONTEXT_EXCEEDED, provider_text="too long by 5")}), "ab"))

    assert isinstance(error, ContextExceededError)
    assert (error.message, error.param) == ("too long by 5", "messages")


@pytest.mark.parametrize(
    ("last", "status", "code"),
    [
        (failing(Failure.TIMEOUT), 504, "upstream_timeout"),
        (failing(Failure.UNREACHABLE), 503, "upstream_unavailable"),
        (failing(Failure.RATE_LIMITED, upstream_status=429, retry_after_s=7), 503, "upstream_unavailable"),
        (failing(Failure.UNAVAILABLE, upstream_status=503), 503, "upstream_unavailable"),
        (failing(Failure.BROKEN, upstream_status=500), 502, "upstream_error"),
        (failing(Failure.OPERATOR, upstream_status=401, remedy="Set the key."), 502, "upstream_error"),
        (failing(Failure.OPERATOR, upstream_status=404, remedy="Run `ollama pull x`.", tell_caller=True), 503, "upstream_unavailable"),
    ],
)
async def test_the_last_failure_decides_the_status(last: UpstreamError, status: int, code: str) -> None:
    error = await failed(walk(FakeLane({"a": failing(upstream_status=500), "b": last}), "ab"))

    assert (error.status, error.code) == (status, code)
    assert f"a (500), b ({last.label})" in error.message
    assert ("retry-after" in error.headers) is (status == 503)
    assert ((last.remedy or "-") in error.message) is last.tell_caller


async def test_each_attempt_has_its_share_of_the_time() -> None:
    lane = FakeLane({"b": whole()})

    served = await walk(lane, "ab", timeout_s=0.2).run()

    assert served.deployment.name == "b"
    assert lane.calls[0].timeout_s == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("error", "own_s", "told"),
    [
        (None, None, "No first token came within 0.02 s (FIRST_TOKEN_TIMEOUT_S). Tried: a (timeout)."),
        (None, 0.01, "No first token came within 0.01 s (first_token_s of a). Tried: a (timeout)."),
        (failing(Failure.TIMEOUT, sent=False), None, "No connection came about within 0.01 s (CONNECT_TIMEOUT_S). Tried: a (timeout)."),
        (failing(Failure.TIMEOUT, upstream_status=504), None, "No deployment could answer. Tried: a (504)."),
        (failing(Failure.TIMEOUT), None, "No deployment could answer. Tried: a (timeout)."),
    ],
)
async def test_a_time_out_names_the_limit_that_was_reached(error: UpstreamError | None, own_s: float | None, told: str) -> None:
    walking = walk(FakeLane({} if error is None else {"a": error}), "a", stream=True)
    walking.plan = replace(walking.plan, attempts=(Attempt(replace(deployment("a"), first_token_s=own_s), ""),))
    walking.limits = ChatLimits(connect_s=0.01, first_token_s=0.02)

    assert (await failed(walking)).message == told


async def test_no_attempt_is_made_after_the_deadline() -> None:
    error = await failed(walk(FakeLane({"b": whole()}), "ab", timeout_s=0.0))

    assert isinstance(error, AttemptsFailedError)
    assert error.status == 504


@pytest.mark.parametrize("said", [b"<html>", b"[]", b'{"choices": []}', b'{"error": {"message": "x"}}', b"{}"])
async def test_an_answer_that_is_no_completion_is_broken(said: bytes) -> None:
    answer = whole(said)

    error = await failed(walk(FakeLane({"a": answer}), "a"))

    assert error.status == 502
    assert answer.closed


async def test_a_stream_is_served_with_its_first_token() -> None:
    served = await walk(FakeLane({"a": streamed(ROLE, TOKEN, TOKEN)}), "a", stream=True).run()

    assert served.head == ROLE + TOKEN
    assert served.chunks is not None
    assert [chunk async for chunk in served.chunks] == [TOKEN]


@pytest.mark.parametrize(
    "events",
    [
        (),
        (ROLE,),
        (ROLE, UpstreamError(Failure.BROKEN)),
        (b'data: {"error": {"means": "unavailable"}}\n\n',),
        (b"data: [DONE]\n\n", UpstreamError(Failure.REJECTED)),
        (b"data: x\n\n",),
    ],
)
async def test_a_stream_that_fails_before_its_first_token_goes_to_the_next(events: tuple[bytes | UpstreamError, ...]) -> None:
    first = streamed(*events)

    served = await walk(FakeLane({"a": first, "b": streamed(TOKEN)}), "ab", stream=True).run()

    assert served.deployment.name == "b"
    assert served.head == TOKEN
    assert first.closed


async def test_a_refusal_inside_a_stream_ends_the_walk_with_the_providers_words() -> None:
    refused = streamed(b'data: {"error": {"means": "rejected", "message": "no such tool"}}\n\n')

    error = await failed(walk(FakeLane({"a": refused, "b": streamed(TOKEN)}), "ab", stream=True))

    assert (error.status, error.message) == (400, "no such tool")


async def test_half_of_the_time_is_the_first_attempts_own() -> None:
    lane = FakeLane({"a": failing(), "b": failing(), "c": whole()})

    await walk(lane, "abc", timeout_s=8).run()

    assert [round(call.timeout_s) for call in lane.calls] == [4, 4, 8]


async def test_a_deployments_own_limit_to_the_first_token_goes_before_the_common_one() -> None:
    lane = FakeLane({"a": failing(), "b": failing(), "c": streamed(TOKEN)})
    walking = walk(lane, "abc", stream=True, timeout_s=800)
    walking.limits = replace(UNLIMITED, first_token_s=20)
    slow, quick = (replace(walking.plan.attempts[place].deployment, first_token_s=limit_s) for place, limit_s in ((0, 300.0), (1, 2.0)))
    walking.plan = replace(walking.plan, attempts=(Attempt(slow, ""), Attempt(quick, ""), walking.plan.attempts[2]))

    await walking.run()

    assert [round(call.timeout_s) for call in lane.calls] == [300, 2, 20]


async def test_once_committed_nothing_else_is_tried() -> None:
    walking = walk(FakeLane({"a": failing(), "b": whole()}), "ab")
    walking.committed = True

    assert (await failed(walking)).status == 503
    assert walking.attempts == 1


async def test_a_cancelled_walk_closes_what_it_had_opened() -> None:
    class Slow(FakeAnswer):
        async def body(self) -> bytes:
            await asyncio.Event().wait()
            return b""

    answer = Slow(b"", ())
    task = asyncio.ensure_future(walk(FakeLane({"a": answer}), "a").run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert answer.closed


def again(lane: FakeLane, names: str, **given: Any) -> Walk:
    """Return a walk that asks a deployment up to three times."""
    return walk(lane, names, retries=2, **given)


async def test_a_deployment_that_is_unavailable_is_asked_again_before_the_next() -> None:
    lane = FakeLane({"a": [failing(), failing(), whole()], "b": whole()})
    walking = again(lane, "ab", breaker=BreakerPolicy(failures=9))

    assert (await walking.run()).deployment.name == "a"
    assert walking.attempts == 3
    assert [name for name, _ in walking.tried] == ["a", "a"]


async def test_retries_end_after_as_many_as_the_policy_allows() -> None:
    lane = FakeLane({"a": failing(), "b": whole()})

    assert (await again(lane, "ab", breaker=BreakerPolicy(failures=9)).run()).deployment.name == "b"
    assert lane.asked == "aaab"


async def test_a_deployment_that_begins_to_rest_is_not_asked_again() -> None:
    lane = FakeLane({"a": failing(), "b": whole()})

    await again(lane, "ab", breaker=BreakerPolicy(failures=2)).run()

    assert lane.asked == "aab"


async def test_what_is_kept_by_the_provider_is_sent_once() -> None:
    lane = FakeLane({"a": failing(upstream_status=503), "b": whole()})
    walking = again(lane, "ab")
    walking.request = KEPT

    await walking.run()

    assert lane.asked == "ab"


@pytest.mark.parametrize("failure", [Failure.TIMEOUT, Failure.BROKEN])
async def test_what_may_have_been_kept_is_sent_nowhere_else(failure: Failure) -> None:
    lane = FakeLane({"a": failing(failure), "b": whole()})
    walking = walk(lane, "ab")
    walking.request = KEPT

    await failed(walking)

    assert lane.asked == "a"


@pytest.mark.parametrize(("retry_after_s", "asked"), [(0.05, "aa"), (0.5, "ab")])
async def test_retry_after_is_waited_for_where_it_is_short_else_the_next_is_asked(retry_after_s: float, asked: str) -> None:
    lane = FakeLane({"a": [failing(Failure.RATE_LIMITED, retry_after_s=retry_after_s), whole()], "b": whole()})
    start = asyncio.get_running_loop().time()

    await again(lane, "ab", wait_s=0.2).run()

    assert lane.asked == asked
    assert (asyncio.get_running_loop().time() - start >= retry_after_s) is (asked == "aa")


async def test_the_last_deployments_retry_after_is_waited_for_where_it_fits_into_the_deadline() -> None:
    lane = FakeLane({"a": [failing(Failure.RATE_LIMITED, retry_after_s=0.2), whole()]})
    assert (await again(lane, "a", wait_s=0.01).run()).deployment.name == "a"

    error = await failed(again(FakeLane({"a": failing(Failure.RATE_LIMITED, retry_after_s=7)}), "a"))
    assert (error.status, error.headers) == (503, {"retry-after": "7"})


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure.TIMEOUT, "timeout"),
        (Failure.RATE_LIMITED, "rate_limited"),
        (Failure.FULL, "rate_limited"),
        *((failure, "unavailable") for failure in (Failure.UNREACHABLE, Failure.UNAVAILABLE, Failure.BROKEN, Failure.OPERATOR, Failure.NOT_CLEARED)),
    ],
)
async def test_only_failures_of_listed_classes_lead_to_another_deployment(failure: Failure, kind: str) -> None:
    others = frozenset(FailureClass) - {FailureClass(kind)}

    served = await walk(FakeLane({"a": failing(failure), "b": whole()}), "ab", fallback_on=frozenset({FailureClass(kind)})).run()
    error = await failed(walk(FakeLane({"a": failing(failure), "b": whole()}), "ab", fallback_on=others))

    assert served.deployment.name == "b"
    assert "Tried: a (" in error.message


async def test_a_context_that_is_exceeded_goes_nowhere_where_that_is_not_listed() -> None:
    lane = FakeLane({"a": failing(Failure.CONTEXT_EXCEEDED), "c": whole()})

    error = await failed(walk(lane, "a", longer="c", fallback_on=frozenset({FailureClass.UNAVAILABLE})))

    assert isinstance(error, ContextExceededError)


@pytest.mark.parametrize("refusal", [failing(Failure.CONTENT_REFUSED, provider_text="no"), whole(REFUSED)])
async def test_a_refusal_of_content_goes_to_another_only_where_that_is_listed(refusal: UpstreamError | FakeAnswer) -> None:
    lane = FakeLane({"a": refusal, "b": whole()})

    served = await walk(lane, "ab", fallback_on=frozenset({FailureClass.CONTENT_REFUSED})).run()

    assert served.deployment.name == "b"
    plain = FakeLane({"a": refusal, "b": whole()})
    if isinstance(refusal, UpstreamError):
        assert (await failed(walk(plain, "ab"))).message == "no"
    else:
        assert (await walk(plain, "ab").run()).body == REFUSED
    assert plain.asked == "a"


async def test_a_deployment_that_rests_is_passed_over() -> None:
    lane = FakeLane({"a": whole(), "b": whole()})
    walking = walk(lane, "ab")
    walking.vitals.learn(deployment("a"), 60)

    assert (await walking.run()).deployment.name == "b"
    assert (lane.asked, walking.attempts) == ("b", 1)


async def test_where_all_rest_the_caller_is_told_when_to_come_back() -> None:
    walking = walk(FakeLane({}), "ab")
    walking.vitals.learn(deployment("a"), 60)
    walking.vitals.learn(deployment("b"), 30)

    error = await failed(walking)

    assert (error.status, error.headers) == (503, {"retry-after": "30"})
    assert "a (resting), b (resting)" in error.message
    assert walking.attempts == 0


@pytest.mark.parametrize("names", ["a", "ba"])
async def test_a_short_rest_is_waited_for_where_nobody_else_is_left(names: str) -> None:
    walking = walk(FakeLane({"a": whole()}), names)
    walking.vitals.learn(deployment("b"), 60)
    walking.vitals.learn(deployment("a"), 0.05)

    assert (await walking.run()).deployment.name == "a"


async def test_a_deployment_at_its_limit_is_passed_over_and_the_tokens_are_settled() -> None:
    lane = FakeLane({"a": whole(), "b": whole()})
    vitals = Vitals()
    limited = replace(deployment("a"), limits=DeploymentLimits(tokens_per_minute=1000))

    async def serve() -> str:
        walking = walk(lane, "ab")
        walking.vitals = vitals
        walking.plan = replace(walking.plan, attempts=(Attempt(limited, ""), walking.plan.attempts[1]))
        walking.facts = Facts(Label.PUBLIC, "", (), prompt_tokens=400)
        served = await walking.run()
        assert served.lease is not None
        served.lease.end(served.usage or Usage(600, 400))
        return served.deployment.name

    lane.outcomes["a"] = whole(b'{"choices": [{"index": 0}]}')
    assert [await serve(), await serve()] == ["a", "b"]  # 900 were reserved, 1000 used


@pytest.mark.parametrize(("share_s", "rests"), [(0.05, True), (0.004, False)])
async def test_time_outs_within_what_a_caller_left_let_nobody_rest(share_s: float, *, rests: bool) -> None:
    vitals = Vitals()
    for _ in range(3):
        walking = walk(FakeLane({}), "a", timeout_s=share_s)
        walking.vitals, walking.limits = vitals, replace(UNLIMITED, timeout_s=0.1)
        await failed(walking)

    assert bool(vitals.resting()) is rests


async def test_a_stream_has_its_own_time_to_the_first_token() -> None:
    lane = FakeLane({"b": streamed(TOKEN)})
    walking = walk(lane, "ab", stream=True)
    walking.limits = replace(UNLIMITED, first_token_s=0.05)

    assert (await walking.run()).deployment.name == "b"
    assert [call.timeout_s for call in lane.calls] == [0.05, 0.05]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UpstreamError(Failure.REJECTED, upstream_status=422, provider_code="theirs"), (422, "theirs")),
        (UpstreamError(Failure.REJECTED, upstream_status=413), (400, "invalid_request")),
        (UpstreamError(Failure.REJECTED), (400, "invalid_request")),
        (UpstreamError(Failure.CONTENT_REFUSED), (400, "content_filter")),
    ],
)
async def test_a_refusal_has_a_code_whether_its_provider_gave_one_or_not(error: UpstreamError, told: tuple[int, str]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await walk(FakeLane({"a": error}), "a").run()

    assert (caught.value.status, caught.value.code, caught.value.count_label) == (*told, "refused_by_provider")


async def left(walking: Walk) -> None:
    """Begin a walk whose caller leaves at once."""
    task = asyncio.create_task(walking.run())
    await asyncio.sleep(0)
    walking.give_up()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_call_is_accounted_for_by_estimate() -> None:
    walking = walk(FakeLane({}), "a")
    walking.facts = Facts(Label.PUBLIC, "", (), prompt_tokens=40)

    await left(walking)

    assert walking.abandoned == [(deployment("a"), Usage(40, 0, estimated=True))]
    assert walking.vitals.in_flight == {"a": 0}


def hedged(lane: FakeLane, names: str = "ab", **fields: Any) -> Walk:
    """Return a walk whose pool is usually done within 10 ms."""
    walking = walk(lane, names, **fields)
    walking.plan = replace(walking.plan, hedge=True)
    for _ in range(20):
        walking.vitals.sample("pool", 0.01, stream=walking.stream)
    return walking


@pytest.mark.parametrize("stream", [False, True])
async def test_a_second_deployment_is_asked_beside_a_slow_first_and_the_loser_is_accounted_for(*, stream: bool) -> None:
    lane = FakeLane({"b": streamed(TOKEN) if stream else whole()})
    walking = hedged(lane, stream=stream)

    served = await walking.run()

    assert served.deployment.name == "b"
    assert (walking.attempts, walking.current) == (2, served.deployment)
    assert [each.name for each, _ in walking.abandoned] == ["a"]
    await asyncio.sleep(0)
    assert walking.vitals.in_flight["a"] == 0


async def test_a_pool_in_time_is_not_hedged() -> None:
    lane = FakeLane({"a": whole(), "b": whole()})

    await hedged(lane).run()

    assert lane.asked == "a"


async def test_nothing_is_hedged_that_the_provider_keeps_or_where_nobody_else_is_well() -> None:
    kept = hedged(FakeLane({"b": whole()}), timeout_s=0.1)
    kept.request = KEPT
    resting = hedged(FakeLane({"b": whole()}), timeout_s=0.1)
    resting.vitals.learn(deployment("b"), 60)
    committed = hedged(FakeLane({"b": whole()}), timeout_s=0.1)
    committed.committed = True

    for walking in (kept, resting, committed):
        await failed(walking)
        assert walking.attempts == 1


async def test_when_both_of_a_race_fail_the_next_is_asked() -> None:
    class Slow(FakeLane):
        async def open(self, call: Call) -> FakeAnswer:
            answer = await super().open(call)
            await asyncio.sleep(0.03 if call.deployment.name != "c" else 0)
            if call.deployment.name != "c":
                raise failing(Failure.BROKEN)
            return answer

    lane = Slow({name: whole() for name in "abc"})

    assert (await hedged(lane, "abc").run()).deployment.name == "c"
    assert lane.asked == "abc"


async def test_an_answer_without_content_wins_no_race_where_a_refusal_goes_to_another() -> None:
    class Slow(FakeLane):
        async def open(self, call: Call) -> FakeAnswer:
            answer = await super().open(call)
            await asyncio.sleep(0.05 if call.deployment.name == "a" else 0)
            return answer

    walking = hedged(Slow({"a": whole(), "b": whole(REFUSED)}), fallback_on=frozenset({FailureClass.CONTENT_REFUSED}))

    assert (await walking.run()).deployment.name == "a"


async def test_callers_that_leave_at_once_do_not_make_a_pool_known_as_fast() -> None:
    vitals = Vitals()
    for _ in range(20):
        walking = walk(FakeLane({}), "ab")
        walking.plan, walking.vitals = replace(walking.plan, hedge=True), vitals
        task = asyncio.create_task(walking.run())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert vitals.hedge_after_s("pool", stream=False) is None


async def test_a_call_that_is_left_before_it_had_its_slot_has_used_nothing() -> None:
    class Line(FakeLane):
        async def open(self, call: Call) -> FakeAnswer:
            assert call.on_seat is not None
            if call.rule == "seated":
                call.on_seat()
            return await super().open(call)

    walks = []
    for rule in ("waits", "seated"):
        walking = walk(Line({}), "a")
        walking.plan = replace(walking.plan, rule=rule, attempts=(Attempt(replace(deployment("a"), slots=1), ""),))
        walking.facts = Facts(Label.PUBLIC, "", (), prompt_tokens=40)
        await left(walking)
        walks.append(walking)

    assert [[usage.prompt_tokens for _, usage in walking.abandoned] for walking in walks] == [[], [40]]
    assert [walking.vitals.in_flight for walking in walks] == [{"a": 0}, {"a": 0}]


class QueuedLane(FakeLane):
    """A lane with a line before it, in which every call spends so many seconds of its time."""

    def __init__(self, waits_s: float) -> None:
        super().__init__({"a": failing(Failure.TIMEOUT)})
        self.waits_s = waits_s

    async def open(self, call: Call) -> FakeAnswer:
        assert call.on_wait is not None
        call.on_wait(self.waits_s)
        return await super().open(call)


@pytest.mark.parametrize(("waits_s", "rests"), [(1.0, True), (35.0, False)])
async def test_a_time_out_counts_against_a_deployment_by_the_time_that_waiting_for_a_slot_left_it(waits_s: float, *, rests: bool) -> None:
    vitals, told = Vitals(policy=AttemptPolicy(retries=0)), list[float]()
    seated = replace(deployment("a"), slots=1)

    for _ in range(3):
        walking = walk(QueuedLane(waits_s), "a", timeout_s=40)
        walking.plan = replace(walking.plan, attempts=(Attempt(seated, ""),))
        walking.on_wait = told.append
        walking.vitals = vitals
        await failed(walking)

    assert (vitals.of(seated).rests_s(vitals.clock()) > 0) is rests
    assert told == [waits_s] * 3


async def test_a_call_says_what_its_request_its_facts_and_its_plan_say() -> None:
    lane = FakeLane({"a": failing(), "b": whole()})
    walking = walk(lane, "ab", timeout_s=8)
    walking.request = replace(REQUEST, body={"model": "auto"}, headers=(("openai-beta", "x"),))
    walking.limits = ChatLimits(connect_s=3.0, idle_s=4.0)

    await walking.run()

    first, second = lane.calls
    said = (first.label, first.body, first.stream, first.headers, first.connect_s, first.idle_s, first.facts, first.rule, first.tenant, first.on_wait)
    assert said == (Label.PUBLIC, {"model": "auto"}, False, (("openai-beta", "x"),), 3.0, 4.0, FACTS, "rule", "key:ann", None)
    assert second == replace(first, deployment=second.deployment, timeout_s=second.timeout_s)
    assert first.timeout_s < second.timeout_s
