"""What the caller says of its request: a label, which can only raise, and a complexity tier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain import ComplexityTier, Hints, Label
from app.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_hints(headers: Mapping[str, str], sensitivity: str | None) -> Hints:
    """Return the hints of `X-Sensitivity`, `metadata.sensitivity` and `X-Complexity`; of several labels the highest counts. Raises InvalidRequestError."""
    labels = [_label(word, "X-Sensitivity") for word in headers.get("x-sensitivity", "").split(",") if word.strip()]
    if sensitivity is not None:
        labels.append(_label(sensitivity, "metadata.sensitivity"))
    return Hints(label=max(labels, default=None), complexity=_complexity(headers.get("x-complexity")))


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
