"""What a model reads of a request, as texts to count and tokens that the format adds.

OpenAI publishes the chat format's overhead in its cookbook ("How to count tokens with tiktoken"), and there the formula for tools, which it found to give
the API's own counts. What the formula does not know (nested schemas, `anyOf`, a response format) is counted as the JSON that it is, which is more.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.policy.tokens import TOKENS_PER_MEDIUM
from app.policy.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.policy.collect import Collected

_PER_MESSAGE = 3 + 1  # what encloses it, and its role
_PER_NAME = 1
_ANSWER_START = 3
_PER_CALL = 3  # of a function, in a turn of the assistant
_PER_FUNCTION = {Vocabulary.O200K: 7, Vocabulary.CL100K: 10}
_PROPERTIES = 3
_PER_PROPERTY = 3
_ENUM, _PER_ENUM_VALUE = -3, 3
_FUNCTIONS_END = 12
_KNOWN = frozenset(
    {"type", "properties", "required", "description", "enum", "items", "title", "additionalProperties", "strict", "$schema", "name", "parameters"}
)
_MAX_DEPTH = 16  # of a schema: what lies deeper is counted as JSON


class Prompt:
    """The texts of a request, and the tokens around them."""

    __slots__ = ("_fixed", "_functions", "media", "texts")

    def __init__(self, collected: Collected, body: Mapping[str, Any]) -> None:
        self.texts: list[str] = list(collected.spoken)
        self.media = sum(part.kind != "part" for part in collected.opaque)
        self._fixed = _ANSWER_START + _PER_MESSAGE * collected.messages + TOKENS_PER_MEDIUM * self.media
        self._functions = 0
        for message in _dicts(body.get("messages")):
            self._message(message)
        for function in [*(tool.get("function") for tool in _dicts(body.get("tools"))), *_dicts(body.get("functions"))]:
            if isinstance(function, dict):
                self._function(function)
        form = body.get("response_format")
        if isinstance(form, dict) and "json_schema" in form:
            self.texts.append(_dump(form["json_schema"]))

    def overhead(self, vocabulary: Vocabulary) -> int:
        """Return the tokens that the format adds to the texts'."""
        functions = self._functions * _PER_FUNCTION[vocabulary] + _FUNCTIONS_END if self._functions else 0
        return self._fixed + functions

    def _message(self, message: dict[str, Any]) -> None:
        if isinstance(message.get("name"), str):
            self.texts.append(message["name"])
            self._fixed += _PER_NAME
        for call in [*(call.get("function") for call in _dicts(message.get("tool_calls"))), message.get("function_call")]:
            if isinstance(call, dict):
                self._fixed += _PER_CALL
                self.texts.append(str(call.get("name", "")))  # its arguments are spoken

    def _function(self, function: dict[str, Any]) -> None:
        self._functions += 1
        self.texts.append(f"{function.get('name', '')}:{_sentence(function)}")
        self._schema(function.get("parameters"), 0)

    def _schema(self, schema: object, depth: int) -> None:
        if not isinstance(schema, dict):
            return
        if depth > _MAX_DEPTH:
            self.texts.append(_dump(schema))
            return
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            self._fixed += _PROPERTIES
            for name, value in properties.items():
                self._fixed += _PER_PROPERTY
                self._property(str(name), value if isinstance(value, dict) else {}, depth)
        self._schema(schema.get("items"), depth + 1)
        unknown = {key: value for key, value in schema.items() if key not in _KNOWN}
        if unknown:
            self.texts.append(_dump(unknown))

    def _property(self, name: str, value: dict[str, Any], depth: int) -> None:
        kind = value.get("type", "")
        self.texts.append(f"{name}:{kind if isinstance(kind, str) else _dump(kind)}:{_sentence(value)}")
        values = value.get("enum")
        if isinstance(values, list):
            self._fixed += _ENUM + _PER_ENUM_VALUE * len(values)
            self.texts.extend(map(str, values))
        self._schema(value, depth + 1)


def _dicts(values: object) -> Iterator[dict[str, Any]]:
    return (value for value in values if isinstance(value, dict)) if isinstance(values, list) else iter(())


def _sentence(entry: Mapping[str, Any]) -> str:
    """Return a description as the format has it: without the dot at its end."""
    text = entry.get("description")
    return text.removesuffix(".") if isinstance(text, str) else ""


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
