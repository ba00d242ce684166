"""What the gateway builds on in Ollama. Each behaviour is asked of a real one and of the simulator, so that they cannot drift apart.

The models' answers are noise: shapes, counts, statuses and texts of errors are compared, never what is said.
"""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from tests.live.conftest import URL, Ollama

LONG = "word " * 4000
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}}
LAST_LINE = {"done_reason", "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"}


def v1_error(message: str, kind: str = "api_error") -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


@pytest.mark.live
@pytest.mark.skipif(not URL, reason="OLLAMA_BASE_URL names no Ollama: set it to one that has the models `tiny` and `tiny-tools`; the simulator alone was asked")
def test_a_real_ollama_is_asked_too() -> None:
    assert Ollama(URL).get("/api/version").status == 200


def test_it_says_that_it_runs(ollama: Ollama) -> None:
    answer = ollama.get("/")

    assert (answer.status, answer.body) == (200, b"Ollama is running")
    assert ollama.get("/api/version").json.keys() == {"version"}


def test_tags_list_the_models_by_their_full_names(ollama: Ollama) -> None:
    models = ollama.get("/api/tags").json["models"]

    assert {"tiny:latest", "tiny-tools:latest"} <= {model["name"] for model in models}
    assert {"name", "model", "modified_at", "size", "digest", "details"} <= models[0].keys()


def test_show_says_what_a_model_can(ollama: Ollama) -> None:
    tiny, tools = ollama.post("/api/show", {"model": "tiny"}).json, ollama.post("/api/show", {"model": "tiny-tools"}).json

    assert tiny["capabilities"] == ["completion"]
    assert tools["capabilities"] == ["completion", "tools"]
    assert tiny["model_info"][f"{tiny['model_info']['general.architecture']}.context_length"] == 2048
    assert ["num_ctx", "512"] in [line.split() for line in tools["parameters"].split("\n")]


def test_the_window_in_force_is_known_once_a_model_is_loaded(ollama: Ollama) -> None:
    def window(model: str) -> Any:
        return {m["name"]: m["context_length"] for m in ollama.get("/api/ps").json["models"]}[f"{model}:latest"]

    ollama.chat(options={"num_ctx": 64})
    assert window("tiny") == 64
    ollama.chat()
    assert window("tiny") == 2048
    ollama.chat(options={"num_ctx": 999_999})
    assert window("tiny") == 2048
    ollama.chat(model="tiny-tools")
    assert window("tiny-tools") == 512


@pytest.mark.parametrize("path", ["/api/show", "/api/chat"])
def test_an_unknown_model_is_404(ollama: Ollama, path: str) -> None:
    answer = ollama.post(path, {"model": "missing", "messages": [{"role": "user", "content": "x"}]})

    assert (answer.status, answer.json) == (404, {"error": "model 'missing' not found"})


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings"])
def test_an_unknown_model_of_embeddings_is_404(ollama: Ollama, path: str) -> None:
    answer = ollama.post(path, {"model": "missing", "input": "x"})

    assert (answer.status, answer.json) == (404, {"error": 'model "missing" not found, try pulling it first'})


def test_an_unknown_model_below_v1_is_404(ollama: Ollama) -> None:
    answer = ollama.completion(model="missing")

    assert (answer.status, answer.json) == (404, v1_error("model 'missing' not found"))
    assert ollama.get("/v1/models/missing").json == v1_error("model 'missing' not found")


def test_no_model_is_400(ollama: Ollama) -> None:
    answer = ollama.post("/api/chat", {"messages": [{"role": "user", "content": "x"}]})

    assert (answer.status, answer.json) == (400, {"error": "model is required"})
    assert ollama.completion(model="").json == v1_error("model is required")


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/nothing"), ("POST", "/api/nothing"), ("POST", "/v1/nothing")])
def test_an_unknown_path_is_404_in_plain_text(ollama: Ollama, method: str, path: str) -> None:
    answer = ollama.call(method, path, {} if method == "POST" else None)

    assert (answer.status, answer.content_type, answer.body) == (404, "text/plain", b"404 page not found")


