"""Wire models of the search endpoints: what `POST /documents` and `POST /search` read and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_MAX_METADATA = 32
_INT64 = 1 << 63


def _fits(value: str | int | float | bool) -> str | int | float | bool:  # noqa: PYI041 - pydantic tells int and float apart
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError("integers must fit 64 bits")
    return value


def _is_free(key: str) -> str:
    if key.startswith(("_", "chroma:", "$", "#")):
        raise ValueError("keys that start with _, $, # or chroma: are reserved")
    return key


_Key = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_is_free)]
_Text = Annotated[str, Field(max_length=10_000)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Value = Annotated[bool | int | _Number | _Text, AfterValidator(_fits)]
Metadata = Annotated[dict[_Key, _Value], Field(max_length=_MAX_METADATA), BeforeValidator(lambda value: {} if value is None else value)]
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
