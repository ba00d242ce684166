"""The simulators of Anthropic, Gemini and Cohere, each read by its provider's own SDK; Bedrock's by botocore."""

from __future__ import annotations

import http.client
import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import botocore.eventstream
import botocore.exceptions
import botocore.session
import pytest
from botocore.config import Config

from tests.contract.clients.environment import read
from tests.simulators import BEDROCK_CREDENTIALS, AnthropicSimulator, BedrockSimulator, CohereSimulator, GeminiSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

CITY = {"city": "city", "days": 1}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city", "days"]}
ECHO = "[sim] echo: hello wörld"


@pytest.fixture(scope="module")
def anthropic() -> dict[str, Any]:
    with AnthropicSimulator(tag="sim", api_key="sk-ant-test") as simulator:
        return read("read_anthropic", simulator.base_url)


@pytest.fixture(scope="module")
def gemini() -> dict[str, Any]:
    with GeminiSimulator(tag="sim", api_key="test") as simulator:
        return read("read_gemini", simulator.url)


@pytest.fixture(scope="module")
def cohere() -> dict[str, Any]:
    with CohereSimulator(tag="sim", api_key="test") as simulator:
        return read("read_cohere", simulator.base_url)


@pytest.mark.parametrize("way", ["chat", "stream"])
def test_anthropics_sdk_reads_an_answer(anthropic: dict[str, Any], way: str) -> None:
    message = anthropic[way]

    assert [(block["type"], block["text"]) for block in message["content"]] == [("text", ECHO)]
    assert (message["role"], message["stop_reason"]) == ("assistant", "end_turn")
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (2, 4)


def test_each_providers_sdk_lists_the_models(anthropic: dict[str, Any], gemini: dict[str, Any], cohere: dict[str, Any]) -> None:
    assert anthropic["models"] == list(AnthropicSimulator.models)
    assert gemini["models"] == [f"models/{name}" for name in GeminiSimulator.models]
    assert cohere["models"] == list(CohereSimulator.models)


def test_anthropics_sdk_reads_tool_calls(anthropic: dict[str, Any]) -> None:
    whole, streamed = anthropic["tools"]["whole"], anthropic["tools"]["streamed"]

    assert [(block["name"], block["input"]) for block in whole["content"]] == [("weather", CITY)]
    assert [block["input"] for block in streamed["content"]] == [CITY, CITY]
    assert len({block["id"] for block in streamed["content"]}) == 2
    assert whole["stop_reason"] == streamed["stop_reason"] == "tool_use"
    assert len(anthropic["forced"]["content"]) == 1
    assert anthropic["tool_round"]["content"][0]["text"] == "[sim] echo: call the tool tool said: sunny"


@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_anthropics_sdk_reads_thinking(anthropic: dict[str, Any], way: str) -> None:
    thought, text = anthropic["thinking"][way]["content"]

    assert (thought["type"], thought["thinking"]) == ("thinking", "thinking about: hello wörld")
    assert text["text"] == ECHO


def test_anthropic_keeps_to_a_schema_and_to_limits(anthropic: dict[str, Any]) -> None:
    length, stop = anthropic["limits"]["length"], anthropic["limits"]["stop"]

    assert json.loads(anthropic["schema"]["content"][0]["text"]) == CITY
    assert (length["stop_reason"], length["content"][0]["text"]) == ("max_tokens", "[sim] echo:")
    assert (stop["stop_reason"], stop["stop_sequence"]) == ("stop_sequence", "STOP")
    assert anthropic["image"]["content"][0]["text"].endswith("(images: 1)")


