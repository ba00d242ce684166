from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Address, Failure, Label
from app.errors import UpstreamError
from app.providers.translate import PROVIDERS, TranslateLane
from app.providers.translate.ollama import OllamaDialect
from tests.unit.providers.translate.support import FakeResponse, FakeWire, amazon, asked, call, deployment

if TYPE_CHECKING:
    from app.domain import Deployment
    from app.providers.translate.lane import TranslatedAnswer

WHOLE = b'{"model":"llama3.1","message":{"role":"assistant","content":"hi"},"done":true,"done_reason":"stop","prompt_eval_count":1,"eval_count":1}'
STREAM = b'{"model":"llama3.1","message":{"content":"hi"},"done":false}\n' + WHOLE + b"\n"
OLLAMA = deployment("ollama_chat")


def lane(wire: Any) -> TranslateLane:
    return TranslateLane(wire)


async def failure(wire: Any, **body: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await lane(wire).open(call(OLLAMA, **body))
    return caught.value


async def collect(answer: TranslatedAnswer, parts: list[bytes]) -> None:
    async for part in answer.events():
        parts.append(part)  # noqa: PERF401 - what came before an error is wanted too


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
async def test_every_provider_has_its_dialect(provider: str) -> None:
    same = {"cohere": "cohere_chat", "ollama": "ollama_chat"}.get(provider, provider)
    wire, _ = await asked(replace(deployment(same), provider=provider))

    assert wire.sent[0]["path"].startswith("/")


async def test_what_is_sent_goes_to_the_deployments_address_under_the_calls_label() -> None:
    wire, _ = await asked(OLLAMA)

    assert (wire.sent[0]["target"], wire.sent[0]["label"]) == (OLLAMA.address, Label.CONFIDENTIAL)


async def test_a_dialect_is_made_once_a_deployment_and_anew_after_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Deployment] = []

    class Counted(OllamaDialect):
        def __init__(self, to: Deployment) -> None:
            made.append(to)
            super().__init__(to)

    monkeypatch.setattr("app.providers.translate.ollama.OllamaDialect", Counted)
    one, other = lane(FakeWire(WHOLE)), replace(OLLAMA, num_ctx=7)

    for to in (OLLAMA, OLLAMA, other, other):
        await one.open(call(to))

    assert made == [OLLAMA, other]


async def test_a_deployment_without_an_address_is_never_sent_to() -> None:
    wire = FakeWire(WHOLE)

    with pytest.raises(UpstreamError) as caught:
        await lane(wire).open(call(replace(OLLAMA, address=None)))

    assert not caught.value.sent
    assert wire.sent == []


async def test_an_address_that_litellm_moved_is_never_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litellm.llms.ollama.chat.transformation.OllamaChatConfig.get_complete_url", lambda *_, **__: "http://evil.example/api/chat")
    wire = FakeWire(WHOLE)

    error = await failure(wire)

    assert (error.failure, error.sent, wire.sent) == (Failure.BROKEN, False, [])


@pytest.mark.parametrize("provider", ["anthropic", "bedrock", "cohere_chat", "gemini", "ollama_chat"])
async def test_nothing_of_the_environment_reaches_the_wire(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC", "OLLAMA", "GEMINI", "GOOGLE", "COHERE", "CO", "BEDROCK", "AWS_BEDROCK_RUNTIME", "OPENAI"):
        for what in ("BASE_URL", "API_BASE", "API_KEY", "AUTH_TOKEN", "ENDPOINT"):
            monkeypatch.setenv(f"{name}_{what}", "http://evil.example/key")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.setenv(name, "http://evil.example/key")

    wire, _ = await asked(deployment(provider) if provider == "bedrock" else replace(deployment(provider), api_key=None))

    sent = f"{wire.sent[0]['path']} {wire.sent[0]['headers']} {wire.sent[0]['body']!r}"
    assert "evil" not in sent
    assert wire.sent[0]["target"] == Address("http", "127.0.0.1", 1)
    if provider != "bedrock":
        assert not {"authorization", "x-api-key", "x-goog-api-key"} & wire.header.keys()


async def test_what_was_left_out_is_named_in_order() -> None:
    _, dropped = await asked(OLLAMA, store=True, logit_bias={}, zzz=1, a_new_field=1)

    assert dropped == ("a_new_field", "logit_bias", "store", "zzz")


async def test_a_refusal_is_read_and_its_connection_let_go() -> None:
    wire = FakeWire(b'{"error": "the input length exceeds the context length"}', status=400)

    error = await failure(wire)

    assert error.failure is Failure.CONTEXT_EXCEEDED
    assert wire.responses[0].closed


async def test_an_exception_of_litellms_while_building_is_an_error_of_this_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise RuntimeError("a prompt")

    monkeypatch.setattr("litellm.llms.ollama.chat.transformation.OllamaChatConfig.transform_request", explode)
    wire = FakeWire(WHOLE)

    error = await failure(wire)

    assert (error.failure, error.sent, wire.sent) == (Failure.BROKEN, False, [])
    assert error.__cause__ is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"not json", b'{"message": 7, "done": true}', b'{"done": false}', b'{"error": ""}'])
