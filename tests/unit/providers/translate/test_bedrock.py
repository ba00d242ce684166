from __future__ import annotations

import json
from typing import Any

import litellm
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.translate import bedrock
from tests.unit.providers.translate.support import AWS, PNG, SCHEMA, TOOL, amazon, answered, asked, calls_of, deployment, streamed, text_of

CLAUDE = deployment("bedrock")
NOVA = deployment("bedrock", model="amazon.nova-pro-v1:0")
USAGE = {"usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18, "cacheReadInputTokens": 2}, "metrics": {"latencyMs": 5}}
START = amazon("messageStart", {"role": "assistant", "p": "abc"})
METADATA = amazon("metadata", USAGE)


def text(index: int, *pieces: str) -> bytes:
    return b"".join(amazon("contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": piece}}) for piece in pieces) + stop_block(index)


def tool(index: int, name: str, *pieces: str) -> bytes:
    start = amazon("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": f"t{index}", "name": name}}})
    return start + b"".join(amazon("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": p}}}) for p in pieces) + stop_block(index)


def stop_block(index: int) -> bytes:
    return amazon("contentBlockStop", {"contentBlockIndex": index})


def stopped(reason: str = "end_turn") -> bytes:
    return amazon("messageStop", {"stopReason": reason})


def message(*content: dict[str, Any], reason: str = "end_turn") -> bytes:
    return json.dumps({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": reason, **USAGE}).encode()


@pytest.mark.parametrize(("stream", "verb"), [(False, "converse"), (True, "converse-stream")])
async def test_a_request_is_a_signed_conversation(stream: bool, verb: str) -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PNG}}]},
    ]

    wire, dropped = await asked(CLAUDE, stream=stream, messages=messages, max_tokens=9, stop="x", temperature=0.5, seed=3)

    assert wire.sent[0]["path"] == f"/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/{verb}"
    assert wire.header["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDSIMULATOR/")
    assert "/us-east-1/bedrock/aws4_request" in wire.header["authorization"]
    assert wire.body["inferenceConfig"] == {"maxTokens": 9, "stopSequences": ["x"], "temperature": 0.5}
    assert wire.body["system"] == [{"text": "be brief"}]
    assert [list(block) for block in wire.body["messages"][0]["content"]] == [["text"], ["image"]]
    assert dropped == ("seed",)