@pytest.mark.parametrize(
    ("fault", "name", "kind"),
    [
        ("status-400", "BadRequestError", "invalid_request_error"),
        ("status-401", "AuthenticationError", "authentication_error"),
        ("status-403", "PermissionDeniedError", "permission_error"),
        ("status-404", "NotFoundError", "not_found_error"),
        ("status-413", "ContentTooLargeError", "request_too_large"),
        ("status-429", "RateLimitError", "rate_limit_error"),
        ("status-500", "InternalServerError", "api_error"),
        ("status-529", "OverloadedError", "overloaded_error"),
        ("context", "BadRequestError", "invalid_request_error"),
    ],
)
def test_anthropics_sdk_raises_its_own_class(anthropic: dict[str, Any], fault: str, name: str, kind: str) -> None:
    assert (anthropic["errors"][fault]["class"], anthropic["errors"][fault]["type"]) == (name, kind)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("unknown field", "foo: Extra inputs are not permitted"),
        ("no answer to a call", "without `tool_result` blocks"),
        ("system role", "messages.0.role: Input should be 'user' or 'assistant'"),
    ],
)
def test_anthropic_refuses_what_the_api_refuses(anthropic: dict[str, Any], wrong: str, message: str) -> None:
    assert anthropic["refused"][wrong]["class"] == "BadRequestError"
    assert message in anthropic["refused"][wrong]["message"]


@pytest.mark.parametrize("fault", ["error-0", "error-2", "cut-3", "malformed-4", "refuse"])
def test_anthropics_sdk_raises_on_a_stream_that_breaks(anthropic: dict[str, Any], fault: str) -> None:
    assert anthropic["broken_streams"][fault]["class"] is not None


def test_geminis_sdk_reads_an_answer(gemini: dict[str, Any]) -> None:
    assert gemini["chat"] == {"text": ECHO, "finish": "STOP", "role": "model", "usage": [4, 4, 8]}
    assert gemini["stream"] == {"text": ECHO, "finish": [None, None, None, "STOP"], "ids": 1, "usage": 6}


def test_geminis_sdk_reads_tool_calls(gemini: dict[str, Any]) -> None:
    assert gemini["tools"] == {"offered": [["weather", CITY]], "forced": [["weather", CITY]], "streamed": [["weather", CITY]] * 2}
    assert gemini["tool_round"] == '[sim] echo: call the tool tool said: {"sky":"sunny"}'


def test_gemini_keeps_to_a_schema_and_to_limits(gemini: dict[str, Any]) -> None:
    assert gemini["schema"] == CITY
    assert gemini["limits"] == {"length": ["[sim] echo:", "MAX_TOKENS"], "stop": "[sim] echo: one "}
    assert gemini["image"] == "[sim] echo: look (images: 1)"


def test_geminis_sdk_reads_several_candidates_and_thoughts(gemini: dict[str, Any]) -> None:
    assert gemini["several"] == [[0, ECHO, 4, 2], [1, f"{ECHO} #1", 5, 2]]
    assert gemini["thinking"] == [[True, "thinking about: hello wörld"], [None, ECHO]]


@pytest.mark.parametrize(
    ("fault", "name", "status"),
    [
        ("status-400", "ClientError", "INVALID_ARGUMENT"),
        ("status-403", "ClientError", "PERMISSION_DENIED"),
        ("status-404", "ClientError", "NOT_FOUND"),
        ("status-429", "ClientError", "RESOURCE_EXHAUSTED"),
        ("status-500", "ServerError", "INTERNAL"),
        ("status-503", "ServerError", "UNAVAILABLE"),
        ("context", "ClientError", "INVALID_ARGUMENT"),
    ],
)
def test_geminis_sdk_raises_its_own_class(gemini: dict[str, Any], fault: str, name: str, status: str) -> None:
    assert (gemini["errors"][fault]["class"], gemini["errors"][fault]["status"]) == (name, status)


@pytest.mark.parametrize("fault", ["error-0", "error-2", "cut-2", "malformed-2", "refuse"])
def test_geminis_sdk_raises_on_a_stream_that_breaks(gemini: dict[str, Any], fault: str) -> None:
    assert gemini["broken_streams"][fault]["class"] is not None


def test_coheres_sdk_reads_an_answer(cohere: dict[str, Any]) -> None:
    deltas = ["content-delta"] * 4

    assert cohere["chat"] == {"text": ECHO, "finish": "COMPLETE", "usage": 4}
    assert cohere["stream"]["types"] == ["message-start", "content-start", *deltas, "content-end", "message-end"]
    assert (cohere["stream"]["text"], cohere["stream"]["finish"], cohere["stream"]["usage"]) == (ECHO, "COMPLETE", 4)


