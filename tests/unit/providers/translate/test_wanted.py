from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Capability, Failure
from app.errors import UpstreamError
from app.providers.translate.wanted import Limits, Wanted, want
from tests.unit.providers.translate.support import PNG, SCHEMA, TOOL

ALL = frozenset(Capability)
LIMITS = Limits("somebody", ALL, frozenset({"temperature", "max_tokens", "max_completion_tokens", "stop"}))
NOTHING = Limits("somebody", frozenset(), frozenset())
USER = {"role": "user", "content": "hi"}


def wanted(*messages: dict[str, Any], limits: Limits = LIMITS, **body: Any) -> Wanted:
    return want({"model": "auto", "messages": list(messages) or [USER], **body}, limits)


def refused(*messages: dict[str, Any], limits: Limits = LIMITS, **body: Any) -> str | None:
    with pytest.raises(UpstreamError) as caught:
        wanted(*messages, limits=limits, **body)
    assert caught.value.failure is Failure.REJECTED
    assert not caught.value.sent
    assert caught.value.provider_text
    assert caught.value.param is not None
    assert caught.value.param in caught.value.provider_text
    return caught.value.param


def part(kind: str, value: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": kind, kind: value}]}


def test_only_what_tunes_and_is_known_goes_on() -> None:
    got = wanted(temperature=0.5, seed=3, store=True, metadata={"a": 1}, service_tier="auto", stream=True, stream_options={}, new_field=1)

    assert got.params == {"temperature": 0.5}
    assert got.dropped == {"seed", "store", "metadata", "service_tier", "new_field"}


@pytest.mark.parametrize("name", ["api_base", "api_key", "base_url", "extra_headers", "extra_body", "custom_llm_provider", "mock_response", "model_list"])
def test_no_name_that_steers_litellm_goes_on(name: str) -> None:
    body: dict[str, Any] = {name: "http://evil.example"}

    assert wanted(**body).params == {}


@pytest.mark.parametrize("name", ["has space", "é", "a" * 65, "a\nb", ""])
def test_a_field_whose_name_may_be_content_is_not_named(name: str) -> None:
    body: dict[str, Any] = {name: 1}

    assert wanted(**body).dropped == frozenset()


def test_null_is_absent() -> None:
    got = wanted(temperature=None, tools=None, n=None, response_format=None, unheard_of=None)

    assert (got.params, got.dropped) == ({}, frozenset())


def test_the_newer_name_of_the_bound_wins() -> None:
    assert wanted(max_tokens=5, max_completion_tokens=7).params == {"max_completion_tokens": 7}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": SCHEMA}, "response_format"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
    ],
)
def test_what_would_change_the_shape_and_cannot_be_said_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    assert refused(limits=NOTHING, **body) == ("functions" if param == "function_call" else param)


@pytest.mark.parametrize(
    "body",
    [{"n": 1}, {"logprobs": False}, {"top_logprobs": 0}, {"tools": []}, {"response_format": {"type": "text"}}, {"modalities": ["text"]}, {"functions": []}],
)
def test_what_asks_for_nothing_special_is_taken(body: dict[str, Any]) -> None:
    assert wanted(limits=NOTHING, **body) == Wanted([USER], {}, frozenset())


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (part("image_url", {"url": PNG}), "messages[0].content[0]"),
        (part("input_audio", {"data": "aGk=", "format": "wav"}), "messages[0].content[0]"),
        (part("file", {"file_data": "data:application/pdf;base64,aGk="}), "messages[0].content[0]"),
        (part("video_url", {"url": "x"}), "messages[0].content[0].type"),
        ({"role": "function", "name": "f", "content": "1"}, "messages[0].role"),
    ],
)
def test_a_part_that_cannot_be_said_is_refused_where_it_stands(message: dict[str, Any], param: str) -> None:
    assert refused(message, limits=NOTHING) == param


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "gs://bucket/a.png",
        "data:image/png,plain",
        "data:image/png;base64,http://example.com",
        "data:text/html;base64,aGk=",
        "DATA:image/png;base64,aGk=",
        "",
        None,
        7,
    ],
)
def test_an_image_by_address_is_never_fetched(url: Any) -> None:
    assert refused(part("image_url", {"url": url})) == "messages[0].content[0].image_url"


