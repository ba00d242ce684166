"""No prompt is ever cut without a word: the gateway before an Ollama, at every length around the window of its deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import serve
from tests.live.conftest import Answer, Ollama
from tests.simulators import OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WINDOW = 256  # of the deployment: neither the model's own, nor what its Modelfile asks for
AROUND = range(WINDOW - 24, WINDOW + 25)
CARD = "4929 1234 5678 9015"


def one(words: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": "a " * words}]


def many(words: int) -> list[dict[str, str]]:
    turns = [{"role": ("user", "assistant")[turn % 2], "content": "a " * 30} for turn in range(4)]
    return [{"role": "system", "content": "a"}, *turns, *one(words - 121)]


SHAPES = {"one message": one, "many messages": many}


@pytest.fixture
def gateway(tmp_path: Path, ollama: Ollama) -> Iterator[Ollama]:
    """Something to speak HTTP to: the gateway, before `ollama` and a cloud that must not be asked."""
    with OpenAISimulator() as cloud:
        config = f"""
        deployments:
          far: {{model: openai/gpt-4o-mini, api_base: "{cloud.url}/v1", api_key: k}}
          home: {{model: ollama_chat/tiny-tools, api_base: "{ollama.url}", num_ctx: {WINDOW}, clearance: confidential}}
        pools: {{cheap: [far], local: [home]}}
        rules: [{{when: {{label: confidential}}, use: local}}, {{use: cheap}}]
        """
        with serve(tmp_path, config, cache_ttl=0) as server:
            yield Ollama(server.url)
        assert cloud.requests == []


def tokens_beside_words(ollama: Ollama, shape: str) -> int:
    """Return what the template adds to a prompt of single-token words, as Ollama counts where there is room; it is the same at both ends."""
    counted = []
    for words in (AROUND[0] - 60, AROUND[-1]):
        answer = ollama.chat(model="tiny-tools", messages=SHAPES[shape](words), options={"num_ctx": 2048, "num_predict": 1}, truncate=False)
        counted.append(answer.json["prompt_eval_count"] - words)
    assert counted[0] == counted[1]
    return int(counted[0])


def ask(gateway: Ollama, messages: list[dict[str, str]], *, stream: bool) -> Answer:
    body: dict[str, Any] = {"model": "home", "messages": messages, "stream": stream, "max_tokens": 1, "seed": 1}
    return gateway.post("/v1/chat/completions", body | ({"stream_options": {"include_usage": True}} if stream else {}))


def outcome(answer: Answer) -> tuple[int, int | str]:
    """Return the status, and what was read of the prompt, or why nothing was."""
    if answer.status != 200:
        return answer.status, answer.json["error"]["code"]
    if not answer.content_type.startswith("text/event-stream"):
        return answer.status, answer.json["usage"]["prompt_tokens"]
    *_, counted, done = answer.events
    assert done == "[DONE]"
    return answer.status, counted["usage"]["prompt_tokens"]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_fits_the_window_is_read_whole_and_what_does_not_is_refused(ollama: Ollama, gateway: Ollama, shape: str) -> None:
    beside = tokens_beside_words(ollama, shape)
    found = {(tokens, stream): outcome(ask(gateway, SHAPES[shape](tokens - beside), stream=stream)) for tokens in AROUND for stream in (False, True)}

    wanted = {tokens: (200, tokens) if tokens <= WINDOW else (400, "context_length_exceeded") for tokens in AROUND}
    assert found == {(tokens, stream): wanted[tokens] for tokens, stream in found}


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_many_times_the_window_is_refused_too(gateway: Ollama, *, stream: bool) -> None:
    assert outcome(ask(gateway, one(20 * WINDOW), stream=stream)) == (400, "context_length_exceeded")


@pytest.mark.parametrize("stream", [False, True])
def test_a_confidential_prompt_is_answered_at_home(gateway: Ollama, *, stream: bool) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": f"My card is {CARD}"}], "stream": stream, "max_tokens": 2}

    answer = gateway.post("/v1/chat/completions", body)

    assert answer.status == 200
    assert (answer.headers["x-gateway-deployment"], answer.headers["x-gateway-label"]) == ("home", "confidential")
    assert answer.headers["x-gateway-findings"] == "payment_card"
    assert CARD not in str(answer.headers)
