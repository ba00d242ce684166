from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain import Failure
from app.errors import UpstreamError
from tests.unit.providers.translate.support import PNG, SCHEMA, TOOL, answered, asked, calls_of, deployment, sse, streamed, text_of

GEMINI = deployment("gemini")
COUNTS = {"promptTokenCount": 4, "candidatesTokenCount": 7, "thoughtsTokenCount": 3, "cachedContentTokenCount": 2, "totalTokenCount": 14}


def chunk(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": list(candidates), "modelVersion": "gemini-2.5-flash-002", "responseId": "r", **more}


def candidate(*parts: dict[str, Any], index: int = 0, finish: str | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": index}
    return said if finish is None else {**said, "finishReason": finish}


@pytest.mark.parametrize(("stream", "method"), [(False, "generateContent"), (True, "streamGenerateContent?alt=sse")])
async def test_a_request_is_contents(stream: bool, method: str) -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PNG}}]},
    ]

    wire, dropped = await asked(
        GEMINI, stream=stream, messages=messages, max_tokens=9, seed=3, n=2, stop="x", parallel_tool_calls=False, tools=[TOOL], user="u"
    )

    assert wire.sent[0]["path"] == f"/v1beta/models/gemini-2.5-flash:{method}"
    assert wire.header["x-goog-api-key"] == "test-key"
    config = wire.body["generationConfig"]
    assert (config["max_output_tokens"], config["seed"], config["candidate_count"], config["stop_sequences"]) == (9, 3, 2, ["x"])
    assert wire.body["system_instruction"]["parts"][0]["text"] == "be brief"
    assert [list(part) for part in wire.body["contents"][0]["parts"]] == [["text"], ["inline_data"]]
    assert wire.body["tools"][0]["function_declarations"][0]["name"] == "get_weather"
    assert dropped == ("parallel_tool_calls", "user")


async def test_shapes_are_asked_for() -> None:
    schema, _ = await asked(GEMINI, response_format=SCHEMA)
    plain, _ = await asked(GEMINI, response_format={"type": "json_object"})
    probable, _ = await asked(GEMINI, logprobs=True, top_logprobs=2)

    assert schema.body["generationConfig"]["response_json_schema"]["required"] == ["name", "values"]
    assert plain.body["generationConfig"]["response_mime_type"] == "application/json"
    assert (probable.body["generationConfig"]["responseLogprobs"], probable.body["generationConfig"]["logprobs"]) == (True, 2)


@pytest.mark.parametrize("size", [1, 9, 100_000])
async def test_a_stream_has_one_end_though_every_chunk_seems_to_have_one(size: int) -> None:
    raw = sse(
        chunk(candidate({"text": "hm", "thought": True})),
        chunk(candidate({"text": "Hel\u2028"})),
        chunk(candidate({"text": "lo é"}, {"functionCall": {"name": "now", "args": {"tz": "é"}}})),
        chunk(candidate({"functionCall": {"name": "now", "args": {}}}, finish="STOP"), usageMetadata=COUNTS),
    )

    chunks = await streamed(GEMINI, raw, size=size)

    assert text_of(chunks) == "Hel\u2028lo é"
    assert [(name, json.loads(arguments)) for name, arguments in calls_of(chunks)] == [("now", {"tz": "é"}), ("now", {})]
    assert [choice["finish_reason"] for part in chunks for choice in part["choices"] if choice["finish_reason"]] == ["tool_calls"]
    assert {part["model"] for part in chunks} == {"gemini-2.5-flash-002"}
    assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert chunks[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}


async def test_every_candidate_has_its_own_end_and_its_own_calls() -> None:
    raw = sse(
        chunk(candidate({"text": "a"}), candidate({"functionCall": {"name": "now", "args": {}}}, index=1)),
        chunk(candidate({"text": "b"}, finish="MAX_TOKENS"), candidate(index=1, finish="STOP")),
    )

    chunks = await streamed(GEMINI, raw)

    ends = {choice["index"]: choice["finish_reason"] for part in chunks for choice in part["choices"] if choice["finish_reason"]}
    assert ends == {0: "length", 1: "tool_calls"}
    assert (text_of(chunks, 0), text_of(chunks, 1)) == ("ab", "")


@pytest.mark.parametrize(
    "events",
    [
        [chunk(candidate({"text": "a"}))],
        [chunk(candidate({"text": "a"}, finish="STOP"), candidate({"text": "b"}, index=1))],
        [chunk()],
    ],
)
async def test_a_stream_in_which_a_candidate_has_not_stopped_is_broken(events: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamError) as caught:
        await streamed(GEMINI, sse(*events))

    assert caught.value.failure is Failure.BROKEN


async def test_what_was_said_before_a_safety_stop_is_kept() -> None:
    whole = await answered(GEMINI, json.dumps(chunk(candidate({"text": "so far"}, finish="SAFETY"), usageMetadata=COUNTS)).encode())

    assert whole["choices"][0]["message"]["content"] == "so far"
    assert whole["choices"][0]["finish_reason"] == "content_filter"


async def test_a_blocked_prompt_is_an_answer_that_was_filtered() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}}

    whole = await answered(GEMINI, json.dumps(blocked).encode())
    chunks = await streamed(GEMINI, sse(blocked))

    assert whole["choices"][0]["finish_reason"] == "content_filter"
    assert chunks[-2]["choices"][0]["finish_reason"] == "content_filter"


async def test_logprobs_have_openais_shape() -> None:
    result = {"chosenCandidates": [{"token": "Hi", "logProbability": -0.1}], "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -0.1}]}]}
    said = {**candidate({"text": "Hi"}, finish="STOP"), "logprobsResult": result}

    whole = await answered(GEMINI, json.dumps(chunk(said)).encode(), logprobs=True)

    top = {"token": "Hi", "logprob": -0.1, "bytes": None}
    assert whole["choices"][0]["logprobs"] == {"content": [{**top, "top_logprobs": [top]}], "refusal": None}


async def test_an_error_inside_a_stream_is_what_it_says() -> None:
    with pytest.raises(UpstreamError) as caught:
        await streamed(GEMINI, sse(chunk(candidate({"text": "a"})), {"error": {"code": 429, "message": "SECRET", "status": "RESOURCE_EXHAUSTED"}}))

    assert caught.value.failure is Failure.RATE_LIMITED


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "http://127.0.0.1:1/v1beta", "http://127.0.0.1:1/v1beta/models"])
@pytest.mark.parametrize("model", ["gemini-2.5-flash", "models/gemini-2.5-flash"])
async def test_a_base_and_a_model_may_be_written_in_more_than_one_way(base: str, model: str) -> None:
    wire, _ = await asked(deployment("gemini", base, model))

    assert wire.sent[0]["path"] == "/v1beta/models/gemini-2.5-flash:generateContent"


async def test_a_models_name_cannot_leave_its_place_in_the_path() -> None:
    wire, _ = await asked(deployment("gemini", model="../../x?y#z"))

    assert wire.sent[0]["path"] == "/v1beta/models/..%2F..%2Fx%3Fy%23z:generateContent"
