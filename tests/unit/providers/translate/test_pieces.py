from __future__ import annotations

from typing import Any

import pytest
from litellm.types.utils import Usage

from app.providers.translate.pieces import Piece, ToolPiece, as_text, usage, usage_of


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


@pytest.mark.parametrize("bad", [-1, 2**53, 10**400])
@pytest.mark.parametrize("name", ["prompt", "completion", "cached", "reasoning"])
def test_counts_that_nobody_can_have_counted_are_absent(name: str, bad: int) -> None:
    counted: dict[str, Any] = {"prompt": 1, "completion": 1, "cached": 0, "reasoning": 0}

    assert usage(**counted) is not None
    assert usage(**counted | {name: bad}) is None


def test_pieces_are_quiet() -> None:
    piece = Piece(content="SECRET", reasoning="SECRET", tools=(ToolPiece(0, "id", "name", "SECRET"),), logprobs={"content": "SECRET"})

    assert "SECRET" not in repr(piece)
