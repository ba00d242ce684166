"""Where an Ollama's models run, asked of a simulator that shows them as a real one does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.config.addresses import parse_base_url
from app.config.sections import LOCAL_NETWORKS
from app.domain import Call, Deployment, EgressPolicy, Failure, Label, LaneName
from app.errors import UpstreamError
from app.providers import translate
from app.providers.egress import Egress
from app.providers.relay import RelayLane
from app.providers.residence import Residence, whole_name
from app.providers.wire import Wire
from tests.simulators import OllamaSimulator, OpenAISimulator
from tests.simulators.base import json_body
from tests.simulators.ollama import OllamaModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from app.providers.translate.lane import TranslatedAnswer
    from tests.simulators.base import Simulator

ELSEWHERE = OllamaModel(remote_host="https://ollama.com:443")
MESSAGES = [{"role": "user", "content": "Say hello."}]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ollama() -> Iterator[OllamaSimulator]:
    with OllamaSimulator(models={"llama": OllamaModel()}) as simulator:
        yield simulator


def call(simulator: Simulator, model: str = "llama", *, label: Label = Label.CONFIDENTIAL, v1: bool = False, stream: bool = False, provider: str = "") -> Call:
    base = simulator.url + ("/v1" if v1 else "")
    deployment = Deployment(
        name="home",
        provider=provider or ("openai" if v1 else "ollama_chat"),
        model=model,
        lane=LaneName.RELAY if v1 else LaneName.TRANSLATE,
        clearance=Label.CONFIDENTIAL,
        base_url=base,
        address=parse_base_url(base).address,
    )
    return Call(deployment=deployment, label=label, body={"model": "auto", "messages": MESSAGES, "stream": stream}, stream=stream, timeout_s=5)


class Wires:
    """Makes wires, and closes them when the test is over."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._made: list[Wire] = []

    def to(self, simulator: Simulator) -> Wire:
        self._made.append(Wire(Egress(EgressPolicy({parse_base_url(simulator.url).address: Label.CONFIDENTIAL}, LOCAL_NETWORKS))))
        return self._made[-1]

    def residence(self, simulator: Simulator) -> Residence:
        return Residence(self.to(simulator), clock=self.clock)

    async def close(self) -> None:
        for wire in self._made:
            await wire.aclose()


@pytest.fixture
async def wires() -> AsyncIterator[Wires]:
    made = Wires()
    yield made
    await made.close()


def paths(simulator: Simulator) -> list[str]:
    return [request.path for request in simulator.requests]


async def refused(checked: Residence, asked: Call) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await checked.check(asked)
    return caught.value


async def test_a_model_that_runs_on_the_server_is_asked_about_once_in_half_a_minute(ollama: OllamaSimulator, wires: Wires) -> None:
    checked, asked = wires.residence(ollama), call(ollama)

    for _ in range(3):
        await checked.check(asked)
    wires.clock.now += 29
    await checked.check(asked)

    assert paths(ollama) == ["/api/tags", "/api/show"]


async def test_after_that_only_the_digest_is_asked_for(ollama: OllamaSimulator, wires: Wires) -> None:
    checked, asked = wires.residence(ollama), call(ollama)
    await checked.check(asked)
    wires.clock.now += 31

    await checked.check(asked)

    assert paths(ollama) == ["/api/tags", "/api/show", "/api/tags"]


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("model", ["private", "private:latest", "registry.ollama.ai/library/private"])
async def test_a_model_under_a_harmless_name_that_runs_elsewhere_is_refused(ollama: OllamaSimulator, wires: Wires, model: str, v1: bool) -> None:
    ollama.models["private"] = ELSEWHERE

    error = await refused(wires.residence(ollama), call(ollama, model, v1=v1))

    assert (error.failure, error.sent) == (Failure.NOT_CLEARED, False)


@pytest.mark.parametrize("provider", ["together_ai", "mistral", "azure", "groq"])
async def test_an_ollama_behind_any_providers_name_is_asked(ollama: OllamaSimulator, wires: Wires, provider: str) -> None:
    ollama.models["private"] = ELSEWHERE

    error = await refused(wires.residence(ollama), call(ollama, "private", v1=True, provider=provider))

    assert (error.failure, error.sent) == (Failure.NOT_CLEARED, False)


async def test_a_server_whose_requests_are_translated_and_that_is_no_ollama_is_not_asked(ollama: OllamaSimulator, wires: Wires) -> None:
    await wires.residence(ollama).check(call(ollama, provider="anthropic"))

    assert ollama.requests == []


async def test_a_name_that_is_made_anew_is_refused_once_its_time_has_run_out(ollama: OllamaSimulator, wires: Wires) -> None:
    checked, asked = wires.residence(ollama), call(ollama)
    await checked.check(asked)
    ollama.models["llama"] = ELSEWHERE
    ollama.digests["llama"] = "another"
    wires.clock.now += 31

    assert (await refused(checked, asked)).failure is Failure.NOT_CLEARED


async def test_a_name_that_was_made_local_again_is_let_through(ollama: OllamaSimulator, wires: Wires) -> None:
    ollama.models["llama"] = ELSEWHERE
    checked, asked = wires.residence(ollama), call(ollama)
    await refused(checked, asked)
    ollama.models["llama"] = OllamaModel()
    ollama.digests["llama"] = "another"
    wires.clock.now += 31

    await checked.check(asked)


async def test_what_the_list_leaves_out_is_asked_by_name(ollama: OllamaSimulator, wires: Wires) -> None:
    assert (await refused(wires.residence(ollama), call(ollama, "gpt-oss:120b-cloud"))).failure is Failure.NOT_CLEARED
    assert paths(ollama) == ["/api/tags", "/api/show"]


