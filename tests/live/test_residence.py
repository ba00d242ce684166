"""A model that an Ollama passes on to another host, whatever its name says: nothing confidential goes to it. Asked of a real one and of the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.integration.gateway_server import serve
from tests.live.conftest import URL, Ollama
from tests.simulators import OllamaSimulator
from tests.simulators.ollama import OllamaModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CARD = "My card is 4111 1111 1111 1111."
NAME = "plain-name"  # which does not say that it runs elsewhere


@dataclass
class Place:
    """An Ollama that has `tiny`, which runs there, and `plain-name`, which `elsewhere` would hear of."""

    url: str
    elsewhere: OllamaSimulator
    forwards: bool  # a real one does, where its OLLAMA_REMOTES names this machine


@pytest.fixture(params=["simulator", *([pytest.param("real", marks=pytest.mark.live)] if URL else [])])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with OllamaSimulator() as elsewhere:
        if request.param == "simulator":
            with OllamaSimulator(models={NAME: OllamaModel(remote_host=elsewhere.url)}) as simulator:
                yield Place(simulator.url, elsewhere, forwards=False)
            return
        real = Ollama(URL)
        made = real.post("/api/create", {"model": "first-name", "from": "gpt-oss", "remote_host": elsewhere.url, "stream": False})
        assert made.status == 200, made.body
        real.post("/api/copy", {"source": "first-name", "destination": NAME})
        forwards = real.chat(model=NAME).status == 200
        try:
            yield Place(URL, elsewhere, forwards=forwards)
        finally:
            for name in ("first-name", NAME):
                real.call("DELETE", "/api/delete", {"model": name})


def configuration(place: Place, model: str, clearance: str) -> str:
    dialects = {"chat": f'ollama_chat/{model}, api_base: "{place.url}", num_ctx: 512', "v1": f'openai/{model}, api_base: "{place.url}/v1"'}
    lines = [f"  {name}: {{model: {what}, clearance: {clearance}}}" for name, what in dialects.items()]
    tiny = f'  tiny: {{model: ollama_chat/tiny, api_base: "{place.url}", num_ctx: 512, clearance: confidential}}'
    local = "[tiny]" if clearance == "internal" else "[chat, v1]"
    return "\n".join(["deployments:", *lines, tiny, f"pools: {{local: {local}}}", "rules: [{use: local}]"])


async def ask(url: str, model: str, text: str, *, stream: bool = False) -> tuple[int, bytes]:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 3, "stream": stream}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/chat/completions", json=body) as response:
        return response.status, await response.read()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("lane", ["chat", "v1", "auto"])
async def test_a_model_that_runs_elsewhere_hears_nothing_confidential(tmp_path: Path, place: Place, lane: str, *, stream: bool) -> None:
    with serve(tmp_path, configuration(place, NAME, "confidential")) as gateway:
        status, answer = await ask(gateway.url, lane, CARD, stream=stream)

    assert (status, b"not_cleared" in answer) == (502, True)
    assert not place.elsewhere.saw(b"4111")


@pytest.mark.parametrize("lane", ["chat", "v1"])
async def test_a_model_that_runs_there_answers_what_is_confidential(tmp_path: Path, place: Place, lane: str) -> None:
    with serve(tmp_path, configuration(place, "tiny", "confidential")) as gateway:
        status, answer = await ask(gateway.url, lane, CARD)

    assert status == 200, answer


async def test_what_may_leave_does_reach_the_other_host(tmp_path: Path, place: Place) -> None:
    """The control: the server does pass requests on."""
    if not place.forwards:
        pytest.skip("the simulator passes nothing on, nor does an Ollama whose OLLAMA_REMOTES does not name this machine")
    with serve(tmp_path, configuration(place, NAME, "internal")) as gateway:
        await ask(gateway.url, "chat", "Say hello.")

    assert place.elsewhere.saw(b"Say hello.")
