from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.translate.forced_call import ForcedCall
from app.providers.translate.pieces import Piece, ToolPiece


def read(*texts: str, finish: str = "stop", turned: ForcedCall | None = None) -> tuple[list[str], str, str, str]:
    """Return the names that are called, their arguments, the text and the finish reason of an answer that comes in parts."""
    turned = turned or ForcedCall("llama")
    pieces = [out for piece in [*(Piece(content=text) for text in texts), Piece(finish=finish)] for out in turned.take(piece)]
    tools = [tool for piece in pieces for tool in piece.tools]
    assert {tool.index for tool in tools} <= {0}
    names = [tool.name for tool in tools if tool.name]
    return names, "".join(tool.arguments for tool in tools), "".join(piece.content for piece in pieces), pieces[-1].finish or ""


JSON = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('a}{"\\ \n')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(arguments=st.dictionaries(st.text(max_size=4), JSON, max_size=3), cuts=st.lists(st.integers(0, 300), max_size=12), indent=st.sampled_from([None, 1]))
def test_the_text_of_a_call_is_the_call_whatever_parts_it_comes_in(arguments: dict[str, Any], cuts: list[int], indent: int | None) -> None:
    text = json.dumps({"name": "get_weather", "arguments": arguments}, indent=indent) + "\n"
    edges = sorted({0, len(text), *(cut % len(text) for cut in cuts)})

    names, said, content, finish = read(*(text[a:b] for a, b in pairwise(edges)))

    assert (names, json.loads(said), content, finish) == (["get_weather"], arguments, "", "stop")


def test_arguments_are_passed_on_as_they_come() -> None:
    turned = ForcedCall("llama")

    said = [turned.take(Piece(content=text)) for text in ('{"name": "f", "argu', 'ments": {"a"', ': "b}', '"}', "}")]

    assert [["".join(tool.arguments for tool in piece.tools) for piece in pieces] for pieces in said] == [[], ["", '{"a"'], [': "b'], ['}"'], []]


@pytest.mark.parametrize(
    ("text", "names", "arguments"),
    [
        ('{"name": "f", "arguments": {"a": "b', ["f"], '{"a": "b'),
        ('{"name": "f", "arguments": {"a": {}}', ["f"], '{"a": {}}'),
        ('{"name": "f", "arguments": {"a": {}', ["f"], '{"a": {}'),
        ('{"name": "f", "argum', [], ""),
        ("", [], ""),
    ],
)
def test_a_call_that_is_cut_at_the_limit_is_cut(text: str, names: list[str], arguments: str) -> None:
    assert read(text, finish="length") == (names, arguments, "", "length")


def test_a_call_that_the_server_has_read_itself_stays_as_it_is() -> None:
    turned = ForcedCall("llama")
    native = Piece(tools=(ToolPiece(0, "c1", "f", "{}"),))

    assert turned.take(native) == [native]
    assert read(turned=turned)[3] == "stop"


def test_what_is_said_beside_a_call_of_the_servers_is_kept() -> None:
    turned = ForcedCall("llama")
    turned.take(Piece(content="Let me see.", tools=(ToolPiece(0, "c1", "f", "{}"),)))

    assert read(turned=turned)[2] == "Let me see."


def test_thoughts_are_passed_on() -> None:
    assert ForcedCall("llama").take(Piece(reasoning="hm")) == [Piece(reasoning="hm")]


@pytest.mark.parametrize("text", ["It is sunny.", "", '{"city": "Rom"}', " " * 5000])
def test_an_answer_without_a_call_is_a_failure_that_names_the_deployment_and_not_the_text(text: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        read(text)

    assert caught.value.failure is Failure.BROKEN
    assert "llama" in (caught.value.remedy or "")
    assert "sunny" not in repr(caught.value) + (caught.value.remedy or "")
