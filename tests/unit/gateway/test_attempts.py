from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Attempt, Call, Deployment, Failure, Label, LaneName, Plan, Usage
from app.domain_attempts import AttemptPolicy
from app.errors import AttemptsFailedError, ContextExceededError, GatewayError, InvalidRequestError, UpstreamError
from app.gateway.attempts import Walk
from app.gateway.beginning import Served
from app.gateway.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

OF_THE_REQUEST = (Failure.REJECTED, Failure.CONTEXT_EXCEEDED, Failure.CONTENT_REFUSED)
ANSWER = json.dumps({"choices": [{"index": 0}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}).encode()
TOKEN = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
ROLE = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n'


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

    def error_inside(self, error: Mapping[str, Any]) -> UpstreamError:
        return UpstreamError(Failure(error["means"]), provider_text=error.get("message"))

    def close(self) -> None:
        self.closed = True


class FakeLane:
    """Gives each deployment the outcome that its name was scripted with; a deployment without one hangs."""

    def __init__(self, outcomes: dict[str, UpstreamError | FakeAnswer]) -> None:
        self.outcomes = outcomes
        self.calls: list[Call] = []

    async def open(self, call: Call) -> FakeAnswer:
        self.calls.append(call)
        outcome = self.outcomes.get(call.deployment.name)
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
    call = Call(deployment=plan.attempts[0].deployment, label=Label.PUBLIC, body={}, stream=stream)
    vitals = Vitals(policy=AttemptPolicy(retries=retries, **policy))
    return Walk(plan, call, {LaneName.RELAY: lane}, deadline=asyncio.get_running_loop().time() + timeout_s, vitals=vitals, draw=lambda: 0.0)


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
    assert lane.calls[0].connect_s <= lane.calls[0].timeout_s


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
