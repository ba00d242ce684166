from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.config.reading import Reader, echo, missing_variables
from app.config.yaml_tree import Node, Scalar, Sequence, Table, parse_yaml
from app.domain import ComplexityTier, Label

if TYPE_CHECKING:
    from app.config.faults import Fault


def _node(text: str, **env: str) -> Node:
    faults: list[Fault] = []
    tree = parse_yaml(f"key: {text}".encode(), "f", env, faults)
    assert faults == []
    assert isinstance(tree, Table)
    return tree.entries["key"][1]


def _reader() -> Reader:
    return Reader("f", [])


def _said(reader: Reader) -> list[str]:
    return [fault.sentence for fault in reader.faults]


@pytest.mark.parametrize(
    ("method", "text", "value"),
    [
        ("text", "' a b '", "a b"),
        ("name", "openai/gpt-4.1:x", "openai/gpt-4.1:x"),
        ("name", "no", "no"),
        ("integer", "128_000", 128000),
        ("integer", "'5'", 5),
        ("number", "1e-3", 0.001),
        ("number", "0", 0.0),
        ("boolean", "Yes", True),
        ("boolean", "false", False),
        ("label", "Confidential", Label.CONFIDENTIAL),
    ],
)
def test_a_value_is_read_as_what_it_is_for(method: str, text: str, value: Any) -> None:
    reader = _reader()

    assert getattr(reader, method)(_node(text), "it") == value
    assert reader.faults == []


@pytest.mark.parametrize(
    ("method", "text", "sentence"),
    [
        ("text", "", "it is empty; write a value, or leave the key out"),
        ("text", "'  '", "it is empty; write a value, or leave the key out"),
        ("text", "[a]", "it must be one value, not a list"),
        ("text", "{a: b}", "it must be one value, not a mapping"),
        ("text", '"${UNSET}"', "UNSET is not set"),
        ("text", '"${A}${B}"', "A and B are not set"),
        ("integer", "1.5", "it must be a whole number"),
        ("integer", "0", "it must be at least 1"),
        ("integer", "many", "it must be a whole number"),
        ("number", "-0.1", "it must be a number of at least 0"),
        ("number", ".nan", "it must be a number of at least 0"),
        ("number", "inf", "it must be a number of at least 0"),
        ("number", "many", "it must be a number of at least 0"),
        ("boolean", "maybe", "it must be true or false"),
        ("label", "secret", 'it: "secret" is not known; expected public, internal or confidential'),
    ],
)
def test_what_cannot_be_read_is_none_and_a_fault_that_says_what_would_be_right(method: str, text: str, sentence: str) -> None:
    reader = _reader()

    assert getattr(reader, method)(_node(text), "it") is None
    assert _said(reader) == [sentence]


@pytest.mark.parametrize("text", ["a b", "-a", "'${A}'", "ü", "a" * 129, "a\\tb"])
def test_a_name_can_stand_in_headers_and_urls(text: str) -> None:
    reader = _reader()

    assert reader.name(_node(text, A="x y"), "it") is None
    assert "must be 1 to 128 of" in _said(reader)[0]


def test_an_unset_variable_can_be_let_pass() -> None:
    reader = _reader().allowing_unset()

    assert reader.integer(_node('"${UNSET}"'), "it") is None
    assert reader.faults == []


def test_a_word_of_an_enumeration_is_read_whatever_its_case() -> None:
    assert _reader().choice(_node("Complex"), "it", ComplexityTier) is ComplexityTier.COMPLEX


def test_a_word_that_is_nearly_one_of_an_enumeration_is_answered_with_it() -> None:
    reader = _reader()

    assert reader.choice(_node("complx"), "it", ComplexityTier) is None
    assert _said(reader) == ['it: "complx" is not known; did you mean "complex"?']


def test_one_value_stands_for_a_list_of_one() -> None:
    reader = _reader()

    assert reader.one_or_more(_node("public"), "it", reader.label) == (Label.PUBLIC,)
    assert reader.one_or_more(_node("[public, internal]"), "it", reader.label) == (Label.PUBLIC, Label.INTERNAL)


def test_an_empty_list_is_a_fault_where_one_is_needed() -> None:
    reader = _reader()

    assert reader.one_or_more(_node("[]"), "it", reader.label) == ()
    assert _said(reader) == ["it is an empty list; write at least one, or leave the key out"]


def test_a_list_is_read_and_nothing_is_an_empty_one() -> None:
    reader = _reader()

    assert len(reader.sequence(_node("[a, b]"), "it")) == 2
    assert reader.sequence(_node(""), "it") == ()
    assert reader.faults == []


def test_one_value_is_no_list() -> None:
    reader = _reader()

    assert reader.sequence(_node("a"), "it") == ()
    assert _said(reader) == ["it must be a list"]


def test_unknown_keys_are_faults_and_left_out() -> None:
    reader = _reader()

    assert list(reader.table(_node("{pools: 1, rulez: 2}"), "the file", ("pools", "rules"))) == ["pools"]
    assert _said(reader) == ['unknown key "rulez" in the file; did you mean "rules"?']


def test_nothing_is_an_empty_mapping_and_a_list_is_none() -> None:
    reader = _reader()

    assert reader.table(_node(""), "it") == {}
    assert reader.faults == []
    assert reader.table(_node("[a]"), "it") == {}
    assert _said(reader) == ["it must be a mapping of keys to values"]


def test_missing_variables_are_found_at_any_depth() -> None:
    assert missing_variables(_node('{a: ["${A}", {b: "${B}"}], c: "${A}"}')) == ("A", "B")


def test_a_long_word_in_the_wrong_place_is_not_repeated() -> None:
    assert echo("clearence") == ' "clearence"'
    assert echo("sk-" + "x" * 48) == ""
    assert echo("a\nb") == ""


def test_lines_are_those_of_the_nodes() -> None:
    reader = _reader()

    reader.label(Sequence(7, ()), "it")
    reader.label(Scalar(9, "x"), "it")

    assert [fault.line for fault in reader.faults] == [7, 9]
