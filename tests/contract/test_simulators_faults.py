"""Every dialect knows every fault: what a stream lacks or holds, and what each calls an error."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulators import DIALECTS, Simulator
from tests.simulators.model import MULTIBYTE

if TYPE_CHECKING:
    from collections.abc import Iterator

FINISH = {
    "openai": b'"finish_reason":"stop"',
    "anthropic": b'"stop_reason":"end_turn"',
    "gemini": b'"finishReason":"STOP"',
    "bedrock": b'"stopReason":"end_turn"',
    "cohere": b'"finish_reason":"COMPLETE"',
    "ollama": b'"done":true',
}
LAST_WORD = {"openai": b"[DONE]", "anthropic": b"message_stop", "bedrock": b"metadata", "cohere": b"[DONE]"}
CONTEXT = {
    "openai": b"maximum context length",
    "anthropic": b"prompt is too long",
    "gemini": b"exceeds the maximum number of tokens",
    "bedrock": b"prompt is too long",
    "cohere": b"too many tokens",
    "ollama": b"the input length exceeds the context length",
}
ERROR = {
    "openai": b'data: {"error":{',
    "anthropic": b"event: error\ndata: ",
    "gemini": b'data: {"error":{',
    "bedrock": b"throttlingException",
    "cohere": b'"finish_reason":"ERROR"',
    "ollama": b'{"error":"',
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    whole: bool


@pytest.fixture(params=list(DIALECTS))
def sim(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with DIALECTS[request.param](tag="sim", api_key="key") as simulator:
        yield simulator


def request_of(dialect: str, model: str, *, stream: bool, text: str = "hello") -> tuple[str, dict[str, Any]]:
    """Return the path and body of a plain request."""
    plain = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    match dialect:
        case "anthropic":
            return "/v1/messages", {**plain, "max_tokens": 100}
        case "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        case "bedrock":
            return f"/model/{model}/converse{'-stream' if stream else ''}", {"messages": [{"role": "user", "content": [{"text": text}]}]}
        case "cohere":
            return "/v2/chat", plain
        case "ollama":
            return "/api/chat", plain
    return "/v1/chat/completions", plain


def ask(sim: Simulator, model: str, *, stream: bool = True, text: str = "hello") -> Answer:
    path, body = request_of(sim.dialect, model, stream=stream, text=text)
    headers = {"authorization": "Bearer key", "x-api-key": "key", "x-goog-api-key": "key", "anthropic-version": "2023-06-01"}
    connection = http.client.HTTPConnection(sim.host, sim.port, timeout=10)
    try:
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        try:
            return Answer(answer.status, answer.headers, answer.read(), whole=True)
        except http.client.IncompleteRead as exc:
            return Answer(answer.status, answer.headers, exc.partial, whole=False)
    finally:
        connection.close()


def test_a_healthy_stream_ends_with_all_that_it_should(sim: Simulator) -> None:
    answer = ask(sim, "m")

    assert (answer.status, answer.whole) == (200, True)
    assert answer.body.count(FINISH[sim.dialect]) == 1
    assert LAST_WORD.get(sim.dialect, b"") in answer.body


@pytest.mark.parametrize("fault", ["cut-2", "endclean-2"])
def test_a_stream_that_is_cut_has_no_finish_reason(sim: Simulator, fault: str) -> None:
    answer = ask(sim, f"m.{fault}")

    assert answer.whole == (fault == "endclean-2")
    assert answer.body
    assert FINISH[sim.dialect] not in answer.body


def test_a_last_word_can_be_left_out(sim: Simulator) -> None:
    answer = ask(sim, "m.nodone")

    assert FINISH[sim.dialect] in answer.body
    assert sim.dialect not in LAST_WORD or LAST_WORD[sim.dialect] not in answer.body


@pytest.mark.parametrize("count", [0, 2])
def test_an_error_comes_inside_a_stream_of_200(sim: Simulator, count: int) -> None:
    answer = ask(sim, f"m.error-{count}")

    assert (answer.status, answer.whole) == (200, True)
    assert ERROR[sim.dialect] in answer.body
    assert FINISH[sim.dialect] not in answer.body
    assert sim.requests[-1].chunks_sent == count + 1


@pytest.mark.parametrize("stream", [True, False])
def test_each_dialect_says_in_its_own_words_that_a_prompt_is_too_long(sim: Simulator, stream: bool) -> None:
    answer = ask(sim, "m.context", stream=stream)

    assert answer.status == 400
    assert CONTEXT[sim.dialect] in answer.body


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 529])
def test_each_status_has_an_error_body(sim: Simulator, status: int) -> None:
    answer = ask(sim, f"m--status-{status}")

    assert answer.status == status
    assert isinstance(json.loads(answer.body), dict)


def test_an_error_can_quote_the_caller(sim: Simulator) -> None:
    answer = ask(sim, "m.echo-400", text="canary-77")

    assert answer.status == 400
    assert b"canary-77" in answer.body


def test_retry_after_is_said_in_every_dialect(sim: Simulator) -> None:
    assert ask(sim, "m.status-429-retry-7").headers["retry-after"] == "7"


def test_text_survives_writes_that_end_anywhere(sim: Simulator) -> None:
    whole, torn = ask(sim, "m", text=f"hello {MULTIBYTE}"), ask(sim, "m.splitutf8")

    assert torn.whole
    assert torn.body.count("日本語".encode()) == 1
    assert "日本語".encode() in whole.body


@pytest.mark.parametrize("stream", [True, False])
def test_the_body_is_marked_malformed_at_the_chunk_asked_for(sim: Simulator, stream: bool) -> None:
    answer, healthy = ask(sim, "m.malformed-2", stream=stream), ask(sim, "m", stream=stream)

    assert answer.status == 200
    assert (answer.body.count(b"{"), answer.body.count(b"}")) != (healthy.body.count(b"{"), healthy.body.count(b"}"))


def test_words_can_be_asked_for(sim: Simulator) -> None:
    assert b"w49" in ask(sim, "m.words-50").body
    assert b"w50" not in ask(sim, "m.words-50").body


def test_a_key_that_is_demanded_is_checked(sim: Simulator) -> None:
    sim.api_key = "another"

    assert ask(sim, "m").status in ({200} if sim.dialect == "ollama" else {401, 403, 400})


def test_a_path_that_a_provider_does_not_have_is_404(sim: Simulator) -> None:
    connection = http.client.HTTPConnection(sim.host, sim.port, timeout=10)
    connection.request("POST", "/nothing/here", "{}", {"authorization": "Bearer key"})
    answer = connection.getresponse()
    answer.read()
    connection.close()

    assert answer.status == 404


def test_the_command_line_serves_and_says_what_it_served() -> None:
    command = [sys.executable, "-u", "-m", "tests.simulators", "all", "--tag", "hand"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        urls = dict(process.stdout.readline().split() for _ in DIALECTS)
        port = int(urls["ollama"].rpartition(":")[2])
        process.stdout.readline()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/api/chat", json.dumps({"model": "m.status-503", "messages": [{"role": "user", "content": "secret"}]}))
        connection.getresponse().read()
        connection.close()
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
    assert urls.keys() == DIALECTS.keys()
    assert line == "hand POST /api/chat m.status-503 503 status\n"
