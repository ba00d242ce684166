"""The OpenAI simulator, read by today's OpenAI SDK and compared with OpenAI's published API description."""

from __future__ import annotations

import http.client
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # it comes without stubs
import pytest

from tests.contract.clients.environment import read
from tests.simulators import OpenAISimulator
from tests.simulators.model import MULTIBYTE

if TYPE_CHECKING:
    from collections.abc import Iterator

# What OpenAI's API description (github.com/openai/openai-openapi, read in November 2026) requires of each schema; a test below reads it anew.
REQUIRED = {
    "CreateChatCompletionResponse": {"choices", "created", "id", "model", "object"},
    "CreateChatCompletionStreamResponse": {"choices", "created", "id", "model", "object"},
    "ChatCompletionResponseMessage": {"role", "content", "refusal"},
    "ChatCompletionMessageToolCall": {"id", "type", "function"},
    "ChatCompletionMessageToolCallChunk": {"index"},
    "ChatCompletionTokenLogprob": {"token", "logprob", "bytes", "top_logprobs"},
    "CompletionUsage": {"prompt_tokens", "completion_tokens", "total_tokens"},
    "Error": {"type", "message", "param", "code"},
    "ErrorResponse": {"error"},
    "ListModelsResponse": {"object", "data"},
    "Model": {"id", "object", "created", "owned_by"},
    "CreateEmbeddingResponse": {"object", "model", "data", "usage"},
    "Embedding": {"index", "object", "embedding"},
}
CHOICE = {"finish_reason", "index", "message", "logprobs"}
CHUNK_CHOICE = {"delta", "finish_reason", "index"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}


@pytest.fixture(scope="module")
def sim() -> Iterator[OpenAISimulator]:
    with OpenAISimulator(tag="cloud") as running:
        yield running


@pytest.fixture(scope="module")
def seen(sim: OpenAISimulator) -> dict[str, Any]:
    return read("read_openai", sim.base_url)


def call(sim: OpenAISimulator, path: str, body: Any = None) -> bytes:
    connection = http.client.HTTPConnection(sim.host, sim.port, timeout=10)
    try:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
        return connection.getresponse().read()
    finally:
        connection.close()


def chat(sim: OpenAISimulator, text: str = "hello", model: str = "m", **more: Any) -> Any:
    return json.loads(call(sim, "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}], **more}))


def chunks(sim: OpenAISimulator, text: str = "hello", **more: Any) -> list[Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": True, "stream_options": {"include_usage": True}, **more}
    lines = call(sim, "/v1/chat/completions", body).split(b"\n\n")
    assert lines[-2:] == [b"data: [DONE]", b""]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines[:-2]]


def answers(sim: OpenAISimulator) -> list[tuple[str, Any]]:
    """Return answers of every kind, each with the name of its schema."""
    whole, stream = "CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"
    return [
        (whole, chat(sim)),
        (whole, chat(sim, "call the tool", tools=[TOOL])),
        (whole, chat(sim, n=2, logprobs=True, top_logprobs=3)),
        (whole, chat(sim, max_tokens=1)),
        *((stream, chunk) for chunk in chunks(sim)),
        *((stream, chunk) for chunk in chunks(sim, "call twice", tools=[TOOL])),
        *((stream, chunk) for chunk in chunks(sim, logprobs=True, top_logprobs=1)),
        ("ListModelsResponse", json.loads(call(sim, "/v1/models"))),
        ("Model", json.loads(call(sim, "/v1/models/gpt-4o"))),
        ("CreateEmbeddingResponse", json.loads(call(sim, "/v1/embeddings", {"model": "e", "input": ["a", "b"]}))),
        *(("ErrorResponse", chat(sim, model=f"m.{fault}")) for fault in ("status-400", "status-429", "status-500", "context")),
        ("ErrorResponse", json.loads(call(sim, "/v1/nothing", {}))),
    ]


def test_every_answer_has_the_keys_that_the_description_requires(sim: OpenAISimulator) -> None:
    for name, answer in answers(sim):
        assert answer.keys() >= REQUIRED[name]
    whole = chat(sim, logprobs=True, top_logprobs=1)
    assert whole["choices"][0].keys() >= CHOICE
    assert whole["choices"][0]["message"].keys() >= REQUIRED["ChatCompletionResponseMessage"]
    assert whole["choices"][0]["logprobs"]["content"][0].keys() >= REQUIRED["ChatCompletionTokenLogprob"]
    assert whole["usage"].keys() >= REQUIRED["CompletionUsage"]
    assert all(choice.keys() >= CHUNK_CHOICE for chunk in chunks(sim) for choice in chunk["choices"])
    assert chat(sim, model="m.status-400")["error"].keys() >= REQUIRED["Error"]


@pytest.mark.skipif("OPENAI_OPENAPI" not in os.environ, reason="OPENAI_OPENAPI names no copy of OpenAI's API description (openapi.json)")
def test_every_answer_is_valid_by_openais_description(sim: OpenAISimulator) -> None:
    description = json.loads(Path(os.environ["OPENAI_OPENAPI"]).read_text(encoding="utf-8"))
    schemas = _nullable(description["components"]["schemas"])

    assert {name: set(schemas[name]["required"]) for name in REQUIRED} == REQUIRED
    for name, answer in answers(sim):
        jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}).validate(answer)


