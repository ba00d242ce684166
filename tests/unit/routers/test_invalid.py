from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.models_search import AddDocuments, SearchRequest
from app.routers.invalid import refusal

CANARY = "canary"


def _told(fault: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(refusal(fault).body()))["error"]
    return told


def _error(model: type[BaseModel], body: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    first = caught.value.errors()[0]
    return _told({**first, "loc": ("body", *first["loc"])})


@pytest.mark.parametrize(
    ("model", "body", "code", "message"),
    [
        (AddDocuments, [CANARY], "invalid_json", "We could not parse the JSON body of your request: expected a JSON object."),
        (AddDocuments, {"documents": [CANARY]}, "invalid_type", "Invalid type for 'documents[0]': expected an object."),
        (AddDocuments, {"documents": CANARY}, "invalid_type", "Invalid type for 'documents': expected an array."),
        (AddDocuments, {"documents": []}, "empty_array", "Invalid 'documents': empty array. Expected an array with minimum length 1."),
        (AddDocuments, {"documents": [{"text": "a"}] * 1001}, "array_above_max_length", "Invalid 'documents': array too long. Expected at most 1000 items."),
        (AddDocuments, {}, "missing_required_parameter", "Missing required parameter: 'documents'."),
        (AddDocuments, {"text": 1}, "invalid_type", "Invalid type for 'documents[0].text': expected a string."),
        (AddDocuments, {"text": ""}, "empty_string", "Invalid 'documents[0].text': empty string. Expected a string with minimum length 1."),
        (
            AddDocuments,
            {"text": CANARY * 20_000},
            "string_above_max_length",
            "Invalid 'documents[0].text': string too long. Expected at most 100000 characters.",
        ),
        (AddDocuments, {"text": "\ud83d"}, "invalid_value", "Invalid 'documents[0].text': half of a surrogate pair stands alone in it."),
        (
            AddDocuments,
            {"text": "a", "label": CANARY},
            "invalid_value",
            "Invalid value for 'documents[0].label'. Supported values are: 'public', 'internal' or 'confidential'.",
        ),
        (
            AddDocuments,
            {"text": "a", "id": f"{CANARY} x"},
            "invalid_value",
            "Invalid 'documents[0].id': expected a string that matches ^[A-Za-z0-9._:-]{1,128}$.",
        ),
        (
            AddDocuments,
            {"text": "a", "metadata": {"_canary": 1}},
            "reserved_metadata_key",
            "Invalid 'documents[0].metadata': keys that start with _, $, # or chroma: are reserved.",
        ),
        (SearchRequest, {"query": "a", "limit": CANARY}, "invalid_type", "Invalid type for 'limit': expected an integer."),
        (SearchRequest, {"query": "a", "limit": 0}, "integer_below_min_value", "Invalid 'limit': integer below minimum value. Expected a value >= 1."),
        (SearchRequest, {"query": "a", "limit": 21}, "integer_above_max_value", "Invalid 'limit': integer above maximum value. Expected a value <= 20."),
        (SearchRequest, {"query": "a", "top_k": 3}, "unknown_parameter", "Unknown parameter: 'top_k'."),
        (SearchRequest, {"query": "a", "4711-canary": 3}, "unknown_parameter", "Unknown parameter: '{unknown}'."),
    ],
)
def test_a_body_is_refused_as_chat_refuses_one(model: type[BaseModel], body: Any, code: str, message: str) -> None:
    error = _error(model, body)

    assert (error["type"], error["code"], error["message"]) == ("invalid_request_error", code, message)
    assert "canary" not in json.dumps(error)


def test_what_pydantic_may_find_one_day_is_refused_without_its_words() -> None:
    error = _told({"type": "colour_type", "loc": ("body", "colour"), "msg": "Input should be a canary", "ctx": {"input": "canary"}})

    assert (error["message"], error["code"], error["param"]) == ("Invalid value for 'colour'.", "invalid_value", "colour")


def test_a_body_that_is_no_json_is_told_as_that() -> None:
    assert _told({"type": "json_invalid", "loc": ("body", 3), "msg": "JSON decode error"})["code"] == "invalid_json"
