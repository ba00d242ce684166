from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Address, Deployment, Failure, Label, LaneName
from app.errors import UpstreamError
from app.providers.faults import TEXT_LIMIT_BYTES, failure_in_stream, failure_of, unreachable

DEPLOYMENT = Deployment(
    name="llama",
    provider="ollama_chat",
    model="llama3.1",
    lane=LaneName.TRANSLATE,
    clearance=Label.CONFIDENTIAL,
    base_url="http://127.0.0.1:11434",
    address=Address("http", "127.0.0.1", 11434),
)


def fault(status: int, body: Any = b"", *, provider: str = "openai", key: str = "", **headers: str) -> UpstreamError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    deployment = replace(DEPLOYMENT, api_key=key or None)
    return failure_of(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw, provider=provider, deployment=deployment)


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (301, Failure.OPERATOR),
        (400, Failure.REJECTED),
        (401, Failure.OPERATOR),
        (402, Failure.OPERATOR),
        (403, Failure.OPERATOR),
        (404, Failure.OPERATOR),
        (408, Failure.TIMEOUT),
        (413, Failure.REJECTED),
        (418, Failure.REJECTED),
        (422, Failure.REJECTED),
        (424, Failure.BROKEN),
        (429, Failure.RATE_LIMITED),
        (500, Failure.BROKEN),
        (502, Failure.BROKEN),
        (503, Failure.UNAVAILABLE),
        (504, Failure.BROKEN),
        (529, Failure.UNAVAILABLE),
        (599, Failure.BROKEN),
    ],
)
def test_a_status_without_a_readable_body_has_its_failure(status: int, failure: Failure) -> None:
    error = fault(status)

    assert error.failure is failure
    assert error.upstream_status == status


@pytest.mark.parametrize(
    "error",
    [
        {
            "message": "The response was filtered.",
            "type": None,
            "param": "prompt",
            "code": "content_filter",
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        },
        {"message": "Your request was rejected.", "type": "image_generation_user_error", "param": None, "code": "content_policy_violation"},
        {"message": "Input data may contain inappropriate content.", "type": "data_inspection_failed", "param": None, "code": "data_inspection_failed"},
    ],
)
def test_a_refusal_by_the_providers_filter_is_told_to_the_caller(error: dict[str, Any]) -> None:
    refused = fault(400, {"error": error})

    assert refused.failure is Failure.CONTENT_REFUSED
    assert refused.provider_text == error["message"]
    assert failure_in_stream(error, provider="azure", deployment=DEPLOYMENT).failure is Failure.CONTENT_REFUSED


@pytest.mark.parametrize(
    ("provider", "status", "body"),
    [
        ("openai", 400, {"error": {"message": "Too long.", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}),
        ("vllm", 400, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError", "code": 400}),
        ("llama", 400, {"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error"}}),
        ("anthropic", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
        ("anthropic", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "input length and `max_tokens` exceed context limit: 1"}}),
        (
            "gemini",
            400,
            {"error": {"code": 400, "message": "The input token count (2) exceeds the maximum number of tokens allowed (1).", "status": "INVALID_ARGUMENT"}},
        ),
        ("bedrock", 400, {"message": "Input is too long for requested model."}),
        ("cohere_chat", 400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081"}),
        ("ollama_chat", 400, {"error": "the input length exceeds the context length"}),
    ],
)
def test_each_dialect_says_in_its_own_way_that_the_context_is_exceeded(provider: str, status: int, body: Any) -> None:
    error = fault(status, body, provider=provider)

    assert error.failure is Failure.CONTEXT_EXCEEDED
    assert error.provider_text


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}, {}),
        ({"error": {"code": 400, "message": "x", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}, {}),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}}, {}),
        ({"message": "The provided model identifier is invalid."}, {"x_amzn_errortype": "ValidationException:http://internal"}),
        ({"message": "x"}, {"x_amzn_errortype": "ExpiredTokenException"}),
        ({"error": {"message": "gone", "type": "invalid_request_error", "code": "model_decommissioned"}}, {}),
    ],
)
def test_a_400_about_the_operators_key_or_model_is_not_the_callers_fault(body: Any, headers: dict[str, str]) -> None:
    error = fault(400, body, **headers)

    assert error.failure is Failure.OPERATOR
    assert error.provider_text is None
    assert error.remedy
    assert not error.tell_caller


@pytest.mark.parametrize(
    ("body", "text", "param", "code"),
    [
        (
            {"error": {"message": "Bad schema", "type": "invalid_request_error", "param": "tools[0]", "code": "invalid_schema"}},
            "Bad schema",
            "tools[0]",
            "invalid_schema",
        ),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: required"}},
            "max_tokens: required",
            None,
            "invalid_request_error",
        ),
        ({"error": {"code": 400, "message": "Bad value", "status": "INVALID_ARGUMENT"}}, "Bad value", None, "INVALID_ARGUMENT"),
        ({"message": "Bad tool"}, "Bad tool", None, None),
        ({"error": "registry.ollama.ai/library/x does not support tools"}, "registry.ollama.ai/library/x does not support tools", None, None),
        ({"detail": "Not like this"}, "Not like this", None, None),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": "wrong", "input": "SECRET"}]}, "messages.0: wrong", "messages.0", None),
        (b"plainly wrong", "plainly wrong", None, None),
        (b"<html><body>Bad gateway</body></html>", None, None, None),
        (b"", None, None, None),
        ([], None, None, None),
        ({"error": {"message": {"nested": 1}, "code": {"a": 1}, "param": 7}}, None, None, None),
        ({"error": {"message": "x", "code": "has spaces, and content"}}, "x", None, None),
    ],
)
def test_a_rejection_carries_the_providers_words_for_the_caller(body: Any, text: str | None, param: str | None, code: str | None) -> None:
    error = fault(422, body)

    assert error.failure is Failure.REJECTED
    assert (error.provider_text, error.param, error.provider_code) == (text, param, code)
    assert not text or text not in str(error)


