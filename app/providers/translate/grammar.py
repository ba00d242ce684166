r"""A JSON schema as Ollama can hold an answer to it.

Ollama makes a grammar of a schema by llama.cpp's `json-schema-to-grammar`. That knows a part of JSON Schema; what it does not know is an error, and some of
what it does know ends the server: 0.17.4 died of a pattern with a look-ahead, its runner of `\d` and of a `maxLength` in the thousands. So what holds the
answer is a looser schema, of what is known to be safe. What is valid for the caller's schema is valid for this one too, except further properties of an
object that names some: those are kept out, unless the caller's schema asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCALARS = ("string", "number", "boolean", "null")
_ANY = {"anyOf": [{"type": kind} for kind in (*_SCALARS, "object", "array")]}
_FORMATS = frozenset({"date", "date-time", "time", "uuid"})
_BOUNDS = ("minimum", "maximum")
_COUNTS = ("minItems", "maxItems")
_MOST_ITEMS = 64  # each becomes rules of the grammar
_DEEPEST = 32
_DEFINITIONS = ("$defs", "definitions")


def one_of(schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a schema of `{"name": ..., "arguments": ...}`, where each name has arguments of its own schema."""
    definitions: dict[str, Any] = {}
    options = [_envelope(name, _Loosening(f"{place}.", definitions).root(schema)) for place, (name, schema) in enumerate(schemas.items())]
    root = options[0] if len(options) == 1 else {"anyOf": options}
    return {**root, "$defs": definitions} if definitions else root


def _envelope(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    properties = {"name": {"const": name}, "arguments": arguments}
    return {"type": "object", "properties": properties, "required": ["name", "arguments"], "additionalProperties": False}


class _Loosening:
    """Loosens one root schema; its definitions go into `definitions` under names that start with `prefix`."""

    def __init__(self, prefix: str, definitions: dict[str, Any]) -> None:
        self._prefix = prefix
        self._definitions = definitions
        self._refs: dict[str, str] = {}

    def root(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return what holds the arguments of a function: an object, whatever the schema says."""
        named = {f"#/{key}/{name}": value for key in _DEFINITIONS for name, value in _mapping(schema.get(key)).items()}
        self._refs = {ref: f"{self._prefix}{place}" for place, ref in enumerate(named)}
        for ref, value in named.items():
            self._definitions[self._refs[ref]] = self._of(value, 1)
        loosened = self._of(schema, 0)
        return loosened if loosened.get("type") == "object" or "$ref" in loosened else {"type": "object"}

    def _of(self, schema: Any, depth: int) -> dict[str, Any]:
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return _ANY
        if "$ref" in schema:
            known = self._refs.get(str(schema["$ref"]))
            return {"$ref": f"#/$defs/{known}"} if known is not None else _ANY
        if "const" in schema:
            return {"const": schema["const"]}
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return {"enum": schema["enum"]}
        options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(options, list) and options:
            return self._any_of(options, depth) if "allOf" not in schema or len(options) == 1 else _ANY
        return self._typed(schema, depth)

    def _any_of(self, options: list[Any], depth: int) -> dict[str, Any]:
        return {"anyOf": [self._of(option, depth + 1) for option in options]} if len(options) > 1 else self._of(options[0], depth + 1)

    def _typed(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        kind = schema.get("type", "object" if "properties" in schema else None)
        if isinstance(kind, list) and kind:
            return self._any_of([{**schema, "type": each} for each in kind], depth)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            counts = {key: schema[key] for key in _COUNTS if _is_small(schema.get(key))}
            if counts.get("minItems", 0) > counts.get("maxItems", _MOST_ITEMS):
                counts = {}
            return {"type": "array", "items": self._of(schema.get("items"), depth + 1), **counts}
        if kind == "integer":
            bounds = {key: schema[key] for key in _BOUNDS if type(schema.get(key)) is int}
            return {"type": "integer", **(bounds if bounds.get("minimum", 0) <= bounds.get("maximum", bounds.get("minimum", 0)) else {})}
        if kind == "string" and schema.get("format") in _FORMATS:
            return {"type": "string", "format": schema["format"]}
        return {"type": kind} if kind in _SCALARS else _ANY

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = {name: self._of(value, depth + 1) for name, value in _mapping(schema.get("properties")).items()}
        further = schema.get("additionalProperties")
        if not properties and further is None and "properties" in schema:
            return {"type": "object", "properties": {}, "additionalProperties": False}
        if not properties:
            return {"type": "object", "additionalProperties": self._of(further, depth + 1)} if isinstance(further, dict) else {"type": "object"}
        required = [name for name in schema.get("required") or () if name in properties]
        loosened: dict[str, Any] = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        if further is True or isinstance(further, dict):
            loosened["additionalProperties"] = True if further is True else self._of(further, depth + 1)
        return loosened


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_small(count: Any) -> bool:
    return type(count) is int and 0 <= count <= _MOST_ITEMS
