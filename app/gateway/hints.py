"""What the caller says of its request: a label, which can only raise, a complexity tier, and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain import ComplexityTier, Hints, Label
from app.domain_routing import TAG
from app.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_TAGS = 16


NO_HINTS = Hints()


def read_hints(headers: Mapping[str, str], sensitivity: str | None) -> Hints:
    """Return the hints of `X-Sensitivity`, `metadata.sensitivity` and `X-Complexity`; of several labels the highest counts. Raises InvalidRequestError."""
    if sensitivity is None and "x-sensitivity" not in headers and "x-complexity" not in headers:
        return NO_HINTS
    line = headers.get("x-sensitivity")
    words = () if line is None else [word for word in line.split(",") if word.strip()] or [line]  # an empty one says nothing, and was meant to
    labels = [_label(word, "X-Sensitivity") for word in words]
    if sensitivity is not None:
        labels.append(_label(sensitivity, "metadata.sensitivity"))
    return Hints(label=max(labels, default=None), complexity=_complexity(headers.get("x-complexity")))


def read_tags(headers: Mapping[str, str]) -> frozenset[str]:
    """Return the tags of `X-Gateway-Tags`, separated by commas. Raises InvalidRequestError; the header goes nowhere else."""
    line = headers.get("x-gateway-tags")
    if line is None:
        return frozenset()
    tags = frozenset(word.strip() for word in line.split(",") if word.strip())
    if len(tags) > _MAX_TAGS or not all(map(TAG.fullmatch, tags)):
        message = f"X-Gateway-Tags must be at most {_MAX_TAGS} words, separated by commas, each 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-'."
        raise InvalidRequestError(message, param="X-Gateway-Tags", code="invalid_value")
    return tags


def _label(word: str, param: str) -> Label:
    try:
        return Label.parse(word)
    except ValueError:
        raise InvalidRequestError(f"{param} must be public, internal or confidential.", param=param, code="invalid_value") from None


def _complexity(word: str | None) -> ComplexityTier | None:
    if word is None:
        return None
    try:
        return ComplexityTier(word.strip().lower())
    except ValueError:
        raise InvalidRequestError("X-Complexity must be simple, medium or complex.", param="X-Complexity", code="invalid_value") from None