def _nullable(value: Any) -> Any:
    """Return a schema with OpenAPI 3.0's `nullable` in JSON Schema's words."""
    if isinstance(value, list):
        return [_nullable(item) for item in value]
    if not isinstance(value, dict):
        return value
    rest = {key: _nullable(item) for key, item in value.items() if not (key == "nullable" and item is True)}
    return {"anyOf": [rest, {"type": "null"}]} if value.get("nullable") is True else rest


def test_the_sdk_reads_a_whole_answer(seen: dict[str, Any]) -> None:
    [choice] = seen["chat"]["choices"]

    assert (choice["message"]["role"], choice["message"]["content"]) == ("assistant", "[cloud] echo: hello wörld")
    assert choice["finish_reason"] == "stop"
    assert seen["chat"]["usage"]["total_tokens"] == 6


def test_the_sdk_reads_a_stream(seen: dict[str, Any]) -> None:
    whole = {"ids": 1, "roles": ["assistant"], "content": "[cloud] echo: hello wörld", "finish": ["stop"]}

    assert seen["stream"] == {**whole, "usage": [], "last_choices": 1}
    assert seen["stream_usage"] == {**whole, "usage": [6], "last_choices": 0}
    assert seen["stream_async"] == "[cloud] echo: hello wörld"


def test_the_sdk_reads_streams_that_are_odd(seen: dict[str, Any]) -> None:
    expected = dict.fromkeys(seen["stream_odd"], "[cloud] echo: hello wörld") | {"splitutf8": f"[cloud] echo: hello wörld {MULTIBYTE}"}

    assert {name: found["content"] for name, found in seen["stream_odd"].items()} == expected


def test_the_sdk_reads_tool_calls(seen: dict[str, Any]) -> None:
    [call] = seen["tools"]
    streamed = seen["tools_streamed"]["calls"]

    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather", {"city": "city", "days": 1})
    assert [name for name, _, _ in streamed] == ["weather", "weather"]
    assert [json.loads(arguments) for _, arguments, _ in streamed] == [{"city": "city", "days": 1}] * 2
    assert len({identity for _, _, identity in streamed}) == 2
    assert seen["tools_streamed"]["finish"] == "tool_calls"
    assert seen["tool_round"] == "[cloud] echo: please call the tool tool said: sunny"


def test_the_sdk_parses_structured_output(seen: dict[str, Any]) -> None:
    assert seen["parse"] == {"city": "city", "days": 1}
    assert json.loads(seen["json_object"]) == {"echo": "hello wörld", "tag": "cloud"}


def test_the_sdk_reads_several_choices_with_logprobs(seen: dict[str, Any]) -> None:
    assert seen["choices"]["whole"] == [[0, "[cloud] echo: hello wörld", 4, 2], [1, "[cloud] echo: hello wörld #1", 5, 2]]
    assert (seen["choices"]["streamed"]["roles"], seen["choices"]["streamed"]["finish"]) == (["assistant"] * 2, ["stop"] * 2)


def test_limits_and_stops_are_obeyed(seen: dict[str, Any]) -> None:
    length = seen["limits"]["length"]

    assert (length["message"]["content"], length["finish_reason"]) == ("[cloud] echo:", "length")
    assert seen["limits"]["newer"] == 1
    assert seen["limits"]["stop"] == "[cloud] echo: one "


