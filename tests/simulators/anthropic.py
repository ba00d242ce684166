"""Anthropic's dialect: `/v1/messages`. Shapes: https://docs.anthropic.com/en/api/messages, /en/docs/build-with-claude/streaming, the types of its SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulators.base import Refusal, Simulator, json_body
from tests.simulators.model import Ask, Said, Tool, count_tokens, dumps
from tests.simulators.script import Body, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.simulators.faults import Faults
    from tests.simulators.server import Received

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "stop_sequence": "stop_sequence", "tool_calls": "tool_use"}
_FIELDS = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "metadata",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "service_tier",
        "container",
        "context_management",
        "mcp_servers",
        "output_format",
        "output_config",
        "cache_control",
        "inference_geo",
        "speed",
    }
)


def blocks(content: Any) -> list[Mapping[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else [block for block in content or [] if isinstance(block, dict)]


def texts(content: Any) -> list[str]:
    return [block["text"] for block in blocks(content) if block.get("type") == "text"]


def event(value: Mapping[str, Any]) -> bytes:
    return f"event: {value['type']}\ndata: {dumps(value)}\n\n".encode()


class AnthropicSimulator(Simulator):
    """Anthropic's Messages API. `base_url` has no version in it, as its SDK wants it."""

    dialect = "anthropic"
    models: Sequence[str] = ("claude-sonnet-4-6", "claude-haiku-4-5-20251001")

    @property
    def base_url(self) -> str:
        return self.url

    def error(self, _request: Received, /, status: int, message: str) -> Body:
        kind = _ERRORS.get(status, "invalid_request_error" if status < 500 else "api_error")
        identity = f"req_{self.next_id()}"
        return json_body({"type": "error", "error": {"type": kind, "message": message}, "request_id": identity}, status, (("request-id", identity),))

    def context_error(self, request: Received, /) -> Body:
        return self.error(request, 400, "prompt is too long: 210000 tokens > 200000 maximum")

    def user_text(self, request: Received) -> str:
        body = request.json
        users = [m for m in body.get("messages") or [] if m.get("role") == "user"] if isinstance(body, dict) else []
        return " ".join(texts(users[-1].get("content"))) if users else ""

    def answer(self, request: Received, faults: Faults) -> Body | Stream:
        if (request.method, request.path) == ("GET", "/v1/models"):
            return self._listing(request)
        if request.path != "/v1/messages" or request.method != "POST":
            return self.error(request, 404, f"Not found: {request.path}")
        body = self._checked(request)
        ask = self._ask(body)
        said = self.speak(ask, faults)
        headers = (("request-id", f"req_{self.next_id()}"),)
        if not body.get("stream"):
            overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
            return json_body(overloaded if "error" in faults else self._whole(ask, said), headers=headers)
        return Stream(
            [event(value) for value in self._events(ask, said)],
            (event({"type": "message_stop"}),),
            headers,
            "text/event-stream; charset=utf-8",
            malformed=b'event: content_block_delta\ndata: {"type":"content_block_de\n\n',
            error=(event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),),
        )

    def _listing(self, request: Received) -> Body:
        """A page of names, after that of `after_id`; `limit` is 20 unless it is given."""
        self._authorize(request)
        if request.header("anthropic-version") is None:
            return self.error(request, 400, "anthropic-version: header is required")
        after = request.query.get("after_id")
        left = self.models[self.models.index(after) + 1 if after in self.models else 0 :]
        limit = int(request.query.get("limit", "20"))
        shown = [{"type": "model", "id": name, "display_name": name, "created_at": "2025-09-29T00:00:00Z"} for name in left[:limit]]
        first, last = (shown[0]["id"], shown[-1]["id"]) if shown else (None, None)
        return json_body({"data": shown, "has_more": len(left) > limit, "first_id": first, "last_id": last})

    def _authorize(self, request: Received) -> None:
        key = request.header("x-api-key") or (request.header("authorization") or "").removeprefix("Bearer ")  # the SDK sends a bearer token since 2.x
        if self.api_key is not None and key != self.api_key:
            raise Refusal(self.error(request, 401, "invalid x-api-key" if key else "x-api-key header is required"))

    def _checked(self, request: Received) -> Mapping[str, Any]:
        body = request.json
        self._authorize(request)
        wrong = None
        if request.header("anthropic-version") is None:
            wrong = "anthropic-version: header is required"
        elif not isinstance(body, dict):
            wrong = "The request body is not valid JSON"
        else:
            wrong = _wrong(body)
        if wrong is not None:
            raise Refusal(self.error(request, 400, wrong))
        assert isinstance(body, dict)
        return body

    def _ask(self, body: Mapping[str, Any]) -> Ask:
        messages = body["messages"]
        said = [(i, texts(m["content"])) for i, m in enumerate(messages) if m["role"] == "user"]
        last, user_text = next(((i, " ".join(found)) for i, found in reversed(said) if found), (-1, ""))
        results = [block for m in messages[max(last, 0) :] for block in blocks(m["content"]) if block.get("type") == "tool_result"]
        choice = body.get("tool_choice") or {"type": "auto"}
        thinking = (body.get("thinking") or {}).get("type", "disabled") != "disabled"
        every = [text for m in messages for text in texts(m["content"])] + texts(body.get("system") or [])
        return Ask(
            model=body["model"],
            user_text=user_text,
            prompt_tokens=count_tokens(every),
            images=sum(block.get("type") == "image" for m in messages for block in blocks(m["content"])),
            tool_result=" ".join(texts(results[-1].get("content"))) if results else None,
            max_tokens=body["max_tokens"],
            stop=tuple(body.get("stop_sequences") or ()),
            tools=tuple(Tool(tool["name"], tool.get("input_schema") or {}) for tool in body.get("tools") or ()),
            tool_choice={"any": "required", "tool": choice.get("name", "required")}.get(choice["type"], choice["type"]),
            parallel=not choice.get("disable_parallel_tool_use"),
            json_schema=_schema(body),
            think=thinking or "think" in body["model"],
        )

    @staticmethod
    def _usage(ask: Ask, output: int) -> dict[str, Any]:
        cached = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        return {"input_tokens": ask.prompt_tokens, **cached, "output_tokens": output, "service_tier": "standard"}

    def _message(self, ask: Ask, content: Sequence[Any], stop: str | None, stop_sequence: str | None, output: int) -> dict[str, Any]:
        return {
            "id": f"msg_{self.next_id()}",
            "type": "message",
            "role": "assistant",
            "model": ask.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": stop_sequence,
            "usage": self._usage(ask, output),
        }

    def _whole(self, ask: Ask, said: Said) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if said.thoughts:
            content.append({"type": "thinking", "thinking": said.thought, "signature": "c2ln"})
        if said.pieces:
            content.append({"type": "text", "text": said.text})
        content += [{"type": "tool_use", "id": f"toolu_{self.next_id()}", "name": call.name, "input": call.parsed} for call in said.calls]
        return self._message(ask, content, _STOPS[said.finish], said.stop_sequence, max(1, said.tokens))

    def _events(self, ask: Ask, said: Said) -> Iterator[dict[str, Any]]:
        yield {"type": "message_start", "message": self._message(ask, [], None, None, 1)}
        for index, (start, deltas) in enumerate(self._streamed_blocks(said)):
            yield {"type": "content_block_start", "index": index, "content_block": start}
            if index == 0:
                yield {"type": "ping"}
            for delta in deltas:
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        stop = {"stop_reason": _STOPS[said.finish], "stop_sequence": said.stop_sequence}
        yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": max(1, said.tokens)}}

    def _streamed_blocks(self, said: Said) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        if said.thoughts:
            deltas = [{"type": "thinking_delta", "thinking": thought} for thought in said.thoughts]
            yield {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, {"type": "signature_delta", "signature": "c2ln"}]
        if said.pieces:
            yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in said.pieces]
        for call in said.calls:
            start = {"type": "tool_use", "id": f"toolu_{self.next_id()}", "name": call.name, "input": {}}
            yield start, [{"type": "input_json_delta", "partial_json": fragment} for fragment in ("", *call.fragments)]


