r"""A JSON schema as Ollama can hold an answer to it.

Ollama makes a grammar of a schema by llama.cpp's `json-schema-to-grammar`. That knows a part of JSON Schema; what it does not know is an error, and some of
what it does know ends the server: 0.17.4 died of a pattern with a look-ahead, its runner of `\d` and of a `maxLength` in the thousands, and it hung at bounds
that nothing meets. So an answer is held to a looser schema, of what is known to be safe. What is valid for the caller's schema is valid for this one too,
except further properties of an object that names some: those are kept out, unless the caller's schema asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCALARS = ("string", "number", "boolean", "null")
_ANY = {"anyOf": [{"type": kind} for kind in (*_SCALARS, "object", "array")]}
_FORMATS = frozenset({"date", "date-time", "time", "uuid"})
_NOT_SAFE = frozenset({"pattern", "not", "if", "then", "else", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "contains"})
_MOST = {"Items": 64, "Length": 256}  # each one more is a rule more of the grammar
_DEEPEST = 32
_DEFINITIONS = ("$defs", "definitions")


def held_to(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the schema that an answer is held to, and whether that leaves anything of the caller's out."""
    definitions: dict[str, Any] = {}
    loosening = _Loosening("", definitions)
    root = loosening.root(schema)
    return {**root, "$defs": definitions} if definitions else root, loosening.left_out


def one_of(schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a schema of `{"name": ..., "arguments": ...}`, where each name has arguments of its own schema."""
    definitions: dict[str, Any] = {}
    options = [_envelope(name, _object(_Loosening(f"{place}.", definitions).root(schema))) for place, (name, schema) in enumerate(schemas.items())]
    root = options[0] if len(options) == 1 else {"anyOf": options}
    return {**root, "$defs": definitions} if definitions else root


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of arguments: they are an object, whatever their own schema says."""
    return schema if schema.get("type") == "object" or "$ref" in schema else {"type": "object"}


def _envelope(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    properties = {"name": {"const": name}, "arguments": arguments}
    return {"type": "object", "properties": properties, "required": ["name", "arguments"], "additionalProperties": False}


class _Loosening:
    """Loosens one root schema; its definitions go into `definitions` under names that start with `prefix`."""

    def __init__(self, prefix: str, definitions: dict[str, Any]) -> None:
        self._prefix = prefix
        self._definitions = definitions
        self._refs: dict[str, str] = {}
        self.left_out = False

    def root(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the root, loosened; its own definitions are left to `definitions`."""
        named = {f"#/{key}/{name}": value for key in _DEFINITIONS for name, value in _mapping(schema.get(key)).items()}
        self._refs = {ref: f"{self._prefix}{place}" for place, ref in enumerate(named)}
        for ref, value in named.items():
            self._definitions[self._refs[ref]] = self._of(value, 1)
        return self._of(schema, 0)

    def _anything(self, schema: Any) -> dict[str, Any]:
        self.left_out = self.left_out or (bool(schema) and schema is not True)
        return _ANY

    def _of(self, schema: Any, depth: int) -> dict[str, Any]:
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return self._anything(schema)
        self.left_out = self.left_out or not _NOT_SAFE.isdisjoint(schema)
        if "$ref" in schema:
            known = self._refs.get(str(schema["$ref"]))
            return {"$ref": f"#/$defs/{known}"} if known is not None else self._anything(schema)
        if "const" in schema:
            return {"const": schema["const"]}
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return {"enum": schema["enum"]}
        options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(options, list) and options:
            return self._any_of(options, depth) if "allOf" not in schema or len(options) == 1 else self._anything(schema)
        return self._typed(schema, depth)

    def _any_of(self, options: list[Any], depth: int) -> dict[str, Any]:
        return {"anyOf": [self._of(option, depth + 1) for option in options]} if len(options) > 1 else self._of(options[0], depth + 1)

    def _typed(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        kind = schema.get("type", "object" if "properties" in schema else None)
        if isinstance(kind, list) and kind:
            return self._any_of([{**schema, "type": each} for each in dict.fromkeys(map(str, kind))], depth)  # each once, or it grows with every level
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return {"type": "array", "items": self._of(schema.get("items", {}), depth + 1), **self._counts(schema, "Items")}
        if kind == "integer":
            return {"type": "integer", **_bounds(schema)}
        if kind == "string":
            named = schema.get("format")
            return {"type": "string", "format": named} if named in _FORMATS else {"type": "string", **self._counts(schema, "Length")}
        return {"type": kind} if kind in _SCALARS else self._anything(schema)

    def _counts(self, schema: dict[str, Any], of: str) -> dict[str, int]:
        """Return the least and the most items, or characters, as far as a grammar can count them."""
        given = {key: schema[key] for key in (f"min{of}", f"max{of}") if schema.get(key) is not None}
        kept = {key: count for key, count in given.items() if type(count) is int and 0 <= count <= _MOST[of]}
        if kept.get(f"min{of}", 0) > kept.get(f"max{of}", _MOST[of]):
            kept = {}
        self.left_out = self.left_out or kept != given
        return kept

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


def _bounds(schema: dict[str, Any]) -> dict[str, int]:
    """Return the bounds of an integer, where one lies between them."""
    least = [schema[key] + more for key, more in (("minimum", 0), ("exclusiveMinimum", 1)) if type(schema.get(key)) is int]
    most = [schema[key] - less for key, less in (("maximum", 0), ("exclusiveMaximum", 1)) if type(schema.get(key)) is int]
    if least and most and max(least) > min(most):
        return {}
    return {**({"minimum": max(least)} if least else {}), **({"maximum": min(most)} if most else {})}
