"""What of a caller's body is translated, copied afresh: LiteLLM's translators change in place what they are given.

Only what OpenAI's API description names is looked at. What would change the answer's shape and cannot be translated is refused by name; what only tunes is
left out and named. No address is ever taken from a body: media are inline, or their address is passed on to a provider that fetches it itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from app.domain import Capability, Failure
from app.errors import UpstreamError
from app.providers.translate.references import grows_too_far

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAMEABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # OpenAI's own rule; LiteLLM keeps a process-wide table of names that it had to change

_OURS = frozenset({"model", "messages", "stream", "stream_options"})
_MESSAGE_FIELDS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal"})
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request as it will be translated: `params` by OpenAI's names; `tool_choice` and `parallel_tool_calls` only beside `tools`."""

    messages: list[dict[str, Any]] = field(repr=False)
    params: dict[str, Any] = field(repr=False)
    dropped: frozenset[str]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider's dialect can say. `tunes` are the parameters without a shape; `fetches_https`: the provider itself fetches an image's address."""

    provider: str
    able: frozenset[Capability]
    tunes: frozenset[str]
    fetches_https: bool = False
    keeps_reasoning: bool = False


def want(body: Mapping[str, Any], limits: Limits) -> Wanted:
    """Return what of `body` goes to the translator. Raises UpstreamError (REJECTED) naming what cannot."""
    reading = _Reading(limits)
    params: dict[str, Any] = {}
    for name, value in body.items():
        if value is None or name in _OURS:
            continue
        shape = _SHAPES.get(name)
        if shape is not None:
            shape(reading, params, value)
        elif name in limits.tunes:
            params[name] = copied(value)
        else:
            reading.drop(name)
    if "tools" not in params:
        params.pop("tool_choice", None)
        params.pop("parallel_tool_calls", None)
    if "max_completion_tokens" in params:
        params.pop("max_tokens", None)  # the older name for the same bound
    messages = [reading.message(number, message) for number, message in enumerate(body.get("messages") or ())]
    return Wanted(messages, params, frozenset(reading.dropped))


def refuse(limits: Limits, param: str, why: str = "cannot be translated") -> NoReturn:
    """Raise the refusal that the caller reads."""
    text = f"`{param}` {why} for provider `{limits.provider}`."
    raise UpstreamError(Failure.REJECTED, provider_text=text, provider_code="unsupported_parameter", param=param, sent=False)


def copied(value: Any) -> Any:
    """Return a deep copy of parsed JSON; numbers keep their digits."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