def test_images_are_taken(seen: dict[str, Any]) -> None:
    assert seen["image"] == "[cloud] echo: look (images: 1)"


def test_the_sdk_reads_embeddings(seen: dict[str, Any]) -> None:
    packed, floats = seen["embeddings"]["base64"], seen["embeddings"]["float"]

    assert packed[0] == pytest.approx(floats[0], abs=1e-6)
    assert floats[0] != floats[1]
    assert math.hypot(*floats[0]) == pytest.approx(1)
    assert (seen["embeddings"]["tokens"], seen["embeddings"]["usage"]) == ([8, 8], 3)


@pytest.mark.parametrize(
    ("fault", "name", "code"),
    [
        ("status-400", "BadRequestError", None),
        ("status-401", "AuthenticationError", "invalid_api_key"),
        ("status-403", "PermissionDeniedError", None),
        ("status-404", "NotFoundError", "model_not_found"),
        ("status-422", "UnprocessableEntityError", None),
        ("status-429", "RateLimitError", "rate_limit_exceeded"),
        ("status-500", "InternalServerError", None),
        ("context", "BadRequestError", "context_length_exceeded"),
        ("html-502", "InternalServerError", None),
        ("detail-422", "UnprocessableEntityError", None),
    ],
)
def test_the_sdk_raises_its_own_class(seen: dict[str, Any], fault: str, name: str, code: str | None) -> None:
    assert (seen["errors"][fault]["class"], seen["errors"][fault]["code"]) == (name, code)


@pytest.mark.parametrize("fault", ["error-0", "error-2", "cut-3", "reset-0", "malformed-2", "refuse"])
def test_the_sdk_raises_on_a_stream_that_breaks(seen: dict[str, Any], fault: str) -> None:
    assert seen["broken_streams"][fault]["class"] in {"APIError", "APIConnectionError", "JSONDecodeError"}


@pytest.mark.parametrize("path", ["/openai/deployments/d/chat/completions?api-version=1", "/openai/v1/chat/completions", "/api/v1/chat/completions"])
def test_other_providers_prefixes_are_served(sim: OpenAISimulator, path: str) -> None:
    answer = json.loads(call(sim, path, {"model": "m", "messages": [{"role": "user", "content": "hello"}]}))

    assert answer["object"] == "chat.completion"


def test_a_key_can_be_demanded() -> None:
    with OpenAISimulator(api_key="k") as locked:
        assert chat(locked)["error"]["code"] == "invalid_api_key"


def test_an_answer_can_be_said_word_for_word() -> None:
    with OpenAISimulator() as said:
        said.says = "just this"

        assert chat(said)["choices"][0]["message"]["content"] == "just this"


@pytest.mark.parametrize(("choice", "calls"), [("none", 0), ("auto", 0), ("required", 1), ({"type": "function", "function": {"name": "f"}}, 1)])
def test_a_tool_that_is_forced_is_called(sim: OpenAISimulator, choice: Any, calls: int) -> None:
    message = chat(sim, tools=[TOOL], tool_choice=choice)["choices"][0]["message"]

    assert len(message.get("tool_calls") or []) == calls


def test_parallel_calls_can_be_forbidden(sim: OpenAISimulator) -> None:
    message = chat(sim, "call twice", tools=[TOOL], parallel_tool_calls=False)["choices"][0]["message"]

    assert len(message["tool_calls"]) == 1


def test_finish_reasons_can_be_left_out(sim: OpenAISimulator) -> None:
    null, keyless = (chunks(sim, model=f"m.{fault}") for fault in ("nofinish", "nofinishkey"))

    assert all(choice["finish_reason"] is None for chunk in null for choice in chunk["choices"])
    assert all("finish_reason" not in choice for chunk in keyless for choice in chunk["choices"])


def test_the_usage_chunk_can_repeat_the_choices(sim: OpenAISimulator) -> None:
    last = chunks(sim, model="m.usagechoices")[-1]

    assert last["usage"]["total_tokens"] > 0
    assert len(last["choices"]) == 1


def test_reasoning_comes_where_the_model_thinks(sim: OpenAISimulator) -> None:
    answer = chat(sim, model="thinker")

    assert answer["choices"][0]["message"]["reasoning_content"] == "thinking about: hello"
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3