async def test_a_session_token_is_signed_and_sent() -> None:
    wire, _ = await asked(deployment("bedrock", params={**AWS, "aws_session_token": "token"}))

    assert wire.header["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in wire.header["authorization"]


def test_the_key_that_signs_is_made_anew_every_day() -> None:
    credentials = Credentials("id", "secret")
    ours, theirs = bedrock._DailyAuth(credentials, "bedrock", "us-east-1"), SigV4Auth(credentials, "bedrock", "us-east-1")
    signed = []

    for time in ("20261121T235959Z", "20261121T235959Z", "20261122T000000Z", "20261121T235959Z"):
        request = AWSRequest()
        request.context["timestamp"] = time
        signed.append(ours.signature("text", request))
        assert signed[-1] == theirs.signature("text", request)

    assert len(set(signed)) == 2


async def test_an_api_key_of_bedrock_is_a_bearer_token() -> None:
    wire, _ = await asked(deployment("bedrock", params={}, api_key="key"))

    assert wire.header["authorization"] == "Bearer key"


async def test_the_region_is_read_from_amazons_own_host_names() -> None:
    keys = {name: AWS[name] for name in ("aws_access_key_id", "aws_secret_access_key")}

    wire, _ = await asked(deployment("bedrock", "https://bedrock-runtime.eu-west-1.amazonaws.com", params=keys))

    assert "/eu-west-1/bedrock/" in wire.header["authorization"]


@pytest.mark.parametrize("missing", ["aws_access_key_id", "aws_secret_access_key", "aws_region_name"])
async def test_without_keys_nothing_is_sent_and_the_operator_is_told(missing: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        await asked(deployment("bedrock", params={name: value for name, value in AWS.items() if name != missing}))

    assert (caught.value.failure, caught.value.sent) == (Failure.OPERATOR, False)
    assert caught.value.remedy is not None
    assert missing in caught.value.remedy


@pytest.mark.parametrize("size", [1, 13, 100_000])
async def test_a_stream_is_read_whatever_its_cuts(size: int) -> None:
    thought = amazon("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}})
    raw = START + thought + stop_block(0) + text(1, "Hel\u2028", "lo é") + tool(2, "now", '{"tz":', '"é"}') + tool(3, "now") + stopped("tool_use") + METADATA

    chunks = await streamed(CLAUDE, raw, size=size)

    assert text_of(chunks) == "Hel\u2028lo é"
    assert calls_of(chunks) == [("now", '{"tz":"é"}'), ("now", "{}")]
    assert chunks[0]["choices"][0]["delta"]["reasoning_content"] == "hm"
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"] == {"prompt_tokens": 13, "completion_tokens": 7, "total_tokens": 20, "prompt_tokens_details": {"cached_tokens": 2}}


async def test_a_whole_answer_is_read() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
    call = {"toolUse": {"toolUseId": "t", "name": "now", "input": {"tz": "é"}}}

    whole = await answered(CLAUDE, message(thought, {"text": "Hi"}, call, reason="tool_use"))

    said = whole["choices"][0]["message"]
    assert (said["content"], said["reasoning_content"]) == ("Hi", "hm")
    assert said["tool_calls"] == [{"id": "t", "type": "function", "function": {"name": "now", "arguments": '{"tz":"é"}'}}]
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert whole["usage"]["total_tokens"] == 20


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_schema_is_a_tool_whose_call_is_the_answer_where_there_is_no_other_way(size: int) -> None:
    wire, _ = await asked(NOVA, response_format=SCHEMA)
    name = wire.body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    native, _ = await asked(CLAUDE, response_format=SCHEMA)

    chunks = await streamed(
        NOVA, START + text(0, "Sure: ") + tool(1, name, '{"name":"a",', '"values":[]}') + stopped("tool_use") + METADATA, size=size, response_format=SCHEMA
    )

    assert json.loads(text_of(chunks)) == {"name": "a", "values": []}
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert "outputConfig" in native.body


async def test_a_tools_name_that_bedrock_refuses_is_its_own_again_in_the_answer_and_in_no_other() -> None:
    odd = {"type": "function", "function": {"name": "_now"}}
    wire, _ = await asked(CLAUDE, tools=[odd], tool_choice={"type": "function", "function": {"name": "_now"}})
    theirs = wire.body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    raw = message({"toolUse": {"toolUseId": "t", "name": theirs, "input": {}}}, reason="tool_use")

    mine = await answered(CLAUDE, raw, tools=[odd])
    others = await answered(CLAUDE, raw, tools=[{"type": "function", "function": {"name": theirs}}])

    assert theirs != "_now"
    assert mine["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "_now"
    assert others["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == theirs
    assert wire.body["toolConfig"]["toolChoice"] == {"tool": {"name": theirs}}
    assert litellm.bedrock_tool_name_mappings.cache_dict == {}


async def test_no_tools_are_given_where_none_may_be_called() -> None:
    wire, _ = await asked(CLAUDE, tools=[TOOL], tool_choice="none")

    assert "toolConfig" not in wire.body


@pytest.mark.parametrize(
    ("raw", "failure"),
    [
        (START + amazon("throttlingException", {"message": "SECRET"}, exception=True), Failure.RATE_LIMITED),
        (START + amazon("modelStreamErrorException", {"message": "SECRET"}, exception=True), Failure.BROKEN),
        (START + amazon("validationException", {"message": "Input is too long for requested model."}, exception=True), Failure.CONTEXT_EXCEEDED),
        (START + text(0, "Hi"), Failure.BROKEN),
        (START + text(0, "Hi") + stopped(), Failure.BROKEN),
        (START + text(0, "Hi") + METADATA, Failure.BROKEN),
        (START + text(0, "Hi")[:-1] + b"x" + stopped() + METADATA, Failure.BROKEN),
        (b"\xff" * 40, Failure.BROKEN),
    ],
)
async def test_a_stream_that_fails_does_not_end_cleanly(raw: bytes, failure: Failure) -> None:
    with pytest.raises(UpstreamError) as caught:
        await streamed(CLAUDE, raw)

    assert caught.value.failure is failure


@pytest.mark.parametrize("model", ["converse/amazon.nova-pro-v1:0", "bedrock/converse/amazon.nova-pro-v1:0"])
async def test_litellms_prefixes_are_no_part_of_the_model(model: str) -> None:
    wire, _ = await asked(deployment("bedrock", model=model))

    assert wire.sent[0]["path"] == "/model/amazon.nova-pro-v1%3A0/converse"


@pytest.mark.parametrize(
    ("body", "choice"),
    [
        ({}, {"tool": {"name": "json_tool_call"}}),
        ({"tools": [TOOL]}, {"any": {}}),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}, {"tool": {"name": "get_weather"}}),
    ],
)
@pytest.mark.parametrize("model", ["anthropic.claude-of-tomorrow-v1:0", "amazon.nova-pro-v1:0"])
async def test_a_schema_is_forced_on_models_that_litellm_does_not_know_too(model: str, body: dict[str, Any], choice: dict[str, Any]) -> None:
    wire, _ = await asked(deployment("bedrock", model=model), response_format=SCHEMA, **body)

    assert wire.body["toolConfig"]["toolChoice"] == choice