def test_a_refused_key_is_never_repeated_to_the_caller() -> None:
    said = {"error": {"message": "Incorrect API key provided: sk-abc", "type": "invalid_request_error", "code": "invalid_api_key"}}

    error = fault(401, said, key="hush")

    assert error.provider_text is None
    assert error.remedy is not None
    assert "OPENAI_API_KEY" in error.remedy
    assert "sk-abc" not in error.remedy
    assert "hush" not in error.remedy


def test_a_server_that_wants_a_key_and_is_sent_none_has_a_remedy_of_its_own() -> None:
    sentence = "Write `api_key` for deployment `llama` in gateway.yaml: openai asks for a key there, and none is sent."

    assert fault(401).remedy == sentence
    assert fault(403).remedy != sentence  # Ollama forbids hosts and origins so


def test_the_providers_words_are_bounded_and_cut_between_characters() -> None:
    error = fault(400, {"error": {"message": "é" * 5000}})

    assert error.provider_text == "é" * (TEXT_LIMIT_BYTES // 2)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"Retry_After": "0.5"}, 0.5),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_provider_asks_for_is_read(headers: dict[str, str], wait: float | None) -> None:
    assert fault(429, **headers).retry_after_s == wait


def test_a_wait_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    wait = fault(503, retry_after=later).retry_after_s

    assert wait is not None
    assert 80 < wait <= 90


def test_google_says_the_wait_in_its_body() -> None:
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]}}

    assert fault(429, body, provider="gemini").retry_after_s == 34


def test_a_request_too_large_for_a_rate_is_a_rate_limit() -> None:
    error = fault(413, {"error": {"message": "Request too large", "type": "tokens", "code": "rate_limit_exceeded"}})

    assert error.failure is Failure.RATE_LIMITED


def test_an_account_without_quota_has_a_remedy() -> None:
    error = fault(429, {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}})

    assert error.failure is Failure.RATE_LIMITED
    assert error.remedy is not None
    assert "quota" in error.remedy


def test_an_ollama_model_that_is_not_there_is_to_be_pulled_and_the_caller_may_know() -> None:
    error = fault(404, {"error": "model 'llama3.1' not found"}, provider="ollama_chat")

    assert error.failure is Failure.OPERATOR
    assert (error.remedy, error.tell_caller) == ("Run `ollama pull llama3.1`.", True)


def test_a_404_for_a_path_is_an_address_to_check() -> None:
    error = fault(404, b"404 page not found", provider="ollama_chat")

    assert error.remedy is not None
    assert "api_base" in error.remedy
    assert not error.tell_caller


def test_an_ollama_that_is_down_is_to_be_started() -> None:
    error = unreachable(UpstreamError(Failure.UNREACHABLE, sent=False), provider="ollama")

    assert error.failure is Failure.UNREACHABLE
    assert (error.remedy, error.tell_caller, error.sent) == ("Start it with `ollama serve`.", True, False)


@pytest.mark.parametrize(("failure", "provider"), [(Failure.UNREACHABLE, "anthropic"), (Failure.TIMEOUT, "ollama_chat")])
def test_other_failures_to_connect_stay_as_they_are(failure: Failure, provider: str) -> None:
    error = UpstreamError(failure)

    assert unreachable(error, provider=provider) is error


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Failure.UNAVAILABLE),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}, Failure.RATE_LIMITED),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 2 > 1"}}, Failure.CONTEXT_EXCEEDED),
        ({"error": {"message": "x", "type": "server_error", "code": None}}, Failure.BROKEN),
        ({"error": {"message": "x", "code": 429}}, Failure.RATE_LIMITED),
        ({"error": {"message": "x", "code": 9999}}, Failure.BROKEN),
        ({"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}, Failure.UNAVAILABLE),
        ({"error": "the input length exceeds the context length"}, Failure.CONTEXT_EXCEEDED),
        ({"error": "an error was encountered while running the model"}, Failure.BROKEN),
        ({"error": {"type": "throttlingException", "message": "x"}}, Failure.RATE_LIMITED),
        ({"error": None}, Failure.BROKEN),
        ({}, Failure.BROKEN),
    ],
)
def test_an_error_inside_a_stream_has_its_failure(body: dict[str, Any], failure: Failure) -> None:
    error = failure_in_stream(body, provider="anthropic", deployment=DEPLOYMENT)

    assert error.failure is failure
    assert error.upstream_status is None


@given(
    st.integers(100, 999),
    st.one_of(st.binary(), st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))),
)
def test_no_body_can_break_the_classification(status: int, body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    error = failure_of(status, {"retry-after": raw[:20].decode("latin-1")}, raw, provider="openai", deployment=DEPLOYMENT)

    assert isinstance(error.failure, Failure)
