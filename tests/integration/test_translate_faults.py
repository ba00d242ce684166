"""What becomes of each provider's faults, over sockets: the right failure, and never a clean end of a stream that was cut."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.translate import load
from tests.simulators import DIALECTS, AnthropicSimulator, OllamaSimulator
from tests.unit.providers.translate.support import MODELS, call, deployment, lane_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulators import Simulator

DIALECT = {"anthropic": "anthropic", "bedrock": "bedrock", "cohere_chat": "cohere", "gemini": "gemini", "ollama_chat": "ollama"}
WHOLE_AND_STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(autouse=True, scope="module")
def litellm_loaded() -> None:
    load()


@pytest.fixture(params=sorted(MODELS))
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def simulator(provider: str) -> Iterator[Simulator]:
    with DIALECTS[DIALECT[provider]]() as simulator:
        yield simulator


async def fail(provider: str, url: str, model: str, *, stream: bool, **more: Any) -> tuple[UpstreamError, bytes]:
    """Return how a request fails, and what was passed on before."""
    lane, wire = lane_to(to := deployment(provider, url, model))
    passed_on: list[bytes] = []

    async def attempt() -> None:
        answer = await lane.open(call(to, stream=stream, **more))
        if not stream:
            passed_on.append(await answer.body())
            return
        async for part in answer.events():
            passed_on.append(part)  # noqa: PERF401 - what came before an error is wanted too

    try:
        with pytest.raises(UpstreamError) as caught:
            await attempt()
    finally:
        await wire.aclose()
    return caught.value, b"".join(passed_on)


@WHOLE_AND_STREAM
@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("status-400", Failure.REJECTED),
        ("status-401", Failure.OPERATOR),
        ("status-403", Failure.OPERATOR),
        ("status-404", Failure.OPERATOR),
        ("status-408", Failure.TIMEOUT),
        ("detail-422", Failure.REJECTED),
        ("status-429", Failure.RATE_LIMITED),
        ("status-500", Failure.BROKEN),
        ("html-502", Failure.BROKEN),
        ("empty-500", Failure.BROKEN),
        ("status-503", Failure.UNAVAILABLE),
        ("status-529", Failure.UNAVAILABLE),
        ("redirect-307", Failure.OPERATOR),
        ("context", Failure.CONTEXT_EXCEEDED),
        ("refuse", Failure.UNREACHABLE),
    ],
)
async def test_a_request_that_is_not_answered_has_its_failure(provider: str, simulator: Simulator, stream: bool, fault: str, failure: Failure) -> None:
    error, passed_on = await fail(provider, simulator.base_url, f"m--{fault}", stream=stream)

    assert error.failure is failure
    assert passed_on == b""
    assert (error.provider_text is not None) is (failure in (Failure.REJECTED, Failure.CONTEXT_EXCEEDED))


@WHOLE_AND_STREAM
async def test_what_a_provider_says_of_the_request_is_for_the_caller_alone(provider: str, simulator: Simulator, stream: bool) -> None:
    error, _ = await fail(provider, simulator.base_url, "m--echo-400", stream=stream, messages=[{"role": "user", "content": "my secret"}])

    assert error.provider_text is not None
    assert "my secret" in error.provider_text
    assert "my secret" not in f"{error} {error.remedy}"


@WHOLE_AND_STREAM
@pytest.mark.parametrize(("fault", "wait"), [("status-429-retry-7", 7.0), ("status-503-retryms-70", 0.07)])
async def test_the_wait_that_is_asked_for_is_kept(provider: str, simulator: Simulator, stream: bool, fault: str, wait: float) -> None:
    error, _ = await fail(provider, simulator.base_url, f"m--{fault}", stream=stream)

    assert error.retry_after_s == wait


@pytest.mark.parametrize("fault", ["cut-1", "cut-3", "reset-2", "endclean-1", "endclean-2", "malformed-2"])
@WHOLE_AND_STREAM
async def test_what_is_cut_never_ends_cleanly(provider: str, simulator: Simulator, stream: bool, fault: str) -> None:
    error, passed_on = await fail(provider, simulator.base_url, f"m--{fault}", stream=stream)

    assert error.failure is Failure.BROKEN
    assert b"[DONE]" not in passed_on
    assert b'"finish_reason":"' not in passed_on


@pytest.mark.parametrize("provider", ["anthropic", "bedrock"])
async def test_a_stream_without_its_dialects_last_word_is_broken(provider: str, simulator: Simulator) -> None:
    error, passed_on = await fail(provider, simulator.base_url, "m--nodone", stream=True)

    assert error.failure is Failure.BROKEN
    assert b"[DONE]" not in passed_on


@pytest.mark.parametrize("fault", ["error-0", "error-2"])
@WHOLE_AND_STREAM
async def test_an_error_inside_a_200_is_an_error(provider: str, simulator: Simulator, stream: bool, fault: str) -> None:
    error, passed_on = await fail(provider, simulator.base_url, f"m--{fault}", stream=stream)

    assert error.failure in (Failure.BROKEN, Failure.UNAVAILABLE, Failure.RATE_LIMITED)
    assert b"[DONE]" not in passed_on
    if fault == "error-0":
        assert passed_on == b""


@WHOLE_AND_STREAM
@pytest.mark.parametrize("fault", ["hang", "stall-0", "slow-token-60000"])
async def test_an_answer_that_does_not_begin_in_time_is_given_up(provider: str, simulator: Simulator, stream: bool, fault: str) -> None:
    began = time.monotonic()

    error, passed_on = await fail(provider, simulator.base_url, f"m--{fault}", stream=stream, timeout_s=0.2)

    assert error.failure is Failure.TIMEOUT
    assert passed_on == b""
    assert time.monotonic() - began < 5


async def test_a_stream_that_falls_silent_is_given_up(provider: str, simulator: Simulator) -> None:
    error, passed_on = await fail(provider, simulator.base_url, "m--stall-3", stream=True, timeout_s=5, idle_s=0.2)

    assert error.failure is Failure.TIMEOUT
    assert b"[DONE]" not in passed_on


async def test_an_answer_may_take_longer_than_its_first_token_had(provider: str, simulator: Simulator) -> None:
    lane, wire = lane_to(to := deployment(provider, simulator.base_url, "anthropic.m--slow-stream-60"))

    answer = await lane.open(call(to, stream=True, timeout_s=0.25))
    events = b"".join([part async for part in answer.events()])
    await wire.aclose()

    assert events.endswith(b"data: [DONE]\n\n")


async def test_one_connection_serves_many_requests(provider: str, simulator: Simulator) -> None:
    lane, wire = lane_to(to := deployment(provider, simulator.base_url, "anthropic.m"))

    for stream in (True, False, True):
        answer = await lane.open(call(to, stream=stream))
        assert b"".join([part async for part in answer.events()]) if stream else await answer.body()
    await wire.aclose()

    asked = [request for request in simulator.requests if request.path not in {"/api/tags", "/api/show"}]  # where an Ollama's model runs
    assert (simulator.connections, len(asked)) == (1, 3)


async def test_giving_up_a_stream_ends_its_connection_at_once(provider: str, simulator: Simulator) -> None:
    lane, wire = lane_to(to := deployment(provider, simulator.base_url, "anthropic.m--slow-stream-20.words-500"))
    answer = await lane.open(call(to, stream=True))
    events = answer.events()
    await anext(events)

    answer.close()

    async with asyncio.timeout(2):
        while not simulator.disconnects:  # noqa: ASYNC110 - the simulator lives in another thread
            await asyncio.sleep(0.01)
    await events.aclose()  # type: ignore[attr-defined]  # an async generator
    await wire.aclose()
    assert simulator.disconnects


@WHOLE_AND_STREAM
async def test_an_ollama_that_is_down_is_to_be_started(stream: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    error, _ = await fail("ollama_chat", f"http://127.0.0.1:{port}", "llama3.1", stream=stream)

    assert (error.failure, error.remedy, error.tell_caller, error.sent) == (Failure.UNREACHABLE, "Start it with `ollama serve`.", True, False)


@WHOLE_AND_STREAM
async def test_an_ollama_without_the_model_is_to_pull_it(stream: bool) -> None:
    with OllamaSimulator() as simulator:
        error, _ = await fail("ollama_chat", simulator.base_url, "missing", stream=stream)

    assert (error.failure, error.remedy, error.tell_caller) == (Failure.OPERATOR, "Run `ollama pull missing`.", True)


@WHOLE_AND_STREAM
async def test_a_prompt_over_ollamas_window_is_refused_and_not_cut(stream: bool) -> None:
    with OllamaSimulator() as simulator:
        lane, wire = lane_to(to := deployment("ollama_chat", simulator.base_url, "tiny-tools", num_ctx=512))
        with pytest.raises(UpstreamError) as caught:
            await lane.open(call(to, stream=stream, messages=[{"role": "user", "content": "word " * 600}]))
        await wire.aclose()

    assert caught.value.failure is Failure.CONTEXT_EXCEEDED
    assert simulator.requests[-1].json["options"]["num_ctx"] == 512


async def test_a_key_reaches_its_provider_and_a_wrong_one_is_the_operators() -> None:
    with AnthropicSimulator(api_key="right") as simulator:
        lane, wire = lane_to(right := deployment("anthropic", simulator.base_url, api_key="right"))
        await (await lane.open(call(right))).body()
        await wire.aclose()
        error, _ = await fail("anthropic", simulator.base_url, "m", stream=False)

    assert error.failure is Failure.OPERATOR
