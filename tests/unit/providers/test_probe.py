"""Deployments are asked for their models, over sockets, of simulators that list them as the providers do."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.config.addresses import parse_base_url
from app.config.sections import LOCAL_NETWORKS
from app.domain import Deployment, EgressPolicy, Label, LaneName
from app.providers.egress import Egress
from app.providers.probe import Outcome, Probed, probe_all
from app.providers.wire import Wire
from tests.simulators import AnthropicSimulator, BedrockSimulator, CohereSimulator, GeminiSimulator, OllamaModel, OllamaSimulator, OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulators.base import Simulator

SERVED = [
    (OpenAISimulator, "openai", "gpt-4o-mini"),
    (OpenAISimulator, "azure", "my-own-name"),
    (AnthropicSimulator, "anthropic", "claude-haiku-4-5"),
    (GeminiSimulator, "gemini", "gemini-2.5-flash"),
    (CohereSimulator, "cohere_chat", "command-a-03-2025"),
]


def deployment(base_url: str, provider: str = "openai", model: str = "gpt-4o-mini", key: str | None = None, **fields: Any) -> Deployment:
    given: dict[str, Any] = {"clearance": Label.CONFIDENTIAL, "params": {"api_version": "2024-10-21"}} | fields
    address = parse_base_url(base_url).address
    return Deployment(name=model, provider=provider, model=model, lane=LaneName.RELAY, base_url=base_url, address=address, api_key=key, **given)


async def probe(*deployments: Deployment, timeout_s: float = 5.0) -> list[Probed]:
    policy = EgressPolicy({each.address: each.clearance for each in deployments if each.address is not None}, LOCAL_NETWORKS)
    wire = Wire(Egress(policy))
    try:
        return await probe_all(wire, deployments, connect_s=timeout_s, timeout_s=timeout_s)
    finally:
        await wire.aclose()


@contextmanager
def listening() -> Iterator[str]:
    """Yield the address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def asked(simulator: Simulator) -> list[str]:
    return [request.method for request in simulator.requests]


@pytest.mark.parametrize(("kind", "provider", "model"), SERVED)
async def test_a_deployment_that_answers_is_well_and_was_asked_once_for_nothing_that_costs(kind: type[Simulator], provider: str, model: str) -> None:
    with kind(api_key="right") as simulator:
        base = simulator.url if provider == "azure" else simulator.base_url
        [found] = await probe(deployment(base, provider, model, "right"))

    assert found.outcome is Outcome.OK
    assert found.ms is not None
    assert asked(simulator) == ["GET"]


@pytest.mark.parametrize(("kind", "provider", "model"), SERVED)
async def test_a_key_that_is_refused_is_said_and_not_shown(kind: type[Simulator], provider: str, model: str) -> None:
    with kind(api_key="right") as simulator:
        base = simulator.url if provider == "azure" else simulator.base_url
        [found] = await probe(deployment(base, provider, model, "wrong-canary"))

    assert found.outcome is Outcome.KEY_REFUSED
    assert "refused the key" in found.said
    assert "canary" not in repr(found)


async def test_a_server_that_wants_a_key_where_none_is_written_says_so() -> None:
    with OpenAISimulator(api_key="right") as simulator:
        [found] = await probe(deployment(simulator.base_url))

    assert found.said == "wants a key (401): write `api_key`"


@pytest.mark.parametrize(("kind", "provider"), [(kind, provider) for kind, provider, _ in SERVED if provider != "azure"])
async def test_a_model_that_is_not_listed_is_said(kind: type[Simulator], provider: str) -> None:
    with kind() as simulator:
        [found] = await probe(deployment(simulator.base_url, provider, "unheard-of"))

    assert (found.outcome, found.well) == (Outcome.NOT_LISTED, False)
    assert "does not list unheard-of among its" in found.said


async def test_a_model_that_is_not_pulled_is_said_with_the_command_that_pulls_it() -> None:
    with OllamaSimulator(models={"llama3.1": OllamaModel()}) as simulator:
        pulled, not_pulled = await probe(*(deployment(simulator.base_url, "ollama_chat", model) for model in ("llama3.1", "qwen")))

    assert pulled.outcome is Outcome.OK
    assert not_pulled.said.endswith("run `ollama pull qwen`")
    assert asked(simulator) == ["GET", "GET"]