def test_coheres_sdk_reads_tool_calls(cohere: dict[str, Any]) -> None:
    tools, arguments = cohere["tools"], '{"city":"city","days":1}'

    assert tools["whole"] == ["TOOL_CALL", "I will call the tool.", [["weather", arguments]]]
    assert (tools["started"], tools["arguments"], tools["finish"], tools["forced"]) == (["weather"] * 2, arguments * 2, "TOOL_CALL", 1)
    assert cohere["tool_round"] == "[sim] echo: call the tool tool said: sunny"


def test_cohere_keeps_to_a_schema_and_to_limits(cohere: dict[str, Any]) -> None:
    assert json.loads(cohere["schema"]) == CITY
    assert cohere["limits"] == {"length": ["MAX_TOKENS", "[sim] echo:"], "stop": ["STOP_SEQUENCE", "[sim] echo: one "]}
    assert cohere["thinking"] == ["thinking", "text"]


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("status-400", "BadRequestError"),
        ("status-401", "UnauthorizedError"),
        ("status-403", "ForbiddenError"),
        ("status-404", "NotFoundError"),
        ("status-422", "UnprocessableEntityError"),
        ("status-429", "TooManyRequestsError"),
        ("status-500", "InternalServerError"),
        ("status-503", "ServiceUnavailableError"),
        ("context", "BadRequestError"),
    ],
)
def test_coheres_sdk_raises_its_own_class(cohere: dict[str, Any], fault: str, name: str) -> None:
    assert cohere["errors"][fault]["class"] == name


def test_coheres_streams_break_as_they_should(cohere: dict[str, Any]) -> None:
    assert cohere["broken_streams"]["error-2"] == ["ERROR"]
    assert cohere["broken_streams"]["cut-3"]["class"] == "RemoteProtocolError"
    assert cohere["broken_streams"]["refuse"]["class"] is not None


@pytest.mark.parametrize(("accept", "start"), [("application/json", b'{"id":'), ("text/event-stream", b"event: message-start\ndata: {"), ("*/*", b"event: ")])
def test_coheres_stream_is_bare_lines_for_a_caller_that_accepts_json_alone(accept: str, start: bytes) -> None:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with CohereSimulator() as simulator:
        connection = http.client.HTTPConnection(simulator.host, simulator.port, timeout=10)
        connection.request("POST", "/v2/chat", json.dumps(body), {"accept": accept})
        found = connection.getresponse().read()
        connection.close()

    assert found.startswith(start)
    assert b'"finish_reason":"COMPLETE"' in found


@pytest.fixture(scope="module")
def bedrock() -> Iterator[BedrockSimulator]:
    with BedrockSimulator(tag="sim") as simulator:
        yield simulator


@contextmanager
def client(simulator: BedrockSimulator, secret: str = BEDROCK_CREDENTIALS.secret_access_key) -> Iterator[Any]:
    made = botocore.session.Session().create_client(
        "bedrock-runtime",
        region_name=BEDROCK_CREDENTIALS.region,
        endpoint_url=simulator.url,
        aws_access_key_id=BEDROCK_CREDENTIALS.access_key_id,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 0}),
    )
    with closing(made):
        yield made


def converse(simulator: BedrockSimulator, text: str = "hello wörld", model: str = "m", **more: Any) -> Any:
    with client(simulator) as bedrock:
        return bedrock.converse(modelId=model, messages=[{"role": "user", "content": [{"text": text}]}], **more)


def events(simulator: BedrockSimulator, text: str = "hello wörld", model: str = "m", **more: Any) -> list[Any]:
    with client(simulator) as bedrock:
        answer = bedrock.converse_stream(modelId=model, messages=[{"role": "user", "content": [{"text": text}]}], **more)
        with closing(answer["stream"]) as stream:
            return list(stream)


