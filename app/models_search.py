"""Wire models of the search endpoints: what `POST /documents` and `POST /search` read and answer."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

_MAX_KEYS, _MAX_KEY, _MAX_VALUE = 32, 128, 10_000
_INT64 = 1 << 63
_RESERVED = ("_", "$", "#", "chroma:")


def _read_metadata(value: Any) -> dict[str, Any]:
    """Check in one place, so that an error names the field and not, key by key, what a caller wrote there."""
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _MAX_KEYS:
        raise PydanticCustomError("invalid_metadata", "must be an object of up to 32 keys")
    for key, item in value.items():
        if not 1 <= len(key) <= _MAX_KEY or not _is_text(key):
            raise PydanticCustomError("invalid_metadata", "keys must have 1 to 128 characters")
        if key.startswith(_RESERVED):
            raise PydanticCustomError("reserved_metadata_key", "keys that start with _, $, # or chroma: are reserved")
        if not _is_scalar(item):
            message = "values must be strings of up to 10,000 characters, 64-bit integers, finite numbers, true or false"
            raise PydanticCustomError("invalid_metadata", message)
    return value


def _is_scalar(item: Any) -> bool:
    if isinstance(item, bool):
        return True
    if isinstance(item, int):
        return -_INT64 <= item < _INT64
    return math.isfinite(item) if isinstance(item, float) else isinstance(item, str) and len(item) <= _MAX_VALUE and _is_text(item)


def _is_text(item: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in item)  # lone surrogates have no bytes


Metadata = Annotated[
    dict[str, str | int | float | bool],
    PlainValidator(_read_metadata, json_schema_input_type=Annotated[dict[str, str | int | float | bool], Field(max_length=_MAX_KEYS)]),
]
"""Up to 32 keys of at most 128 characters; values are strings of at most 10,000, 64-bit integers, finite numbers and booleans."""

LabelName = Literal["public", "internal", "confidential"]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class DocumentIn(_Strict):
    """A text to find again by meaning."""

    text: str = Field(min_length=1, max_length=100_000, examples=["The cat sat on the mat."])
    metadata: Metadata = Field(default={}, examples=[{"source": "handbook", "page": 3}])
    label: LabelName | None = Field(default=None, description="Can only raise what the gateway finds in the text, never lower it.")
    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._:-]{1,128}$", description="A document of the same id is replaced. Generated when left out.")


class AddDocuments(_Strict):
    """Up to 1,000 documents; one document without the list around it is taken too."""

    documents: list[DocumentIn] = Field(min_length=1, max_length=1_000)

    @model_validator(mode="before")
    @classmethod
    def _wrap_one(cls, value: Any) -> Any:
        return {"documents": [value]} if isinstance(value, dict) and "text" in value and "documents" not in value else value


class AddedDocuments(BaseModel):
    """The documents' ids, in their order."""

    ids: list[str]


class SearchRequest(_Strict):
    """A question to the stored documents."""

    query: str = Field(min_length=1, max_length=100_000, examples=["a pet on a rug"])
    limit: int = Field(default=5, ge=1, le=20)
    filter: Metadata = Field(default={}, description="Metadata that must be equal; of several, all.", examples=[{"source": "handbook"}])


class Found(BaseModel):
    """A document that was found."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    text: str
    metadata: dict[str, str | int | float | bool]
    label: Annotated[LabelName, BeforeValidator(str)]
    score: float = Field(ge=0, le=1, description="Cosine similarity; 0 where it is negative.")


class SearchResponse(BaseModel):
    """What was found, best first."""

    results: list[Found]