async def test_an_ollama_that_does_not_run_is_said_with_the_command_that_starts_it() -> None:
    with OllamaSimulator() as simulator:
        base = simulator.base_url

    [found] = await probe(deployment(base, "ollama_chat", "llama3.1"))

    assert found.outcome is Outcome.UNREACHABLE
    assert "connection refused" in found.said
    assert "`ollama serve`" in found.said


async def test_a_model_that_runs_on_another_host_is_not_for_what_is_confidential() -> None:
    with OllamaSimulator(models={"big": OllamaModel(remote_host="https://ollama.com:443")}) as simulator:
        home = deployment(simulator.base_url, "ollama_chat", "big")
        [confidential] = await probe(home)
        [internal] = await probe(replace(home, clearance=Label.INTERNAL))

    assert confidential.outcome is Outcome.RUNS_ELSEWHERE
    assert internal.well


@pytest.mark.parametrize(
    ("fault", "outcome", "said"),
    [
        ("status-503", Outcome.FAILED, "answered 503"),
        ("status-429", Outcome.FAILED, "answered 429"),
        ("status-404", Outcome.NO_LIST, "has no list of models at /v1/models (404): check `api_base`"),
        ("redirect-302", Outcome.NO_LIST, "(302)"),
        ("text-200", Outcome.NO_LIST, "not with a list of models"),
        ("detail-200", Outcome.NO_LIST, "not with a list of models"),
        ("refuse", Outcome.UNREACHABLE, "cannot be reached"),
    ],
)
async def test_what_does_not_list_models_is_said(fault: str, outcome: Outcome, said: str) -> None:
    with OpenAISimulator() as simulator:
        simulator.fault = fault
        [found] = await probe(deployment(simulator.base_url))

    assert (found.outcome, found.well) == (outcome, False)
    assert said in found.said


async def test_a_server_that_is_silent_is_given_up() -> None:
    with listening() as base:
        [found] = await probe(deployment(base), timeout_s=0.05)

    assert found.outcome is Outcome.TIMEOUT
    assert "within 0.05 s" in found.said


async def test_a_server_that_speaks_no_http_is_said() -> None:
    with OpenAISimulator() as simulator:
        simulator.fault = "reset-0"
        [found] = await probe(deployment(simulator.base_url))

    assert not found.well


async def test_a_name_that_there_is_not_is_said() -> None:
    [found] = await probe(deployment("http://no-such-host.invalid/v1", clearance=Label.PUBLIC))

    assert found.outcome is Outcome.UNREACHABLE


async def test_an_address_that_is_not_cleared_is_not_connected_to() -> None:
    with OpenAISimulator() as simulator:
        elsewhere = deployment(simulator.base_url)
        wire = Wire(Egress(EgressPolicy({elsewhere.address: Label.INTERNAL} if elsewhere.address else {}, LOCAL_NETWORKS)))
        [found] = await probe_all(wire, [elsewhere], connect_s=1, timeout_s=1)
        await wire.aclose()

    assert found.outcome is Outcome.NOT_CLEARED
    assert simulator.requests == []


async def test_tls_that_cannot_be_verified_is_said() -> None:
    with OpenAISimulator() as simulator:
        [found] = await probe(deployment(simulator.base_url.replace("http://", "https://")))

    assert "TLS" in found.said


async def test_a_key_that_no_header_can_carry_is_said() -> None:
    with OpenAISimulator() as simulator:
        [found] = await probe(deployment(simulator.base_url, key="k\n"))

    assert found.outcome is Outcome.FAILED
    assert simulator.requests == []


async def test_bedrock_and_the_demo_model_are_not_asked_and_that_is_said() -> None:
    with BedrockSimulator() as simulator:
        bedrock = deployment(simulator.base_url, "bedrock", "anthropic.claude-x")
        found = await probe(bedrock, replace(bedrock, name="demo", provider="demo", address=None))

    assert [each.outcome for each in found] == [Outcome.NOT_PROBED] * 2
    assert "not probed: Bedrock lists its models at another host" in found[0].said
    assert simulator.history == []


async def test_many_are_asked_a_few_at_a_time_and_told_in_their_order() -> None:
    with OpenAISimulator() as simulator:
        found = await probe(*(deployment(simulator.base_url, model=f"m{place}") for place in range(20)))

    assert [each.deployment for each in found] == [f"m{place}" for place in range(20)]
    assert len(simulator.history) <= 8