async def test_a_model_that_is_not_pulled_is_told_with_the_command(ollama: OllamaSimulator, wires: Wires) -> None:
    error = await refused(wires.residence(ollama), call(ollama, "missing"))

    assert (error.failure, error.remedy) == (Failure.OPERATOR, "Run `ollama pull missing`.")


@pytest.mark.parametrize("fault", ["status-403", "status-500", "malformed-0", "html-404", "hang", "cut-0"])
async def test_what_cannot_be_known_is_refused(ollama: OllamaSimulator, wires: Wires, fault: str) -> None:
    ollama.fault = fault
    asked = call(ollama)
    checked = wires.residence(ollama)

    error = await refused(checked, replace(asked, timeout_s=0.2))

    assert error.failure in {Failure.NOT_CLEARED, Failure.TIMEOUT, Failure.BROKEN, Failure.UNREACHABLE}
    ollama.fault = None
    await checked.check(asked)


async def test_a_request_that_is_not_confidential_asks_nothing(ollama: OllamaSimulator, wires: Wires) -> None:
    ollama.models["llama"] = ELSEWHERE

    await wires.residence(ollama).check(call(ollama, label=Label.INTERNAL))

    assert ollama.requests == []


async def test_a_server_of_openais_dialect_that_is_no_ollama_is_let_through(wires: Wires) -> None:
    with OpenAISimulator() as other:
        checked, asked = wires.residence(other), call(other, v1=True)
        await checked.check(asked)
        await checked.check(asked)

        assert paths(other) == ["/api/tags"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_server_that_fails_to_say_whether_it_is_an_ollama_is_refused(wires: Wires, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with OpenAISimulator() as other:
        checked, asked = wires.residence(other), call(other, v1=True)
        with monkeypatch.context() as patch:
            patch.setattr(other, "answer", lambda *_: json_body({}, status))
            error = await refused(checked, asked)
        await checked.check(asked)

        assert (error.failure, error.sent) == (Failure.NOT_CLEARED, False)
        assert paths(other) == ["/api/tags"] * 2


@pytest.mark.parametrize("status", [404, 500])
async def test_a_model_that_runs_elsewhere_stays_refused_when_its_server_says_no_more(
    ollama: OllamaSimulator, wires: Wires, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    ollama.models["private"] = ELSEWHERE
    checked, asked = wires.residence(ollama), call(ollama, "private", v1=True)
    await refused(checked, asked)
    wires.clock.now += 60
    monkeypatch.setattr(ollama, "answer", lambda *_: json_body({}, status))

    assert (await refused(checked, asked)).failure is Failure.NOT_CLEARED


@pytest.mark.parametrize("v1", [True, False])
async def test_an_ollama_is_known_as_one_once_it_was_asked(ollama: OllamaSimulator, wires: Wires, monkeypatch: pytest.MonkeyPatch, v1: bool) -> None:
    checked, asked = wires.residence(ollama), call(ollama, v1=v1)
    before = checked.is_ollama(asked.deployment)

    await checked.check(asked)
    wires.clock.now += 60
    monkeypatch.setattr(ollama, "answer", lambda *_: json_body({}, 404))
    await refused(checked, asked)

    assert (before, checked.is_ollama(asked.deployment), checked.is_ollama(replace(asked.deployment))) == (False, True, False)


async def test_a_server_of_openais_dialect_is_known_as_none(wires: Wires) -> None:
    with OpenAISimulator() as simulator:
        checked, asked = wires.residence(simulator), call(simulator, v1=True)
        await checked.check(asked)

        assert not checked.is_ollama(asked.deployment)


async def test_a_reload_asks_anew(ollama: OllamaSimulator, wires: Wires) -> None:
    checked = wires.residence(ollama)
    await checked.check(call(ollama))

    await checked.check(call(ollama))

    assert paths(ollama) == ["/api/tags", "/api/show"] * 2


async def opened(lane: Any, asked: Call) -> TranslatedAnswer:
    answer: TranslatedAnswer = await lane.open(asked)
    return answer


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_names_another_host_is_dropped_and_remembered(ollama: OllamaSimulator, wires: Wires, stream: bool) -> None:
    translate.load()
    checked, asked = wires.residence(ollama), call(ollama, stream=stream)
    lane = translate.TranslateLane(wires.to(ollama), checked)
    await checked.check(asked)
    ollama.models["llama"] = ELSEWHERE

    answer = await opened(lane, asked)
    with pytest.raises(UpstreamError) as caught:
        await (anext(answer.events()) if stream else answer.body())
    answer.close()

    assert (caught.value.failure, caught.value.sent) == (Failure.NOT_CLEARED, True)
    assert (await refused(checked, asked)).failure is Failure.NOT_CLEARED
    wires.clock.now += 31
    assert (await refused(checked, asked)).failure is Failure.NOT_CLEARED  # the same digest: nothing has changed there


async def test_both_lanes_ask_before_a_byte_of_the_request_leaves(ollama: OllamaSimulator, wires: Wires) -> None:
    translate.load()
    ollama.models["llama"] = ELSEWHERE
    checked = wires.residence(ollama)

    for lane, v1 in ((translate.TranslateLane(wires.to(ollama), checked), False), (RelayLane(wires.to(ollama), checked), True)):
        with pytest.raises(UpstreamError) as caught:
            await opened(lane, call(ollama, v1=v1))
        assert caught.value.failure is Failure.NOT_CLEARED

    assert not any(b"Say hello." in request.body for request in ollama.requests)


@pytest.mark.parametrize(("name", "whole"), [("llama3.1", "llama3.1:latest"), ("Library/Llama:8b", "llama:8b"), ("host:1/x/y", "host:1/x/y:latest")])
def test_a_name_is_completed_as_ollama_does(name: str, whole: str) -> None:
    assert whole_name(name) == whole
