"""Which schemas llama.cpp's `json-schema-to-grammar` makes a grammar of, as a real Ollama 0.17.4 was seen to answer.

What ends a real server (a pattern with a look-ahead, or `\\d`; an `anyOf` of nothing; a `maxLength` in the thousands) is only refused here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")
_LONGEST = 2000


def is_grammatical(schema: Mapping[str, Any]) -> bool:
    return _is(schema, schema)


def _is(schema: Any, root: Mapping[str, Any]) -> bool:
    if not isinstance(schema, dict) or not schema:
        return True
    if "$ref" in schema:
        return _resolves(str(schema["$ref"]), root)
    if "const" in schema or "enum" in schema:
        return True
    for key in _ALTERNATIVES:
        if key in schema:
            return bool(schema[key]) and all(_is(option, root) for option in schema[key])
    kinds = schema.get("type", "object" if "properties" in schema else "array" if "items" in schema else None)
    if not set(kinds if isinstance(kinds, list) else [kinds]) <= _TYPES:
        return False
    pattern = schema.get("pattern", "^$")
    held = pattern.startswith("^") and pattern.endswith("$") and "\\" not in pattern and "(?" not in pattern and schema.get("maxLength", 0) < _LONGEST
    below = [*(schema.get("properties") or {}).values(), *(schema.get("$defs") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return held and all(_is(value, root) for value in below)


def _resolves(ref: str, root: Mapping[str, Any]) -> bool:
    target: Any = root
    for part in ref.removeprefix("#/").split("/"):
        target = target.get(part) if isinstance(target, dict) else None
    return ref.startswith("#/") and target is not None
