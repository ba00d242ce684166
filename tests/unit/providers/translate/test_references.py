from __future__ import annotations

import time
from typing import Any

import pytest
from litellm.litellm_core_utils.prompt_templates.common_utils import unpack_defs

from app.domain import Capability
from app.errors import UpstreamError
from app.providers.translate.references import grows_too_far
from app.providers.translate.wanted import Limits, want
from app.utils.json import dump_json


def laughing(levels: int, times: int, key: str = "$defs") -> dict[str, Any]:
    """Return a schema whose definitions each name the next one so many times."""
    named = {f"d{level}": {"properties": {f"p{number}": {"$ref": f"#/{key}/d{level + 1}"} for number in range(times)}} for level in range(levels)}
    return {"type": "object", key: {**named, f"d{levels}": {"type": "string"}}, "properties": {"x": {"$ref": f"#/{key}/d0"}}}


def around(names: int, key: str = "$defs") -> dict[str, Any]:
    """Return a schema whose definitions all name one another."""
    each = {"properties": {f"p{number}": {"$ref": f"#/{key}/d{number}"} for number in range(names)}}
    return {"type": "object", key: {f"d{number}": each for number in range(names)}, "properties": {"x": {"$ref": f"#/{key}/d0"}}}


@pytest.mark.parametrize(
    "schema",
    [
        laughing(8000, 1),
        laughing(20, 10),
        laughing(20, 10, "definitions"),
        around(12),
        around(3, "definitions"),
        {"items": around(3)},
        {"tools": [laughing(30, 2)]},
    ],
)
def test_a_schema_that_grows_without_bound_is_told_at_once(schema: dict[str, Any]) -> None:
    start = time.monotonic()

    assert grows_too_far(schema)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        laughing(1, 1),
        laughing(2, 5),
        around(3),
        around(1, "definitions"),
        {"$ref": "#/nothing", "items": {"$ref": ["no", "text"]}, "$defs": "no mapping"},
        {"properties": {"node": {"$ref": "#/$defs/node"}}, "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}},
    ],
)
def test_a_schema_of_a_real_tool_does_not(schema: dict[str, Any]) -> None:
    assert not grows_too_far(schema)


def test_what_is_let_pass_stays_small_in_litellms_hands() -> None:
    schema = laughing(4, 4)
    assert not grows_too_far(schema)

    unpack_defs(schema, {})

    assert len(dump_json(schema)) < 1 << 20


def test_it_is_refused_by_its_place() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": laughing(20, 10)}}
    shape = {"type": "json_schema", "json_schema": {"name": "n", "schema": laughing(20, 10)}}
    limits = Limits("gemini", frozenset(Capability), frozenset())

    with pytest.raises(UpstreamError) as of_tool:
        want({"messages": [], "tools": [tool]}, limits)
    with pytest.raises(UpstreamError) as of_shape:
        want({"messages": [], "response_format": shape}, limits)

    assert (of_tool.value.param, of_shape.value.param) == ("tools[0].function.parameters", "response_format.json_schema.schema")
