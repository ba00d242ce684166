from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain import Label
from app.gateway.search import FoundDocument
from app.models_search import AddDocuments, DocumentIn, Found, SearchRequest

KEYS = st.text(min_size=1, max_size=128, alphabet=st.characters(exclude_categories=["Cs"])).filter(lambda key: not key.startswith(("_", "$", "#", "chroma:")))
VALUES = st.one_of(
    st.text(max_size=100, alphabet=st.characters(exclude_categories=["Cs"])),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)


@given(st.dictionaries(KEYS, VALUES, max_size=32))
def test_metadata_keeps_every_value_and_its_type(metadata: dict[str, Any]) -> None:
    read = DocumentIn.model_validate({"text": "a", "metadata": metadata}).metadata

    assert [(key, value, type(value)) for key, value in read.items()] == [(key, value, type(value)) for key, value in metadata.items()]


@pytest.mark.parametrize("key", ["", "k" * 129, "_label", "_", "$and", "#id", "chroma:document", "\ud83d"])
def test_a_key_that_the_store_would_misread_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        SearchRequest.model_validate({"query": "a", "filter": {key: 1}})


@pytest.mark.parametrize("value", [None, [], {}, {"$gt": 1}, float("nan"), float("inf"), 2**63, -(2**63) - 1, "x" * 10_001, "\ud83d"])
def test_a_value_that_cannot_be_stored_as_it_is_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        DocumentIn.model_validate({"text": "a", "metadata": {"key": value}})


def test_one_document_is_a_list_of_one() -> None:
    assert AddDocuments.model_validate({"text": "a"}) == AddDocuments.model_validate({"documents": [{"text": "a"}]})


def test_a_list_beside_a_text_is_refused_and_not_guessed_at() -> None:
    with pytest.raises(ValidationError):
        AddDocuments.model_validate({"text": "a", "documents": [{"text": "b"}]})


@pytest.mark.parametrize("document_id", ["", "x" * 129, "a b", "a\n", "a/b", "é", 7])
def test_an_id_has_a_form_that_fits_a_path(document_id: Any) -> None:
    with pytest.raises(ValidationError):
        DocumentIn.model_validate({"text": "a", "id": document_id})


def test_a_search_asks_for_five_unless_it_says_otherwise() -> None:
    assert SearchRequest.model_validate({"query": "a"}).limit == 5


def test_a_found_document_writes_its_label_as_a_word() -> None:
    found = Found.model_validate(FoundDocument(id="a", text="t", metadata={"n": 1}, label=Label.INTERNAL, score=0.5))

    assert found.model_dump() == {"id": "a", "text": "t", "metadata": {"n": 1}, "label": "internal", "score": 0.5}
