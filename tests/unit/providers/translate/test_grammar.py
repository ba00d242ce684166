from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it comes without stubs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.translate.grammar import held_to, one_of
from tests.simulators.llama_grammar import is_grammatical
from tests.simulators.schema import instance

ANY = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null", "object", "array")]}
CLOSED = {"additionalProperties": False}


def of(schema: Any) -> Any:
    """Return what a property of that schema becomes."""
    held = one_of({"f": {"type": "object", "properties": {"a": schema}}})
    return held["properties"]["arguments"]["properties"]["a"]


def test_a_call_of_one_function_names_it_and_has_its_arguments() -> None:
    arguments = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], **CLOSED}

    assert one_of({"f": arguments}) == {
        "type": "object",
        "properties": {"name": {"const": "f"}, "arguments": arguments},
        "required": ["name", "arguments"],
        **CLOSED,
    }


def test_a_call_of_one_of_several_functions_has_the_arguments_of_the_one_it_names() -> None:
    held = one_of({"f": {"type": "object", "properties": {"a": {"type": "string"}}}, "now": {"type": "object", "properties": {}}})

    options = {option["properties"]["name"]["const"]: option["properties"]["arguments"] for option in held["anyOf"]}
    assert options["f"]["properties"] == {"a": {"type": "string"}}
    assert options["now"] == {"type": "object", "properties": {}, **CLOSED}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^(?=a)b$"},
        {"type": "string", "pattern": "^\\d{3}$"},
        {"type": "string", "maxLength": 5000},
        {"type": "string", "minLength": 2, "maxLength": 1},
        {"type": "string", "minLength": -1},
    ],
)
def test_what_ends_a_server_is_left_out(schema: Any) -> None:
    assert of(schema) == {"type": "string"}
    assert held_to(schema) == ({"type": "string"}, True)


@pytest.mark.parametrize(
    "schema",
    [True, {}, {"title": "x"}, {"not": {"type": "string"}}, {"anyOf": []}, {"type": "odd"}, {"$ref": "https://x/y"}, {"allOf": [{"type": "string"}, {}]}],
)
def test_what_is_not_known_to_be_safe_may_be_anything(schema: Any) -> None:
    assert of(schema) == ANY


@pytest.mark.parametrize(
    "schema",
    [
        {"const": {"pattern": "x"}},
        {"enum": ["a", 1, None]},
        {"type": "string", "format": "date-time"},
        {"type": "string", "minLength": 1, "maxLength": 256},
        {"type": "integer", "minimum": 3, "maximum": 9},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "object", "properties": {"pattern": {"type": "number"}}, "required": ["pattern"], **CLOSED},
        {"type": "object", "properties": {"x": {"type": "null"}}, "required": [], "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object"},
    ],
)
def test_what_is_known_to_be_safe_is_kept(schema: Any) -> None:
    assert of(schema) == schema
    assert held_to(schema) == (schema, False)


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        ({"type": "array", "items": {}, "maxItems": 1000}, {"type": "array", "items": ANY}),
        ({"type": "array", "items": {}, "minItems": 3, "maxItems": 2}, {"type": "array", "items": ANY}),
        ({"type": "integer", "minimum": 3, "maximum": 2}, {"type": "integer"}),
        ({"type": "integer", "exclusiveMinimum": 3, "minimum": 1, "exclusiveMaximum": 9}, {"type": "integer", "minimum": 4, "maximum": 8}),
        ({"type": ["integer", "null"], "minimum": 3}, {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]}),
        ({"allOf": [{"type": "string"}], "description": "d"}, {"type": "string"}),
        ({"properties": {"a": True}, "additionalProperties": True}, {"type": "object", "properties": {"a": ANY}, "required": [], "additionalProperties": True}),
    ],
)
def test_what_is_half_safe_is_kept_in_half(schema: Any, kept: Any) -> None:
    assert of(schema) == kept


@pytest.mark.parametrize("schema", [{"title": "x"}, {"not": {}}, {"type": "odd"}, {"$ref": "#/absent"}, {"type": "array", "items": {}, "maxItems": 99}])
def test_what_is_left_out_is_told(schema: Any) -> None:
    assert held_to({"type": "object", "properties": {"a": schema}})[1]


def test_what_only_describes_is_not_left_out() -> None:
    described = {"type": "object", "title": "T", "properties": {"a": {"type": "string", "description": "d", "default": ""}, "b": {}}}

    assert not held_to(described)[1]


def test_definitions_of_several_functions_do_not_meet() -> None:
    def takes(kind: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"c": {"$ref": "#/$defs/C"}}, "$defs": {"C": {"type": kind}}}

    held = one_of({"f": takes("string"), "g": takes("null")})

    for option, kind in zip(held["anyOf"], ("string", "null"), strict=True):
        ref = option["properties"]["arguments"]["properties"]["c"]["$ref"]
        assert held["$defs"][ref.removeprefix("#/$defs/")] == {"type": kind}


def test_a_definition_may_mention_itself() -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/definitions/Node"}, {"type": "null"}]}}}

    held = one_of({"f": {"$ref": "#/definitions/Node", "definitions": {"Node": node}}})

    assert held["properties"]["arguments"] == {"$ref": "#/$defs/0.0"}
    assert held["$defs"]["0.0"]["properties"]["next"]["anyOf"][0] == {"$ref": "#/$defs/0.0"}


def test_a_schema_without_end_ends() -> None:
    deep: Any = {"type": "string"}
    for _ in range(200):
        deep = {"type": "array", "items": deep}

    assert is_grammatical(one_of({"f": {"type": "object", "properties": {"a": deep}}}))


@pytest.mark.parametrize("schema", [{"type": "string"}, {"anyOf": [{"type": "object"}]}, {}])
def test_arguments_are_an_object_whatever_their_schema_says(schema: Any) -> None:
    assert one_of({"f": schema})["properties"]["arguments"] == {"type": "object"}


_LEAF = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "maxLength": 9999, "pattern": "^(?=a)b"},
        {"type": "integer", "minimum": 2, "maximum": 4},
        {"type": "number", "exclusiveMinimum": 1},
        {"enum": ["x", 2]},
        {"const": None},
        {"type": ["boolean", "null"]},
        {"$ref": "#/$defs/D"},
        {"description": "anything"},
    ]
)
_SCHEMA = st.recursive(
    _LEAF,
    lambda inner: (
        st.builds(lambda items, fewest: {"type": "array", "items": items, "minItems": fewest}, inner, st.integers(0, 2))
        | st.builds(
            lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)}, st.dictionaries(st.sampled_from("abc"), inner)
        )
        | st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=6,
)


@given(schema=_SCHEMA)
def test_a_grammar_can_be_made_of_it_and_what_the_callers_schema_allows_it_allows(schema: dict[str, Any]) -> None:
    takes = {"type": "object", "properties": {"a": schema}, "required": ["a"], "$defs": {"D": {"type": "integer"}}}

    held = one_of({"f": takes, "now": {"type": "object", "properties": {}}})

    assert is_grammatical(held)
    jsonschema.Draft202012Validator(held).validate({"name": "f", "arguments": instance(takes)})


@pytest.mark.parametrize("kinds", [["object"] * 8, [["object"]] * 8])
def test_a_type_that_is_named_many_times_counts_once(kinds: list[Any]) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(30):
        schema = {"type": kinds, "properties": {"a": schema}, "required": ["a"]}

    held, _ = held_to(schema)

    assert len(str(held)) < 5000