class _Reading:
    """One reading of a body: what is refused, and what is left out."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.dropped: set[str] = set()

    def drop(self, name: str, within: str = "") -> None:
        if _NAMEABLE.fullmatch(name):
            self.dropped.add(within + name)

    def need(self, capability: Capability, param: str) -> None:
        if capability not in self.limits.able:
            refuse(self.limits, param)

    # Parameters that change the answer's shape.

    def tools(self, params: dict[str, Any], value: Any) -> None:
        if not value:
            return
        self.need(Capability.TOOLS, "tools")
        params["tools"] = [self._tool(f"tools[{number}]", tool) for number, tool in enumerate(value)]

    def _tool(self, where: str, tool: Any) -> dict[str, Any]:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type", "function") != "function":
            refuse(self.limits, where, "is not a function, the only kind of tool that can be translated")
        if not isinstance(function.get("name"), str) or not _TOOL_NAME.fullmatch(function["name"]):
            refuse(self.limits, f"{where}.function.name", "must be 1 to 64 letters, digits, underscores or hyphens")
        fields = {key: copied(function[key]) for key in ("name", "description", "parameters") if function.get(key) is not None}
        fields.setdefault("parameters", {"type": "object", "properties": {}})
        if isinstance(fields["parameters"], dict):
            self._bound(f"{where}.function.parameters", fields["parameters"])
        return {"type": "function", "function": fields}

    def tool_choice(self, params: dict[str, Any], value: Any) -> None:
        named = value.get("function") if isinstance(value, dict) and value.get("type") == "function" else None
        if value in ("auto", "none", "required"):
            params["tool_choice"] = value
        elif isinstance(named, dict) and isinstance(named.get("name"), str):
            params["tool_choice"] = {"type": "function", "function": {"name": named["name"]}}
        else:
            refuse(self.limits, "tool_choice")

    def response_format(self, params: dict[str, Any], value: Any) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "text":
            return
        if kind not in ("json_object", "json_schema"):
            refuse(self.limits, "response_format")
        self.need(Capability(kind), "response_format")
        if kind == "json_schema" and not isinstance((value.get("json_schema") or {}).get("schema"), dict):
            refuse(self.limits, "response_format.json_schema.schema", "must be an object")
        if kind == "json_schema":
            self._bound("response_format.json_schema.schema", value["json_schema"]["schema"])
        params["response_format"] = copied(value)

    def _bound(self, where: str, schema: dict[str, Any]) -> None:
        if grows_too_far(schema):
            refuse(self.limits, where, "names its own definitions so often that it is too large to be translated")

    def several(self, params: dict[str, Any], value: Any) -> None:
        if value != 1:
            self.need(Capability.N, "n")
            params["n"] = value

    def logprobs(self, params: dict[str, Any], value: Any) -> None:
        if value:
            self.need(Capability.LOGPROBS, "logprobs")
            params["logprobs"] = value

    def top_logprobs(self, params: dict[str, Any], value: Any) -> None:
        if value:
            self.need(Capability.LOGPROBS, "top_logprobs")
            params["top_logprobs"] = value

    def modalities(self, _params: dict[str, Any], value: Any) -> None:
        if value != ["text"]:
            refuse(self.limits, "modalities")

    def functions(self, _params: dict[str, Any], value: Any) -> None:
        if value:
            refuse(self.limits, "functions", "is not translated; `tools` is what took its place")

    # Messages.

    def message(self, number: int, message: Any) -> dict[str, Any]:
        where = f"messages[{number}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            refuse(self.limits, f"{where}.role")
        role = "system" if message["role"] == "developer" else message["role"]
        out: dict[str, Any] = {"role": role, "content": self._content(where, message)}
        out.update({key: message[key] for key in ("name", "tool_call_id") if message.get(key) is not None})
        if message.get("tool_calls"):
            out["tool_calls"] = [self._call(f"{where}.tool_calls[{n}]", call) for n, call in enumerate(message["tool_calls"])]
        if self.limits.keeps_reasoning and isinstance(message.get("reasoning_content"), str):
            out["reasoning_content"] = message["reasoning_content"]
        for name, value in message.items():
            if name not in _MESSAGE_FIELDS and name not in out and value:
                self.drop(name, "messages.")
        return out

    def _content(self, where: str, message: Mapping[str, Any]) -> Any:
        content = message.get("content")
        if content is None:
            return message.get("refusal")
        if isinstance(content, str):
            return content
        parts = [self._part(f"{where}.content[{n}]", part) for n, part in enumerate(content)]
        if message["role"] not in ("user", "assistant") and all(part["type"] == "text" for part in parts):
            return "".join(part["text"] for part in parts)
        return parts

    def _part(self, where: str, part: Any) -> dict[str, Any]:
        kind = part.get("type") if isinstance(part, dict) else None
        read = _PARTS.get(kind) if isinstance(kind, str) else None
        if read is None:
            refuse(self.limits, f"{where}.type")
        for name in part:
            if name not in ("type", kind):
                self.drop(name, "messages.content.")
        return read(self, where, part.get(kind))

    def text(self, where: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, str):
            refuse(self.limits, where, "must hold a text")
        return {"type": "text", "text": value}

    def image(self, where: str, value: Any) -> dict[str, Any]:
        self.need(Capability.IMAGES, where)
        url = value.get("url") if isinstance(value, dict) else value
        fetched = self.limits.fetches_https and isinstance(url, str) and url.startswith("https://")
        if not fetched and not _is_inline(url, "data:image/"):
            refuse(self.limits, f"{where}.image_url", "must be a data: URL with base64 (addresses are not fetched)")
        detail = value.get("detail") if isinstance(value, dict) else None
        return {"type": "image_url", "image_url": {"url": url, "detail": detail} if detail in ("low", "high", "auto") else {"url": url}}

    def audio(self, where: str, value: Any) -> dict[str, Any]:
        self.need(Capability.AUDIO, where)
        if not isinstance(value, dict) or not isinstance(value.get("data"), str) or not isinstance(value.get("format"), str) or ":" in value["data"]:
            refuse(self.limits, f"{where}.input_audio", "must hold base64 `data` and its `format`")
        return {"type": "input_audio", "input_audio": {"data": value["data"], "format": value["format"]}}

    def file(self, where: str, value: Any) -> dict[str, Any]:
        self.need(Capability.FILES, where)
        given = value.get("file_data") if isinstance(value, dict) else None
        if not _is_inline(given, "data:"):
            refuse(self.limits, f"{where}.file", "must hold `file_data`, a data: URL with base64 (files are not fetched)")
        fields = {"file_data": given}
        if isinstance(value.get("filename"), str):
            fields["filename"] = value["filename"]
        return {"type": "file", "file": fields}

    def _call(self, where: str, call: Any) -> dict[str, Any]:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            refuse(self.limits, where)
        arguments = function.get("arguments") or "{}"
        if not _is_object(arguments):
            refuse(self.limits, f"{where}.function.arguments", "must be the text of a JSON object")
        return {"id": call.get("id"), "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _is_inline(url: Any, scheme: str) -> bool:
    """Say whether a URL holds its own data. A colon is not base64, so nothing after the comma can be read as an address."""
    if not isinstance(url, str) or not url.startswith(scheme):
        return False
    head, comma, data = url.partition(",")
    return bool(comma) and head.endswith(";base64") and len(head) < 256 and ":" not in data


def _is_object(text: Any) -> bool:
    try:
        return isinstance(text, str) and isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _nothing(_reading: _Reading, _params: dict[str, Any], _value: Any) -> None:
    """Take `audio`: it only says how an answer would sound, and `modalities` was refused."""


_SHAPES: dict[str, Callable[[_Reading, dict[str, Any], Any], None]] = {
    "tools": _Reading.tools,
    "tool_choice": _Reading.tool_choice,
    "response_format": _Reading.response_format,
    "n": _Reading.several,
    "logprobs": _Reading.logprobs,
    "top_logprobs": _Reading.top_logprobs,
    "modalities": _Reading.modalities,
    "audio": _nothing,
    "functions": _Reading.functions,
    "function_call": _Reading.functions,
}
_PARTS: dict[str, Callable[[_Reading, str, Any], dict[str, Any]]] = {
    "text": _Reading.text,
    "refusal": _Reading.text,
    "image_url": _Reading.image,
    "input_audio": _Reading.audio,
    "file": _Reading.file,
}