def test_a_wrong_method_is_405_in_plain_text(ollama: Ollama) -> None:
    answer = ollama.get("/api/chat")

    assert (answer.status, answer.content_type, answer.body) == (405, "text/plain", b"405 method not allowed")


def test_a_whole_answer_carries_its_counts(ollama: Ollama) -> None:
    answer = ollama.chat()

    assert (answer.status, answer.content_type) == (200, "application/json; charset=utf-8")
    assert answer.json.keys() == {"model", "created_at", "message", "done"} | LAST_LINE
    assert answer.json["message"].keys() == {"role", "content"}
    assert (answer.json["model"], answer.json["done"]) == ("tiny", True)


def test_a_stream_is_lines_of_json_whose_last_carries_the_counts(ollama: Ollama) -> None:
    answer = ollama.chat(stream=True)

    *lines, last = answer.lines
    assert answer.content_type == "application/x-ndjson"
    assert all(line.keys() == {"model", "created_at", "message", "done"} and not line["done"] for line in lines)
    assert last.keys() == {"model", "created_at", "message", "done"} | LAST_LINE
    assert {line["message"]["role"] for line in answer.lines} == {"assistant"}
    assert last["message"]["content"] == ""


def test_num_predict_limits_the_answer(ollama: Ollama) -> None:
    answer = ollama.chat(options={"num_predict": 2}).json

    assert (answer["done_reason"], answer["eval_count"]) == ("length", 2)


def test_streaming_is_what_the_native_dialect_does_unasked(ollama: Ollama) -> None:
    answer = ollama.post("/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "options": {"num_predict": 1}})

    assert answer.content_type == "application/x-ndjson"


def test_no_messages_only_load_the_model(ollama: Ollama) -> None:
    answer = ollama.post("/api/chat", {"model": "tiny", "messages": [], "stream": False}).json

    assert (answer["done"], answer["done_reason"], answer["message"]["content"]) == (True, "load", "")


def test_a_prompt_longer_than_the_window_is_cut_to_it_without_a_word(ollama: Ollama) -> None:
    answer = ollama.chat(LONG)

    assert answer.status == 200
    assert answer.json["prompt_eval_count"] == 2048


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_longer_than_the_window_is_refused_when_cutting_is_forbidden(ollama: Ollama, stream: bool) -> None:
    answer = ollama.chat(LONG, stream=stream, truncate=False)

    assert (answer.status, answer.json) == (400, {"error": "the input length exceeds the context length"})


def test_the_window_that_is_asked_for_is_the_one_that_cuts(ollama: Ollama) -> None:
    cut = ollama.chat("word " * 100, options={"num_ctx": 64}).json
    refused = ollama.chat("word " * 100, options={"num_ctx": 64}, truncate=False)

    assert cut["prompt_eval_count"] == 64
    assert refused.status == 400


def test_earlier_messages_are_dropped_without_a_word(ollama: Ollama) -> None:
    earlier = [{"role": "user", "content": "word " * 300}, {"role": "assistant", "content": "word " * 300}]
    last = [{"role": "user", "content": "short one"}]

    alone = ollama.chat(messages=last, options={"num_ctx": 256}).json
    after = ollama.chat(messages=earlier + last, options={"num_ctx": 256}).json

    assert after["prompt_eval_count"] == alone["prompt_eval_count"]


def test_below_v1_nothing_forbids_cutting(ollama: Ollama) -> None:
    answer = ollama.completion(LONG, truncate=False, options={"num_ctx": 64})

    assert answer.status == 200
    assert answer.json["usage"]["prompt_tokens"] == 2048


def test_an_answer_that_outgrows_the_window_ends_when_shifting_is_forbidden(ollama: Ollama) -> None:
    prompt = "w " * 60
    answer = ollama.chat(prompt, options={"num_ctx": 64, "num_predict": 300}, shift=False).json

    assert answer["done_reason"] == "length"
    assert answer["prompt_eval_count"] + answer["eval_count"] <= 65


def test_tools_are_refused_by_a_model_without_them(ollama: Ollama) -> None:
    native, v1 = ollama.chat(tools=[TOOL]), ollama.completion(tools=[TOOL])

    assert (native.status, native.json) == (400, {"error": "registry.ollama.ai/library/tiny:latest does not support tools"})
    assert (v1.status, v1.json) == (400, v1_error("registry.ollama.ai/library/tiny:latest does not support tools"))


def test_tools_are_taken_by_a_model_with_them(ollama: Ollama) -> None:
    assert ollama.chat(model="tiny-tools", tools=[TOOL]).status == 200


def test_a_tools_result_is_taken_back(ollama: Ollama) -> None:
    called = {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": "b"}}}]}
    messages = [{"role": "user", "content": "x"}, called, {"role": "tool", "content": "y", "tool_call_id": "c"}]

    assert ollama.chat(model="tiny-tools", messages=messages, tools=[TOOL]).status == 200


def test_thinking_is_refused_by_a_model_that_does_not_think(ollama: Ollama) -> None:
    native, v1 = ollama.chat(think=True), ollama.completion(reasoning_effort="low")

    assert (native.status, native.json) == (400, {"error": '"tiny" does not support thinking'})
    assert (v1.status, v1.json) == (400, v1_error('"tiny" does not support thinking'))
    assert ollama.chat(think=False).status == 200


def test_a_schema_is_kept_to(ollama: Ollama) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}

    native = ollama.chat(format=schema, options={"num_predict": 60}).json["message"]["content"]
    v1 = ollama.completion(max_tokens=60, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}).json

    assert isinstance(json.loads(native)["a"], bool)
    assert isinstance(json.loads(v1["choices"][0]["message"]["content"])["a"], bool)