def test_an_https_image_is_passed_on_where_the_provider_fetches_it_itself() -> None:
    fetching = Limits("anthropic", ALL, frozenset(), fetches_https=True)

    got = wanted(part("image_url", {"url": "https://example.com/a.png", "detail": "low"}), limits=fetching)

    assert got.messages[0]["content"] == [{"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}]
    assert refused(part("image_url", {"url": "http://example.com/a.png"}), limits=fetching) == "messages[0].content[0].image_url"


@pytest.mark.parametrize("file", [{"file_id": "file-1"}, {"file_data": "https://example.com/a.pdf"}, {"file_data": "aGk="}, None])
def test_a_file_by_id_or_address_is_refused(file: Any) -> None:
    assert refused(part("file", file)) == "messages[0].content[0].file"


def test_audio_is_base64_and_not_an_address() -> None:
    assert refused(part("input_audio", {"data": "http://x", "format": "wav"})) == "messages[0].content[0].input_audio"


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "mcp", "server_url": "http://evil.example"}, "tools[0]"),
        ({"type": "url", "url": "http://evil.example"}, "tools[0]"),
        ({"type": "web_search_20250305", "name": "web_search"}, "tools[0]"),
        ({"type": "custom", "custom": {"name": "x"}}, "tools[0]"),
        ("f", "tools[0]"),
        ({"type": "function", "function": {"name": "has space"}}, "tools[0].function.name"),
        ({"type": "function", "function": {}}, "tools[0].function.name"),
    ],
)
def test_only_functions_are_tools(tool: Any, param: str) -> None:
    assert refused(tools=[tool]) == param


def test_a_tool_keeps_what_openai_names() -> None:
    got = wanted(tools=[{"type": "function", "function": {"name": "f", "strict": True, "cache_control": {}}, "eager_input_streaming": True}])

    assert got.params["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def test_a_choice_of_tools_goes_only_beside_tools() -> None:
    tunes = Limits("somebody", ALL, frozenset({"parallel_tool_calls"}))

    assert wanted(limits=tunes, tool_choice="auto", parallel_tool_calls=False).params == {}
    assert wanted(limits=tunes, tools=[TOOL], tool_choice="required", parallel_tool_calls=False).params.keys() == {
        "tools",
        "tool_choice",
        "parallel_tool_calls",
    }


@pytest.mark.parametrize("choice", ["maybe", {"type": "allowed_tools"}, {"type": "function"}, 1])
def test_another_choice_of_tools_is_refused(choice: Any) -> None:
    assert refused(tools=[TOOL], tool_choice=choice) == "tool_choice"


@pytest.mark.parametrize("arguments", ["{", "[]", "1", "null", {}, 3])
def test_arguments_of_a_call_are_a_json_object(arguments: Any) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    if arguments == {}:
        assert wanted(USER, {"role": "assistant", "content": None, "tool_calls": calls}).messages[1]["tool_calls"][0]["function"]["arguments"] == "{}"
        return

    assert refused({"role": "assistant", "tool_calls": calls}) == "messages[0].tool_calls[0].function.arguments"


def test_messages_hold_only_openais_fields_and_what_is_left_out_is_named() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "be brief", "cache_control": {"type": "ephemeral"}},
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}], "name": "ann"},
        {"role": "assistant", "content": None, "refusal": "no", "prefix": True, "annotations": [], "thinking_blocks": [{}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]},
    ]

    got = wanted(*messages)

    assert got.messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "ann"},
        {"role": "assistant", "content": "no"},
        {"role": "tool", "content": "42", "tool_call_id": "c"},
    ]
    assert got.dropped == {"messages.cache_control", "messages.content.cache_control", "messages.prefix", "messages.thinking_blocks"}


def test_thoughts_go_back_only_where_they_can() -> None:
    thought = {"role": "assistant", "content": "a", "reasoning_content": "hm"}

    assert wanted(thought, limits=Limits("o", ALL, frozenset(), keeps_reasoning=True)).messages[0]["reasoning_content"] == "hm"
    assert wanted(thought).dropped == {"messages.reasoning_content"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_nothing_of_the_callers_body_is_shared_with_the_translator(schema: Any) -> None:
    body = {"messages": [USER], "tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": schema}}}], "stop": [schema]}
    before = copy.deepcopy(body)

    got = want(body, LIMITS)
    _spoil(got.messages)
    _spoil(got.params)

    assert body == before


def _spoil(value: Any) -> None:
    for item in list(value.values()) if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)):
            _spoil(item)
    value.clear()
