"""An instance that is valid for a JSON schema, always the same one: what a pretend model answers when it must keep to a schema."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "P1D",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# What patterns people write are tried in turn: no generator of regular languages is worth its weight here.
_PATTERN_CANDIDATES = ("a", "A", "abc", "ABC", "1", "12345", "123-45-6789", "+15550100", "2026-01-02", "ada@example.com", "a-b", "a_b", "#a1b2c3", "AB123", "")
_MAX_DEPTH = 6


def instance(schema: Mapping[str, Any]) -> Any:
    """Return a value that is valid for `schema`. Gemini's upper-case types and `nullable` are understood too."""
    return _Instance(schema).of(schema, "value", 0)


class _Instance:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def of(self, schema: Mapping[str, Any] | bool, name: str, depth: int) -> Any:
        if isinstance(schema, bool):
            return name
        schema = self._chosen(schema, depth)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if schema.get("enum"):
            return schema["enum"][0]
        kind = self._kind(schema, depth)
        if kind in {"object", "array"}:
            return self._object(schema, depth) if kind == "object" else self._array(schema, name, depth)
        if kind in {"integer", "number"}:
            return _number(schema, whole=kind == "integer")
        return {"boolean": True, "null": None}.get(kind, _string(schema, name))

    def _chosen(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Return `schema` without references and alternatives."""
        schema = self._resolved(schema)
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                rest = {name: value for name, value in schema.items() if name != key}
                return self._chosen(_merged(rest, self._resolved(self._simplest(schema[key], depth))), depth)
        return schema

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            target: Any = self._root
            for part in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")] if part else target
            schema = {**{key: value for key, value in schema.items() if key != "$ref"}, **target}
        if schema.get("allOf"):
            merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                merged = _merged(merged, self._resolved(part))
            return merged
        return schema

    def _simplest(self, options: list[Mapping[str, Any]], depth: int) -> Mapping[str, Any]:
        if depth >= _MAX_DEPTH:
            flat = [option for option in options if self._resolved(option).get("type") not in ("object", "array", None)]
            return (flat or options)[0]
        real = [option for option in options if self._resolved(option).get("type") != "null"]
        return (real or options)[0]

    @staticmethod
    def _kind(schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = "null" if depth >= _MAX_DEPTH and "null" in kind else next((k for k in kind if k != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        return str(kind).lower()

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required = schema.get("required") or []
        wanted = [name for name in properties if depth < _MAX_DEPTH or name in required]
        found = {name: self.of(properties[name], name, depth + 1) for name in wanted}
        found |= {name: name for name in required if name not in found}
        return found

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        fewest = int(schema.get("minItems", 0))
        count = fewest if depth >= _MAX_DEPTH or schema.get("maxItems") == 0 else max(1, fewest)
        prefix = schema.get("prefixItems") or []
        items = [self.of(item, name, depth + 1) for item in prefix]
        items += [self.of(schema.get("items", True), name, depth + 1) for _ in range(count - len(items))]
        if schema.get("uniqueItems"):
            each = schema.get("items")
            step = each.get("multipleOf", 1) if isinstance(each, dict) else 1
            items = [item if index == 0 else _varied(item, index * step) for index, item in enumerate(items)]
        return items


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged


def _varied(item: Any, index: float) -> Any:
    if isinstance(item, str):
        return f"{item}{index}"
    return item + index if isinstance(item, int | float) and not isinstance(item, bool) else item


def _string(schema: Mapping[str, Any], name: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    shortest, longest = int(schema.get("minLength", 0)), schema.get("maxLength")
    if "pattern" in schema:
        fits = (text for text in _PATTERN_CANDIDATES if re.search(schema["pattern"], text) and len(text) >= shortest)
        return next(fits, name)
    text = name if len(name) >= shortest else name + "x" * (shortest - len(name))
    return text if longest is None else text[: int(longest)]


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    step = schema.get("multipleOf", 1 if whole else 0.5)
    low = schema.get("minimum")
    if schema.get("exclusiveMinimum") is not None:
        low = max(schema["exclusiveMinimum"] + step, low) if low is not None else schema["exclusiveMinimum"] + step
    if low is None:
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        low = step if high is None or high > step else high - step
    value = math.ceil(low / step) * step
    return int(value) if whole else float(value)