def test_a_text_that_is_a_call_is_read_as_one_where_tools_are_offered(ollama: Ollama) -> None:
    arguments = {"const": {"a": "b"}}
    form = {"type": "object", "properties": {"name": {"const": "f"}, "arguments": arguments}, "required": ["name", "arguments"], "additionalProperties": False}

    message = ollama.chat(model="tiny-tools", format=form, tools=[TOOL], options={"num_predict": 200, "temperature": 1, "seed": 1}).json["message"]

    assert [call["function"]["arguments"] for call in message["tool_calls"]] == [{"a": "b"}]
    assert message["content"] == ""


@pytest.mark.parametrize(
    "wrong", [{"not": {"type": "string"}}, {"type": "string", "pattern": "a+"}, {"$ref": "#/$defs/absent"}, {"type": "odd"}, {"title": "x"}]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_that_no_grammar_can_be_made_of_is_500(ollama: Ollama, wrong: dict[str, Any], stream: bool) -> None:
    answer = ollama.chat(format={"type": "object", "properties": {"a": wrong}, "required": ["a"]}, stream=stream)

    assert (answer.status, answer.json) == (500, {"error": "invalid JSON schema in format"})


def test_an_unknown_format_is_500(ollama: Ollama) -> None:
    answer = ollama.chat(format="xml")

    assert answer.status == 500
    assert answer.json["error"].startswith("invalid format: ")


def test_content_in_parts_is_refused_by_the_native_dialect(ollama: Ollama) -> None:
    answer = ollama.chat(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}]}])

    assert answer.status == 400
    assert answer.json["error"].startswith("json: cannot unmarshal array")


@pytest.mark.parametrize("body", [b"{bad", b""])
def test_a_body_that_is_no_json_is_400(ollama: Ollama, body: bytes) -> None:
    answer = ollama.post("/api/chat", body)

    assert answer.status == 400
    assert answer.json.keys() == {"error"}


def test_images_by_url_are_refused_below_v1(ollama: Ollama) -> None:
    answer = ollama.completion([{"type": "image_url", "image_url": {"url": "http://127.0.0.1/y.png"}}])

    wanted = v1_error("image URLs are not currently supported, please use base64 encoded data instead", "invalid_request_error")
    assert (answer.status, answer.json) == (400, wanted)


def test_no_messages_are_400_below_v1(ollama: Ollama) -> None:
    answer = ollama.completion(messages=[])

    assert (answer.status, answer.json) == (400, v1_error("[] is too short - 'messages'", "invalid_request_error"))