async def test_an_answer_that_is_not_the_dialect_is_a_broken_upstream(raw: bytes) -> None:
    answer = await lane(FakeWire(raw)).open(call(OLLAMA))

    with pytest.raises(UpstreamError) as caught:
        await answer.body()

    assert caught.value.failure is Failure.BROKEN


@pytest.mark.parametrize(
    "raw", [b"", b"\n\n", STREAM[:30], STREAM.splitlines()[0] + b"\n", b"[]\n", b'{"message": 7}\n', STREAM.replace(b'"done":true', b'"done":"yes"')]
)
async def test_a_stream_without_its_own_end_is_a_broken_upstream(raw: bytes) -> None:
    answer = await lane(FakeWire(raw, size=7)).open(call(OLLAMA, stream=True))

    parts: list[bytes] = []

    with pytest.raises(UpstreamError) as caught:
        await collect(answer, parts)

    assert caught.value.failure is Failure.BROKEN
    assert b"[DONE]" not in b"".join(parts)


BREAKS = {
    "ollama_chat": b'{"message":{"content":"said"},"done":false}\n{"message": 7}\n',
    "anthropic": b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"said"}}\n\ndata: {"type":"error","error":{}}\n\n',
    "cohere_chat": b'data: {"type":"content-delta","delta":{"message":{"content":{"text":"said"}}}}\n\ndata: {not json}\n\n',
    "gemini": b'data: {"candidates":[{"index":0,"content":{"parts":[{"text":"said"}]}}]}\n\ndata: {"candidates": 7}\n\n',
    "bedrock": amazon("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "said"}}) + bytes(64),
}


@pytest.mark.parametrize("provider", BREAKS)
async def test_what_comes_in_one_read_with_a_break_is_passed_on_before_the_error(provider: str) -> None:
    answer = await lane(FakeWire(BREAKS[provider])).open(call(deployment(provider), stream=True))
    parts: list[bytes] = []

    with pytest.raises(UpstreamError) as caught:
        await collect(answer, parts)

    assert caught.value.failure is Failure.BROKEN
    assert b'"said"' in b"".join(parts)
    assert b"[DONE]" not in b"".join(parts)


BROKEN_REQUESTS: dict[str, dict[str, Any]] = {
    "a schema that is none": {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": ["x", 7], "properties": [1], "anyOf": 3}}}]},
    "a result of no call": {"messages": [{"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "none", "content": "x"}]},
    "tools that are a number": {"tools": 7},
    "messages that are a number": {"messages": 7},
    "calls that are a number": {"messages": [{"role": "assistant", "tool_calls": 7}]},
}


@pytest.mark.parametrize("request_of", BROKEN_REQUESTS)
@pytest.mark.parametrize("provider", BREAKS)
async def test_a_body_that_cannot_be_translated_is_never_the_providers_fault(provider: str, request_of: str) -> None:
    wire = FakeWire(WHOLE)
    try:
        await lane(wire).open(call(deployment(provider), **BROKEN_REQUESTS[request_of]))
    except UpstreamError as error:
        assert (error.failure, error.sent, wire.sent) == (Failure.REJECTED, False, [])  # noqa: PT017 - some providers take such a body as it is


async def test_what_comes_after_the_end_changes_nothing() -> None:
    answer = await lane(FakeWire(STREAM + b'{"error": "late"}\nrubbish')).open(call(OLLAMA, stream=True))

    events = b"".join([part async for part in answer.events()])

    assert events.count(b"[DONE]") == 1
    assert events.count(b'finish_reason":"stop') == 1


class NeverEnding(FakeResponse):
    """An answer whose connection stays open after its last byte."""

    async def chunks(self) -> Any:
        async for part in super().chunks():
            yield part
        raise UpstreamError(Failure.TIMEOUT)


async def test_a_whole_stream_is_given_whether_or_not_its_connection_ends_well() -> None:
    wire = FakeWire(STREAM)
    wire.make = NeverEnding

    answer = await lane(wire).open(call(OLLAMA, stream=True))
    events = b"".join([part async for part in answer.events()])

    assert events.endswith(b"data: [DONE]\n\n")
    assert wire.responses[0].closed


async def test_giving_up_closes_the_connection() -> None:
    wire = FakeWire(STREAM)
    answer = await lane(wire).open(call(OLLAMA, stream=True))

    answer.close()
    answer.close()

    assert wire.responses[0].closed


@pytest.mark.parametrize(
    ("provider", "said", "alive"),
    [
        ("anthropic", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}, b'event: ping\ndata: {"type": "ping"}\n\n'),
        ("gemini", {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "index": 0}]}, b": still there\n\n"),
    ],
)
async def test_that_a_provider_is_still_there_is_passed_on_once_it_has_said_something(provider: str, said: dict[str, Any], alive: bytes) -> None:
    wire = FakeWire()
    wire.parts = [alive, b"data: %b\n\n" % json.dumps(said).encode(), alive, alive[:7], alive[7:]]
    answer = await lane(wire).open(call(deployment(provider), stream=True))
    parts: list[bytes] = []

    with pytest.raises(UpstreamError):
        await collect(answer, parts)

    assert b'"content":"hi"' in parts[0]
    assert parts[1:] == [b": keep-alive\n\n"] * 2
