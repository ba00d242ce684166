"""A second opinion by a chat model of the file: Ollama's own interface, its `/v1`, and a server of OpenAI's dialect; and what one means for later turns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import serve
from tests.simulators import NerSimulator, OllamaSimulator, OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

    from tests.simulators import Simulator

TEXT = "Why is Nightjar late?"
FOUND = json.dumps({"findings": [{"kind": "PERSON", "quote": "nightjar"}]})
NOTHING = json.dumps({"findings": []})


@pytest.fixture(params=["ollama", "ollama /v1", "openai"])
def home(request: pytest.FixtureRequest) -> Iterator[tuple[str, Simulator, str]]:
    kind: str = request.param
    with OpenAISimulator() if kind == "openai" else OllamaSimulator() as simulator:
        prefix = "openai" if kind != "ollama" else "ollama_chat"
        base, window = (simulator.url, "num_ctx") if kind == "ollama" else (f"{simulator.url}/v1", "context_window")
        yield kind, simulator, f'{{model: {prefix}/llama3.1, api_base: "{base}", {window}: 4096, clearance: confidential}}'


async def asked(folder: Path, http: aiohttp.ClientSession, cloud: OpenAISimulator, home: str, more: str = "") -> Any:
    config = f"""
    deployments:
      cloud: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k}}
      home: {home}
    rules: [{{when: {{label: confidential}}, use: home}}, {{use: cloud}}]
    scan: {{second_opinion: {{deployment: home{more}}}}}
    """
    with serve(folder, config) as gateway:
        response = await http.post(f"{gateway.url}/v1/route", json={"model": "auto", "messages": [{"role": "user", "content": TEXT}]})
        return await response.json()


@pytest.mark.parametrize(("says", "label"), [(FOUND, "confidential"), (NOTHING, "public"), ("I found nothing.", "confidential")])
async def test_a_model_reads_what_the_scanner_lets_pass(
    tmp_path: Path, http: aiohttp.ClientSession, cloud: OpenAISimulator, home: tuple[str, Simulator, str], says: str, label: str
) -> None:
    kind, simulator, written = home
    simulator.says = says

    told = await asked(tmp_path, http, cloud, written)

    cannot = kind == "ollama /v1" or says == "I found nothing."
    assert told["label"] == ("confidential" if cannot else label)
    assert told["label_reason"] == ("second_opinion_unavailable" if cannot else "second_opinion" if says == FOUND else "default")
    assert [found["kind"] for found in told["findings"]] == (["second_opinion_unavailable"] if cannot else ["person"] if says == FOUND else [])
    assert cloud.connections == 0


async def test_a_prompt_over_the_models_window_is_confidential(tmp_path: Path, http: aiohttp.ClientSession, cloud: OpenAISimulator) -> None:
    with OllamaSimulator() as simulator:
        simulator.fault = "context"
        written = f'{{model: ollama_chat/llama3.1, api_base: "{simulator.url}", num_ctx: 4096, clearance: confidential}}'

        told = await asked(tmp_path, http, cloud, written)

    assert told["label_reason"] == "second_opinion_unavailable"


@pytest.mark.parametrize(("tier", "reason"), [("hard", "conversation"), ("likely", "default")])
async def test_a_hard_finding_keeps_its_conversation_and_a_likely_one_does_not(
    tmp_path: Path, http: aiohttp.ClientSession, cloud: OpenAISimulator, local: OpenAISimulator, tier: str, reason: str
) -> None:
    with NerSimulator({"Nightjar": "PERSON"}) as reader:
        config = f"""
        deployments:
          cloud: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k}}
          home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
        rules: [{{when: {{label: confidential}}, use: home}}, {{use: cloud}}]
        scan: {{second_opinion: {{url: "{reader.base_url}", kinds: {{PERSON: {tier}}}}}}}
        """
        said = ["Nightjar is late, and nobody can tell us for how long it will be.", "What would you write to everybody who waits for it today?"]
        first = {"model": "auto", "messages": [{"role": "user", "content": text} for text in said]}
        later = {"model": "auto", "messages": [{"role": "user", "content": said[1]}]}
        with serve(tmp_path, config) as gateway:
            answer = await http.post(f"{gateway.url}/v1/chat/completions", json=first)
            told = await (await http.post(f"{gateway.url}/v1/route", json=later)).json()

    assert answer.headers["x-gateway-label"] == "confidential"
    assert told["label_reason"] == reason