def _wrong(body: Mapping[str, Any]) -> str | None:
    """Return what the API says of the first thing wrong with a body."""
    for name in ("model", "max_tokens", "messages"):
        if body.get(name) in (None, "", []):
            return f"{name}: Field required"
    extra = sorted(body.keys() - _FIELDS)
    if extra:
        return f"{extra[0]}: Extra inputs are not permitted"
    faults = (_wrong_message(f"messages.{i}", message) for i, message in enumerate(body["messages"]))
    fault = next((each for each in faults if each is not None), None)
    if fault is not None:
        return fault
    forced = (body.get("tool_choice") or {}).get("type") in {"any", "tool"}
    if forced and (body.get("thinking") or {}).get("type") == "enabled":
        return "Thinking may not be enabled when tool_choice forces tool use."
    return _unanswered_call(body["messages"])


def _wrong_message(where: str, message: Any) -> str | None:
    if not isinstance(message, dict) or message.get("role") not in {"user", "assistant"}:
        return f"{where}.role: Input should be 'user' or 'assistant'"
    if not message.get("content"):
        return f"{where}: all messages must have non-empty content except for the optional final assistant message"
    if not all(text.strip() for text in texts(message["content"])):
        return "messages: text content blocks must contain non-whitespace text"
    return None


def _unanswered_call(messages: Sequence[Mapping[str, Any]]) -> str | None:
    for i, message in enumerate(messages):
        called = {block["id"] for block in blocks(message["content"]) if block.get("type") == "tool_use"}
        following = messages[i + 1]["content"] if i + 1 < len(messages) else []
        answered = {block.get("tool_use_id") for block in blocks(following) if block.get("type") == "tool_result"}
        if called - answered:
            return f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(sorted(called - answered))}."
    return None


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = body.get("output_format") or (body.get("output_config") or {}).get("format")
    return wanted["schema"] if wanted else None
