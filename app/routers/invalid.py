"""What pydantic finds wrong with a body, in the words and codes with which chat's own fields are refused; nothing of what was sent is in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from app.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN_NAME: Final = re.compile("[a-zA-Z_]{1,40}")  # another key may hold a value

# By the type of pydantic's error: our code, and what to say, of {param} and of the bounds that the model has (pydantic's documentation, "Validation Errors").
_SAID: Final = {
    "missing": ("missing_required_parameter", "Missing required parameter: {param}."),
    "extra_forbidden": ("unknown_parameter", "Unknown parameter: {param}."),
    "model_type": ("invalid_type", "Invalid type for {param}: expected an object."),
    "model_attributes_type": ("invalid_type", "Invalid type for {param}: expected an object."),
    "list_type": ("invalid_type", "Invalid type for {param}: expected an array."),
    "string_type": ("invalid_type", "Invalid type for {param}: expected a string."),
    "int_type": ("invalid_type", "Invalid type for {param}: expected an integer."),
    "too_short": ("empty_array", "Invalid {param}: empty array. Expected an array with minimum length {min_length}."),
    "too_long": ("array_above_max_length", "Invalid {param}: array too long. Expected at most {max_length} items."),
    "string_too_short": ("empty_string", "Invalid {param}: empty string. Expected a string with minimum length {min_length}."),
    "string_too_long": ("string_above_max_length", "Invalid {param}: string too long. Expected at most {max_length} characters."),
    "string_unicode": ("invalid_value", "Invalid {param}: half of a surrogate pair stands alone in it."),
    "string_pattern_mismatch": ("invalid_value", "Invalid {param}: expected a string that matches {pattern}."),
    "greater_than_equal": ("integer_below_min_value", "Invalid {param}: integer below minimum value. Expected a value >= {ge}."),
    "less_than_equal": ("integer_above_max_value", "Invalid {param}: integer above maximum value. Expected a value <= {le}."),
    "literal_error": ("invalid_value", "Invalid value for {param}. Supported values are: {expected}."),
}
_OWN: Final = frozenset({"invalid_metadata", "reserved_metadata_key"})  # models_search.py words these itself


def refusal(fault: Mapping[str, Any]) -> InvalidRequestError:
    """Return the error that one of pydantic's comes to."""
    place = fault["loc"][1:]  # behind FastAPI's word for where it was: body, query, path
    param = "".join(f"[{part}]" if isinstance(part, int) else f".{_told(part)}" for part in place).removeprefix(".") or None
    kind = fault["type"]
    if kind == "json_invalid":
        return InvalidRequestError("We could not parse the JSON body of your request: it must be valid JSON.", code="invalid_json")
    if param is None:
        return InvalidRequestError("We could not parse the JSON body of your request: expected a JSON object.", code="invalid_json")
    if kind in _OWN:
        return InvalidRequestError(f"Invalid '{param}': {fault['msg']}.", param=param, code=kind)
    code, sentence = _SAID.get(kind, ("invalid_value", "Invalid value for {param}."))
    return InvalidRequestError(sentence.format_map({"param": f"'{param}'"} | fault.get("ctx", {})), param=param, code=code)


def _told(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else "{unknown}"
