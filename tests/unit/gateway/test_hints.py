from __future__ import annotations

import pytest

from app.domain import ComplexityTier, Hints, Label
from app.errors import InvalidRequestError
from app.gateway.hints import read_hints, read_tags


@pytest.mark.parametrize(
    ("header", "field", "label"),
    [
        (None, None, None),
        ("internal", None, Label.INTERNAL),
        (None, "confidential", Label.CONFIDENTIAL),
        ("internal", "public", Label.INTERNAL),
        ("public, , Confidential ,internal,", None, Label.CONFIDENTIAL),
    ],
)
def test_of_several_labels_the_highest_counts(header: str | None, field: str | None, label: Label | None) -> None:
    headers = {} if header is None else {"x-sensitivity": header}

    assert read_hints(headers, field) == Hints(label=label)


def test_complexity_is_a_tier() -> None:
    assert read_hints({"x-complexity": " Complex"}, None).complexity is ComplexityTier.COMPLEX


@pytest.mark.parametrize(
    ("headers", "field", "param"),
    [
        ({"x-sensitivity": "secret"}, None, "X-Sensitivity"),
        ({"x-sensitivity": "public,top"}, None, "X-Sensitivity"),
        ({"x-sensitivity": ""}, None, "X-Sensitivity"),
        ({"x-sensitivity": " , "}, "confidential", "X-Sensitivity"),
        ({}, "secret", "metadata.sensitivity"),
        ({"x-complexity": "hard"}, None, "X-Complexity"),
    ],
)
def test_an_unknown_word_is_refused_by_name_and_not_repeated(headers: dict[str, str], field: str | None, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_hints(headers, field)

    assert caught.value.param == param
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(("header", "tags"), [(None, set()), ("", set()), ("a", {"a"}), (" team-x, v1.2 ,,a_b", {"team-x", "v1.2", "a_b"})])
def test_tags_are_words_between_commas(header: str | None, tags: set[str]) -> None:
    assert read_tags({} if header is None else {"x-gateway-tags": header}) == tags


@pytest.mark.parametrize("header", ["two words", "anna@example.com", "ä", "-a", "a" * 65, "a:b", ",".join(f"t{n}" for n in range(17))])
def test_what_is_no_tag_is_refused_without_being_told(header: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_tags({"x-gateway-tags": header})

    assert (caught.value.code, caught.value.param) == ("invalid_value", "X-Gateway-Tags")
    assert header not in caught.value.message
