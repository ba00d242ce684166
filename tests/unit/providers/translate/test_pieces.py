from __future__ import annotations

from typing import Any

import pytest
from litellm.types.utils import Usage

from app.providers.translate.pieces import Piece, SchemaTool, ToolPiece, as_text, usage, usage_of


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


@pytest.mark.parametrize(("arguments", "text"), [(None, ""), ("{}", "{}"), ({"a": "é"}, '{"a":"é"}'), ("", "")])
def test_arguments_are_text(arguments: Any, text: str) -> None:
    assert as_text(arguments) == text


def test_usage_has_only_what_openai_has() -> None:
    counted = Usage(prompt_tokens=5, completion_tokens=7, total_tokens=12)

    assert usage_of(counted) == {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    assert usage_of(None) is None


def test_cached_and_thought_tokens_are_details() -> None:
    assert usage(5, 7, cached=2, reasoning=3) == {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


def test_pieces_are_quiet() -> None:
    piece = Piece(content="SECRET", reasoning="SECRET", tools=(ToolPiece(0, "id", "name", "SECRET"),), logprobs={"content": "SECRET"})

    assert "SECRET" not in repr(piece)
