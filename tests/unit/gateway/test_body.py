from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequestError
from app.gateway.body import check_body, parse_json, read_chat_body, take_sensitivity
from app.gateway.body_rules import FIELDS, STEERING

USER = {"role": "user", "content": "hi"}
VALID: dict[str, Any] = {"model": "auto", "messages": [USER]}


def refused(body: Any) -> InvalidRequestError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(InvalidRequestError) as caught:
        read_chat_body(raw)
    return caught.value


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "invalid_json"),
        (b"  \n", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[1]", "invalid_json"),
        (b'"text"', "invalid_json"),
        (b'{"model": "auto", "temperature": NaN}', "invalid_json"),
        (b'{"model": "auto", "temperature": Infinity}', "invalid_json"),
        (b'{"model": "auto", "temperature": -Infinity}', "invalid_json"),
        (b'{"model": "auto", "x": {"y": [1e400]}}', "invalid_json"),
        (b'{"model": "auto", "x": -1e0400}', "invalid_json"),
        (b'{"model": "auto", "messages": [{"role": "user", "content": "x"}], "temperature": 1e400}', "invalid_json"),
        (b'{"model": "auto", "messages": [{"role": "user", "content": "x"}], "temperature": -1e400}', "invalid_json"),
        (b'{"model": "auto", "x": "\xff"}', "invalid_json"),
        (b'{"model": "auto", "x": "\\ud800"}', "invalid_json"),
        (b'\xef\xbb\xbf{"model": "auto"}', "invalid_json"),
        (b'{"model": "auto", "model": "x"}', "duplicate_key"),
        (b'{"model": "auto", "metadata": {"a": "1", "a": "2"}}', "duplicate_key"),
        (b"[" * 500 + b"]" * 500, "invalid_json"),
        (b'{"x": [' + b"[]," * 1_000_001 + b"1]}", "invalid_json"),
    ],
)
def test_json_that_readers_could_differ_on_is_refused(raw: bytes, code: str) -> None:
    assert refused(raw).code == code


def test_no_message_repeats_what_was_sent() -> None:
    assert "canary" not in refused(b'{"canary": 1, "canary": 2}').message


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"model": " "}, "model", "missing_required_parameter"),
        ({"model": 1}, "model", "invalid_type"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty_array"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content[0]", "invalid_type"),
        ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, "messages[0].content[0].type", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "messages[0].content[0].image_url", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
            "missing_required_parameter",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].input_audio", "missing_required_parameter"),
        ({"messages": [{"role": "tool", "content": "4"}]}, "messages[0].tool_call_id", "missing_required_parameter"),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls", "invalid_type"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].id", "missing_required_parameter"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "messages[0].tool_calls[0].function", "missing_required_parameter"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}]}]},
            "messages[0].tool_calls[0].function.arguments",
            "invalid_type",
        ),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"temperature": -0.1}, "temperature", "decimal_below_min_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 1.5}, "n", "invalid_type"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stop": ["1", "2", "3", "4", "5"]}, "stop", "array_above_max_length"),
        ({"stop": [1]}, "stop", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": []}, "tools", "empty_array"),
        ({"tools": [{}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}, "tools[0].function.parameters", "invalid_type"),
        ({"tool_choice": "maybe"}, "tool_choice", "invalid_value"),
        ({"tool_choice": 1}, "tool_choice", "invalid_type"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
        ({"response_format": {"type": None}}, "response_format.type", "invalid_type"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name", "missing_required_parameter"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing_required_parameter"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": []}}}, "response_format.json_schema.schema", "invalid_type"),
        ({"metadata": {"sensitivity": 1}}, "metadata.sensitivity", "invalid_type"),
        ({"metadata": []}, "metadata", "invalid_type"),
        ({"logit_bias": {"50256": 101}}, "logit_bias", "decimal_above_max_value"),
    ],
)
def test_a_wrong_field_is_named_with_openais_code(change: dict[str, Any], param: str, code: str | None) -> None:
    error = refused(VALID | change)

    assert (error.status, error.param, error.code) == (400, param, code)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"Model": "x"}, "model"),
        ({"ſtream": True}, "stream"),
        ({"toolſ": []}, "tools"),
        ({"ｍodel": "x"}, "model"),
        ({"messages": [USER | {"Content": "other"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "Text": "b"}]}]}, "messages[0].content[0].text"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "", "Arguments": "x"}}]}]}, None),
        ({"metadata": {"Sensitivity": "public"}}, "metadata.sensitivity"),
    ],
)
def test_a_key_that_another_reader_takes_for_a_known_one_is_refused(change: dict[str, Any], param: str | None) -> None:
    error = refused(VALID | change)

    assert error.code == "ambiguous_key"
    assert param is None or error.param == param


