"""What the pretend model says: instances of schemas, words, tool calls, limits."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it comes without stubs
import pytest

from tests.simulators.faults import parse
from tests.simulators.model import MULTIBYTE, Ask, Tool, speak, words
from tests.simulators.schema import instance

TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["value", "children"],
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}}, "required": ["city"]},
        {"type": "object", "properties": {"unit": {"enum": ["c", "f"]}, "on": {"type": "boolean"}, "none": {"type": "null"}, "one": {"const": 5}}},
        {"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 9}]}}, "additionalProperties": False},
        {"$defs": {"P": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}, "type": "array", "items": {"$ref": "#/$defs/P"}},
        {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "integer"}}, "required": ["a", "b"]}]},
        {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "integer", "exclusiveMinimum": 4, "multipleOf": 5}},
        {"type": "object", "properties": {"d": {"type": "string", "format": "date"}, "s": {"type": "string", "pattern": r"^\d{3}-\d{2}-\d{4}$"}}},
        {"type": ["string", "null"], "maxLength": 2},
        {"type": "number", "maximum": -1},
        {"type": "object", "required": ["free"]},
        TREE,
    ],
)
def test_an_instance_is_valid_for_its_schema(schema: dict[str, Any]) -> None:
    jsonschema.validate(instance(schema), schema)


@pytest.mark.parametrize("text", ["", " ", "one", " one  two\n", MULTIBYTE])
def test_words_join_to_their_text(text: str) -> None:
    assert "".join(words(text)) == text


def test_the_echo_says_who_answered_and_what_arrived() -> None:
    assert speak(Ask("m", "hello"), tag="cloud").text == "[cloud] echo: hello"
    assert speak(Ask("m", "hello", images=2), tag="cloud").text == "[cloud] echo: hello (images: 2)"


@pytest.mark.parametrize(
    ("text", "choice", "parallel", "called"),
    [
        ("hello", "auto", True, []),
        ("call the tool", "auto", True, ["f"]),
        ("call the tool", "none", True, []),
        ("call twice", "auto", True, ["f", "g"]),
        ("call twice", "auto", False, ["f"]),
        ("hello", "required", True, ["f"]),
        ("hello", "g", True, ["g"]),
        ("call twice", "g", True, ["g", "g"]),
    ],
)
def test_tools_are_called_when_they_are_forced_or_asked_for(text: str, choice: str, parallel: bool, called: list[str]) -> None:
    said = speak(Ask("m", text, tools=(Tool("f"), Tool("g")), tool_choice=choice, parallel=parallel), tag="t")

    assert [call.name for call in said.calls] == called
    assert said.finish == ("tool_calls" if called else "stop")


def test_a_tools_result_is_answered_in_text() -> None:
    said = speak(Ask("m", "call the tool", tool_result="sunny", tools=(Tool("f"),)), tag="t")

    assert said.text == "[t] echo: call the tool tool said: sunny"


@pytest.mark.parametrize(("limit", "text", "finish"), [(2, "[t] echo:", "length"), (3, "[t] echo: hello", "stop"), (0, "", "length")])
def test_max_tokens_are_obeyed(limit: int, text: str, finish: str) -> None:
    said = speak(Ask("m", "hello", max_tokens=limit), tag="t")

    assert (said.text, said.finish) == (text, finish)


def test_the_first_stop_sequence_ends_the_text() -> None:
    said = speak(Ask("m", "one B two A", stop=("A", "B")), tag="t")

    assert (said.text, said.finish, said.stop_sequence) == ("[t] echo: one ", "stop_sequence", "B")


def test_faults_change_what_is_said() -> None:
    assert speak(Ask("m", "x"), tag="t", faults=parse("m.words-3")).text == "[t] echo: x w0 w1 w2"
    assert len(speak(Ask("m", "x"), tag="t", faults=parse("m.bigchunk-2")).pieces[-1]) == 2048