def tool_config(**more: Any) -> Any:
    return {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": SCHEMA}}}], **more}


@pytest.mark.parametrize("model", ["m", "anthropic.claude-3-5-sonnet-20241022-v2:0", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x"])
def test_botocore_reads_an_answer_of_any_models_name(bedrock: BedrockSimulator, model: str) -> None:
    answer = converse(bedrock, model=model)

    assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": ECHO}]}
    assert (answer["stopReason"], answer["usage"]) == ("end_turn", {"inputTokens": 2, "outputTokens": 4, "totalTokens": 6})


def test_botocore_reads_a_stream(bedrock: BedrockSimulator) -> None:
    found = events(bedrock)

    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in found if "contentBlockDelta" in event)
    assert text == ECHO
    assert [next(iter(event)) for event in found[-3:]] == ["contentBlockStop", "messageStop", "metadata"]
    assert found[-2]["messageStop"]["stopReason"] == "end_turn"
    assert found[-1]["metadata"]["usage"]["totalTokens"] == 6


def test_botocore_reads_tool_calls(bedrock: BedrockSimulator) -> None:
    [called] = converse(bedrock, "call the tool", toolConfig=tool_config())["output"]["message"]["content"]
    forced = converse(bedrock, toolConfig=tool_config(toolChoice={"tool": {"name": "weather"}}))
    streamed = events(bedrock, "call twice", toolConfig=tool_config())

    arguments: dict[int, str] = {}
    for delta in (event["contentBlockDelta"] for event in streamed if "contentBlockDelta" in event):
        arguments[delta["contentBlockIndex"]] = arguments.get(delta["contentBlockIndex"], "") + delta["delta"]["toolUse"]["input"]
    assert (called["toolUse"]["name"], called["toolUse"]["input"]) == ("weather", CITY)
    assert forced["stopReason"] == "tool_use"
    assert [json.loads(text) for text in arguments.values()] == [CITY, CITY]


def test_bedrock_keeps_to_a_schema_and_to_limits(bedrock: BedrockSimulator) -> None:
    wanted = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(SCHEMA)}}}}

    cut = converse(bedrock, inferenceConfig={"maxTokens": 2})
    assert json.loads(converse(bedrock, outputConfig=wanted)["output"]["message"]["content"][0]["text"]) == CITY
    assert (cut["stopReason"], cut["output"]["message"]["content"]) == ("max_tokens", [{"text": "[sim] echo:"}])


def test_bedrock_thinks_where_the_model_does(bedrock: BedrockSimulator) -> None:
    thought, text = converse(bedrock, model="m-think")["output"]["message"]["content"]

    assert thought["reasoningContent"]["reasoningText"]["text"] == "thinking about: hello wörld"
    assert text == {"text": ECHO}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("status-400", "ValidationException"),
        ("status-403", "AccessDeniedException"),
        ("status-404", "ResourceNotFoundException"),
        ("status-429", "ThrottlingException"),
        ("status-500", "InternalServerException"),
        ("status-503", "ServiceUnavailableException"),
        ("context", "ValidationException"),
    ],
)
def test_botocore_raises_bedrocks_exceptions(bedrock: BedrockSimulator, fault: str, code: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        converse(bedrock, model=f"m.{fault}")

    assert raised.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("error-2", botocore.exceptions.EventStreamError),
        ("badcrc-2", botocore.eventstream.ChecksumMismatch),
        ("cut-2", Exception),
        ("refuse", botocore.exceptions.HTTPClientError),
    ],
)
def test_botocore_raises_on_a_stream_that_breaks(bedrock: BedrockSimulator, fault: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        events(bedrock, model=f"m.{fault}")


def test_bedrock_refuses_a_wrong_signature(bedrock: BedrockSimulator) -> None:
    with client(bedrock, secret="another") as stranger, pytest.raises(botocore.exceptions.ClientError) as raised:
        stranger.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "x"}]}])

    assert raised.value.response["Error"]["Code"] == "InvalidSignatureException"


def test_bedrock_refuses_what_the_api_refuses(bedrock: BedrockSimulator) -> None:
    result = {"toolResult": {"toolUseId": "a", "content": [{"text": "x"}]}}

    with client(bedrock) as caller, pytest.raises(botocore.exceptions.ClientError, match="toolConfig field must be defined"):
        caller.converse(modelId="m", messages=[{"role": "user", "content": [result]}])