@pytest.mark.parametrize("name", sorted(STEERING))
def test_a_field_that_steers_a_gateway_is_refused(name: str) -> None:
    error = refused(VALID | {name: "x"})

    assert (error.code, error.param) == ("field_not_allowed", name)


@pytest.mark.parametrize("name", ["Api_Base", "API_KEY", "fallback\u017f", "\uff42\uff41\uff53\uff45_url", "mock_respon\u017fe"])
def test_a_field_that_steers_a_gateway_is_refused_however_its_letters_are_written(name: str) -> None:
    assert refused(VALID | {name: "x"}).code == "field_not_allowed"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"future_parameter": {"Any": ["thing", 1, None]}},
        {name: None for name in FIELDS if name not in ("model", "messages")},
        {"messages": [{"role": role, "content": "x", "tool_call_id": "1"} for role in ("system", "developer", "user", "assistant", "tool", "function")]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "f", "input": "x"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "new"}]}]},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "Type": "x"}}}], "tool_choice": {"type": "function"}},
        {"tool_choice": "required", "stop": "x", "temperature": 1, "top_p": 0.5, "logit_bias": {"1": -100}, "n": 2, "seed": -5},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": True}}},
    ],
)
def test_what_openai_accepts_passes_untouched(change: dict[str, Any]) -> None:
    body = VALID | change

    assert read_chat_body(json.dumps(body).encode()) == body


def test_integers_over_64_bits_keep_their_digits() -> None:
    assert parse_json(b'{"x": 123456789012345678901234567890}') == {"x": 123456789012345678901234567890}


def test_a_long_number_in_a_text_is_no_infinity() -> None:
    body = VALID | {"messages": [{"role": "user", "content": "e500 " + "1" * 400}]}

    assert read_chat_body(json.dumps(body).encode()) == body


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_json_is_read_or_refused_in_our_own_words(value: Any) -> None:
    raw = json.dumps({"model": "auto", "messages": value, "tools": value, "x": value}).encode("utf-8", "surrogatepass")

    with contextlib.suppress(InvalidRequestError):
        assert isinstance(read_chat_body(raw), dict)


_SCALARS = st.none() | st.booleans() | st.integers(-3, 200) | st.floats(-3, 3) | st.sampled_from(["", " ", "auto", "user", "tool", "robot"])
_MESSAGES: st.SearchStrategy[Any] = st.lists(
    st.fixed_dictionaries(
        {}, optional={"role": st.sampled_from(["user", "system", "tool", "robot", None]), "content": _SCALARS | st.just([]), "Name": _SCALARS}
    ),
    max_size=3,
)
_BODIES: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from([*FIELDS, "Model", "api_base", "other"]), _SCALARS | st.just({}) | st.just([]), max_size=3
)


@given(
    st.tuples(_BODIES, st.just("auto") | _SCALARS, st.just([USER]) | _MESSAGES | _SCALARS).map(
        lambda parts: parts[0] | {"model": parts[1], "messages": parts[2]}
    )
)
def test_a_plain_body_is_held_to_what_any_body_is(body: dict[str, Any]) -> None:
    said: list[str | None] = []
    for check in (lambda: read_chat_body(json.dumps(body).encode()), lambda: check_body(body)):
        try:
            check()
            said.append(None)
        except InvalidRequestError as error:
            said.append(f"{error.message} {error.param} {error.code}")

    assert said[0] == said[1]


def test_the_gateways_own_field_is_taken_out_of_metadata() -> None:
    body = {"metadata": {"sensitivity": "internal", "team": "a"}}

    assert take_sensitivity(body) == "internal"
    assert body == {"metadata": {"team": "a"}}


def test_metadata_that_held_nothing_else_goes_with_it() -> None:
    body: dict[str, Any] = {"model": "auto", "metadata": {"sensitivity": "internal"}}

    assert take_sensitivity(body) == "internal"
    assert body == {"model": "auto"}


def test_metadata_without_the_field_stays() -> None:
    body: dict[str, Any] = {"metadata": {"team": "a"}}

    assert take_sensitivity(body) is None
    assert body == {"metadata": {"team": "a"}}