def test_a_completion_has_openais_shape_less_some_keys(ollama: Ollama) -> None:
    answer = ollama.completion()

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.json.keys() == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    [choice] = answer.json["choices"]
    assert choice.keys() == {"index", "message", "finish_reason"}
    assert choice["message"].keys() == {"role", "content"}
    assert answer.json["usage"].keys() == {"prompt_tokens", "completion_tokens", "total_tokens"}


@pytest.mark.parametrize("usage", [True, False])
def test_a_streamed_completion_repeats_the_role_and_ends_with_done(ollama: Ollama, usage: bool) -> None:
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}

    answer = ollama.completion(stream=True, **more)

    *chunks, done = answer.events
    counted = [chunks.pop()] if usage else []
    assert (answer.content_type, done) == ("text/event-stream", "[DONE]")
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in chunks)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(chunk["choices"] == [] and "usage" in chunk for chunk in counted)
    assert all("usage" not in chunk for chunk in chunks)


def test_only_max_tokens_limits_a_completion(ollama: Ollama) -> None:
    answer = ollama.completion(max_completion_tokens=1, max_tokens=3).json

    assert answer["usage"]["completion_tokens"] == 3


def test_n_is_ignored(ollama: Ollama) -> None:
    assert len(ollama.completion(n=3).json["choices"]) == 1


def test_models_are_listed_below_v1(ollama: Ollama) -> None:
    models = ollama.get("/v1/models").json

    assert models["object"] == "list"
    assert models["data"][0].keys() == {"id", "object", "created", "owned_by"}
    assert ollama.get("/v1/models/tiny").json["id"] == "tiny"


def test_embeddings_come_one_a_text(ollama: Ollama) -> None:
    answer = ollama.post("/api/embed", {"model": "tiny", "input": ["a", "b"]}).json

    assert answer.keys() == {"model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"}
    assert [len(row) for row in answer["embeddings"]] == [64, 64]
    assert sum(x * x for x in answer["embeddings"][0]) == pytest.approx(1, abs=1e-3)


def test_an_older_embedding_comes_alone(ollama: Ollama) -> None:
    assert len(ollama.post("/api/embeddings", {"model": "tiny", "prompt": "a"}).json["embedding"]) == 64


def test_a_text_longer_than_the_window_is_cut_before_it_is_embedded(ollama: Ollama) -> None:
    cut, refused = (ollama.post("/api/embed", {"model": "tiny", "input": LONG, **more}) for more in ({}, {"truncate": False}))

    assert cut.json["prompt_eval_count"] == 2048
    assert (refused.status, refused.json) == (400, {"error": "the input length exceeds the context length"})


def test_embeddings_below_v1_come_as_floats_or_base64(ollama: Ollama) -> None:
    floats, packed = (ollama.post("/v1/embeddings", {"model": "tiny", "input": "a", **more}).json for more in ({}, {"encoding_format": "base64"}))

    row = floats["data"][0]["embedding"]
    assert list(struct.unpack(f"<{len(row)}f", base64.b64decode(packed["data"][0]["embedding"]))) == pytest.approx(row, abs=1e-6)
    assert floats["usage"].keys() == {"prompt_tokens", "total_tokens"}


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2]]])
def test_token_arrays_are_refused(ollama: Ollama, tokens: Any) -> None:
    native, v1 = ollama.post("/api/embed", {"model": "tiny", "input": tokens}), ollama.post("/v1/embeddings", {"model": "tiny", "input": tokens})

    assert (native.status, native.json) == (400, {"error": "invalid input type"})
    assert (v1.status, v1.json) == (400, v1_error("invalid input type"))


def test_an_unknown_encoding_is_refused(ollama: Ollama) -> None:
    answer = ollama.post("/v1/embeddings", {"model": "tiny", "input": "a", "encoding_format": "xx"})

    wanted = v1_error("Invalid value for 'encoding_format' = xx. Supported values: ['float', 'base64'].", "invalid_request_error")
    assert (answer.status, answer.json) == (400, wanted)
