"""Bodies of chat requests with a text planted at one position each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Body = dict[str, Any]

USER: Body = {"role": "user", "content": "And what follows from that?"}


def _body(**fields: Any) -> Body:
    return {"model": "auto", "messages": [USER]} | fields


def _messages(*messages: Body) -> Body:
    return _body(messages=[*messages, USER])


def _call(arguments: str, name: str = "look_up") -> Body:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}]}


def _tool(**function: Any) -> Body:
    return _body(tools=[{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}} | function}])


def _schema(schema: Body) -> Body:
    return _body(response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}})


def _escaped(text: str) -> str:
    """Return a text of JSON in which every character is escaped: by its two halves of UTF-16 where it needs them."""
    units = text.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


POSITIONS: dict[str, Callable[[str], Body]] = {
    "system": lambda text: _messages({"role": "system", "content": text}),
    "developer": lambda text: _messages({"role": "developer", "content": text}),
    "newest user turn": lambda text: _body(messages=[{"role": "user", "content": text}]),
    "earlier user turn": lambda text: _messages({"role": "user", "content": text}, {"role": "assistant", "content": "I see."}),
    "assistant turn": lambda text: _messages({"role": "assistant", "content": text}),
    "assistant refusal": lambda text: _messages({"role": "assistant", "content": None, "refusal": text}),
    "function result": lambda text: _messages({"role": "function", "name": "f", "content": text}),
    "tool result": lambda text: _messages(_call("{}"), {"role": "tool", "tool_call_id": "c1", "content": text}),
    "tool result part": lambda text: _messages(_call("{}"), {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": text}]}),
    "text part": lambda text: _body(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": text}]}]),
    "unknown part": lambda text: _body(messages=[{"role": "user", "content": [{"type": "note", "note": {"deep": [text]}}]}]),
    "message name": lambda text: _messages({"role": "user", "name": text, "content": "a"}),
    "unknown message field": lambda text: _messages({"role": "user", "content": "a", "annotations": [{"x": text}]}),
    "tool call arguments": lambda text: _messages(_call(json.dumps({"q": text})), {"role": "tool", "tool_call_id": "c1", "content": "ok"}),
    "escaped tool call arguments": lambda text: _messages(_call(f'{{"q": "{_escaped(text)}"}}'), {"role": "tool", "tool_call_id": "c1", "content": "ok"}),
    "arguments within arguments": lambda text: _messages(
        _call(json.dumps({"inner": json.dumps({"q": text})})), {"role": "tool", "tool_call_id": "c1", "content": "ok"}
    ),
    "tool call name": lambda text: _messages(_call("{}", text), {"role": "tool", "tool_call_id": "c1", "content": "ok"}),
    "tool call id": lambda text: _messages(
        {"role": "assistant", "tool_calls": [{"id": text, "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": text, "content": "ok"},
    ),
    "old function call": lambda text: _messages({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": text}}),
    "tool name": lambda text: _tool(name=text),
    "tool description": lambda text: _tool(description=text),
    "tool parameter description": lambda text: _tool(parameters={"type": "object", "properties": {"a": {"type": "string", "description": text}}}),
    "tool parameter enum": lambda text: _tool(parameters={"type": "object", "properties": {"a": {"enum": ["x", text]}}}),
    "tool parameter default": lambda text: _tool(parameters={"type": "object", "properties": {"a": {"default": text}}}),
    "tool parameter name": lambda text: _tool(parameters={"type": "object", "properties": {text: {"type": "string"}}}),
    "old function": lambda text: _body(functions=[{"name": "f", "description": text, "parameters": {"type": "object"}}]),
    "tool choice": lambda text: _body(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice={"type": "function", "function": {"name": text}}),
    "schema description": lambda text: _schema({"type": "object", "description": text}),
    "schema example": lambda text: _schema({"type": "object", "examples": [{"a": text}]}),
    "schema name": lambda text: _body(response_format={"type": "json_schema", "json_schema": {"name": "a", "description": text, "schema": {}}}),
    "stop": lambda text: _body(stop=["END", text]),
    "user": lambda text: _body(user=text),
    "metadata value": lambda text: _body(metadata={"case": text}),
    "metadata key": lambda text: _body(metadata={text: "case"}),
    "prediction": lambda text: _body(prediction={"type": "content", "content": text}),
    "prediction part": lambda text: _body(prediction={"type": "content", "content": [{"type": "text", "text": text}]}),
    "unknown field": lambda text: _body(future=text),
    "unknown deep field": lambda text: _body(future={"a": [{"b": {"c": [1, text]}}]}),
    "unknown key": lambda text: _body(future={text: 1}),
    "unknown top key": lambda text: _body(**{text: 1}),
    "web search location": lambda text: _body(web_search_options={"user_location": {"type": "approximate", "approximate": {"city": text}}}),
    "safety identifier": lambda text: _body(safety_identifier=text),
    "over two messages": lambda text: _messages({"role": "user", "content": _halves(text)[0]}, {"role": "user", "content": _halves(text)[1]}),
    "over two parts": lambda text: _body(messages=[{"role": "user", "content": [{"type": "text", "text": half} for half in _halves(text)]}]),
    "over two arguments": lambda text: _messages(
        _call(json.dumps(dict(zip("ab", _halves(text), strict=True)), ensure_ascii=False)), {"role": "tool", "tool_call_id": "c1", "content": "ok"}
    ),
    "over two calls": lambda text: _messages(
        *(_call(json.dumps({"q": half})) for half in _halves(text)), {"role": "tool", "tool_call_id": "c1", "content": "ok"}
    ),
    "after a long text": lambda text: _body(messages=[{"role": "user", "content": "The quick brown fox jumps over it. " * 4000 + text}]),
}
