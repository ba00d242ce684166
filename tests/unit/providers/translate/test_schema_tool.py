from __future__ import annotations

from typing import Any

import pytest

from app.providers.translate.pieces import Piece, ToolPiece
from app.providers.translate.schema_tool import Choice, SchemaTool, choice_last, choice_of, downgraded
from tests.unit.providers.translate.support import TOOL

NAMED = {"type": "function", "function": {"name": "get_weather"}}


def after(*pieces: Piece) -> tuple[str, str | None, list[str]]:
    """Return the content, the end and the tools that remain."""
    schema = SchemaTool("json")
    out = [said for piece in pieces for said in schema.take(piece)]
    names = [tool.name or "" for piece in out for tool in piece.tools]
    return "".join(piece.content for piece in out), next((piece.finish for piece in out if piece.finish), None), names


def test_the_schemas_tool_becomes_content() -> None:
    said = after(
        Piece(tools=(ToolPiece(0, "id", "json"),)),
        Piece(tools=(ToolPiece(0, arguments='{"values":'),)),
        Piece(tools=(ToolPiece(0, arguments="[1]}"),), finish="tool_calls"),
    )

    assert said == ('{"values":[1]}', "stop", [])


def test_what_is_said_before_the_schemas_tool_is_no_part_of_the_answer() -> None:
    assert after(Piece(content="Here it is: "), Piece(tools=(ToolPiece(0, "id", "json", "{}"),)), Piece(finish="tool_calls")) == ("{}", "stop", [])


def test_without_the_schemas_tool_the_text_is_the_answer() -> None:
    assert after(Piece(content="I can"), Piece(content="not."), Piece(finish="stop")) == ("I cannot.", "stop", [])


def test_other_tools_stay() -> None:
    said = after(Piece(tools=(ToolPiece(0, "id", "json", "{}"),)), Piece(tools=(ToolPiece(1, "other", "get_weather", "{}"),)), Piece(finish="tool_calls"))

    assert said == ("{}", "tool_calls", ["get_weather"])


def test_thoughts_pass() -> None:
    assert SchemaTool("json").take(Piece(reasoning="hm")) == [Piece(reasoning="hm")]


@pytest.mark.parametrize(
    ("params", "choice"),
    [
        ({}, Choice.SCHEMA),
        ({"tools": [TOOL]}, Choice.ANY),
        ({"tools": [TOOL], "tool_choice": "auto"}, Choice.ANY),
        ({"tools": [TOOL], "tool_choice": "none"}, Choice.SCHEMA),
        ({"tools": [TOOL], "tool_choice": "required"}, Choice.CALLERS),
        ({"tools": [TOOL], "tool_choice": NAMED}, Choice.CALLERS),
    ],
)
def test_beside_the_callers_tools_the_schema_is_one_of_them(params: dict[str, Any], choice: Choice) -> None:
    assert choice_of(params) is choice


def test_the_callers_choice_is_the_last_word() -> None:
    assert list(choice_last({"tool_choice": "required", "tools": [], "response_format": {}})) == ["tools", "response_format", "tool_choice"]


@pytest.mark.parametrize(
    ("asked", "mapped", "named"),
    [
        ("required", {"type": "auto"}, True),
        ("required", {"auto": {}}, True),
        ("required", {"type": "any"}, False),
        ("auto", {"type": "auto"}, False),
        (None, None, False),
    ],
)
def test_a_forced_tool_that_is_not_forced_is_named(asked: Any, mapped: Any, named: bool) -> None:
    assert downgraded({"tool_choice": asked} if asked else {}, {"tool_choice": mapped} if mapped else {}) == ({"tool_choice"} if named else set())
