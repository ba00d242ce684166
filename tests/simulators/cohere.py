"""Cohere's v2 dialect: `/v2/chat`, whole and streamed. Shapes: https://docs.cohere.com/reference/chat and /reference/chat-stream, the types of its SDK.

A stream is server-sent events, or lines of bare JSON for a caller that accepts `application/json` alone: events are asked for by the Accept header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulators.base import Refusal, Simulator, json_body
from tests.simulators.model import Ask, Said, Tool, count_tokens, dumps
from tests.simulators.script import Body, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.simulators.faults import Faults
    from tests.simulators.server import Received

_STOPS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "stop_sequence": "STOP_SEQUENCE", "tool_calls": "TOOL_CALL"}
_PLAN = ("I will", " call", " the", " tool.")


def texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    found = [part if part.get("type") != "document" else {"text": dumps(part["document"].get("data"))} for part in content or []]
    return [part["text"] for part in found if "text" in part]


def event(value: Mapping[str, Any]) -> bytes:
    return f"event: {value['type']}\ndata: {dumps(value)}\n\n".encode()


def _line(value: Mapping[str, Any]) -> bytes:
    return f"{dumps(value)}\n".encode()


class CohereSimulator(Simulator):
    """Cohere's API, version 2."""

    dialect = "cohere"
    models: Sequence[str] = ("command-a-03-2025", "command-r-08-2024")

    @property
    def base_url(self) -> str:
        return self.url

    def error(self, _request: Received, /, status: int, message: str) -> Body:
        return json_body({"id": self.next_id(), "message": message}, status)

    def context_error(self, request: Received, /) -> Body:
        return self.error(request, 400, "too many tokens: size limit exceeded by 12000 tokens. Try using shorter or fewer inputs.")

    def user_text(self, request: Received) -> str:
        body = request.json
        users = [m for m in body.get("messages") or [] if m.get("role") == "user"] if isinstance(body, dict) else []
        return " ".join(texts(users[-1].get("content"))) if users else ""

    def answer(self, request: Received, faults: Faults) -> Body | Stream:
        lists = (request.method, request.path) == ("GET", "/v1/models")
        if not lists and (request.path != "/v2/chat" or request.method != "POST"):
            return self.error(request, 404, f"{request.method} {request.path} not found")
        if self.api_key is not None and request.header("authorization") != self.authorized_by:
            raise Refusal(self.error(request, 401, "invalid api token"))
        if lists:
            size = int(request.query.get("page_size", "20"))
            shown = [{"name": name, "endpoints": ["chat"], "finetuned": False, "context_length": 256_000} for name in self.models[:size]]
            return json_body({"models": shown, "next_page_token": "cGFnZQ" if len(self.models) > size else None})
        body = request.json
        wrong = "invalid json" if not isinstance(body, dict) else _wrong(body)
        if wrong is not None:
            raise Refusal(self.error(request, 400, wrong))
        ask = self._ask(body)
        said = self.speak(ask, faults)
        if not body.get("stream"):
            failed = {"id": self.next_id(), "finish_reason": "ERROR", "message": {"role": "assistant", "content": []}}
            return json_body(failed if "error" in faults else self._whole(body, ask, said))
        failure = {"type": "message-end", "delta": {"error": "internal server error", "finish_reason": "ERROR"}}
        if (request.header("accept") or "").strip() == "application/json":
            lines = [_line(value) for value in self._events(ask, said)]
            return Stream(lines, content_type="application/stream+json", comment=b"\n", malformed=b'{"type":"content-del\n', error=(_line(failure),))
        return Stream(
            [event(value) for value in self._events(ask, said)],
            (b"data: [DONE]\n\n",),
            malformed=b'event: content-delta\ndata: {"type":"content-del\n\n',
            error=(event(failure),),
        )

    def _ask(self, body: Mapping[str, Any]) -> Ask:
        messages = body["messages"]
        users = [i for i, m in enumerate(messages) if m["role"] == "user"]
        results = [" ".join(texts(m.get("content"))) for m in messages[users[-1] + 1 if users else 0 :] if m["role"] == "tool"]
        wanted = body.get("response_format") or {}
        schema = wanted.get("json_schema") or wanted.get("schema") or {}
        parts = [part for m in messages if isinstance(m.get("content"), list) for part in m["content"]]
        thinking = (body.get("thinking") or {}).get("type") == "enabled"
        return Ask(
            model=body["model"],
            user_text=" ".join(texts(messages[users[-1]].get("content"))) if users else "",
            prompt_tokens=count_tokens(text for m in messages for text in texts(m.get("content"))),
            images=sum(part.get("type") == "image_url" for part in parts),
            tool_result=results[-1] if results else None,
            max_tokens=body.get("max_tokens"),
            stop=tuple(body.get("stop_sequences") or ()),
            tools=tuple(Tool(tool["function"]["name"], tool["function"].get("parameters") or {}) for tool in body.get("tools") or ()),
            tool_choice={"REQUIRED": "required", "NONE": "none"}.get(body.get("tool_choice") or "", "auto"),
            json_schema=schema if wanted.get("type") == "json_object" else None,
            think=thinking or "think" in body["model"],
        )

    @staticmethod
    def _usage(ask: Ask, said: Said) -> dict[str, Any]:
        counted = {"input_tokens": ask.prompt_tokens, "output_tokens": max(1, said.tokens)}
        return {"billed_units": counted, "tokens": counted}

    def _calls(self, said: Said) -> list[dict[str, Any]]:
        return [
            {"id": f"{call.name}_{self.next_id()}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in said.calls
        ]

    def _whole(self, body: Mapping[str, Any], ask: Ask, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant"}
        content = [{"type": "thinking", "thinking": said.thought}] if said.thoughts else []
        content += [{"type": "text", "text": said.text}] if said.pieces else []
        if content:
            message["content"] = content
        if said.calls:
            message |= {"tool_plan": "".join(_PLAN), "tool_calls": self._calls(said)}
        found = {"id": self.next_id(), "finish_reason": _STOPS[said.finish], "message": message, "usage": self._usage(ask, said)}
        logprobs = [{"token_ids": [i], "text": piece, "logprobs": [-0.1]} for i, piece in enumerate(said.pieces)]
        return found | ({"logprobs": logprobs} if body.get("logprobs") else {})

    def _events(self, ask: Ask, said: Said) -> Iterator[dict[str, Any]]:
        empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        yield {"id": self.next_id(), "type": "message-start", "delta": {"message": empty}}
        spoken = [("thinking", said.thoughts)] if said.thoughts else []
        spoken += [("text", said.pieces)] if said.pieces else []
        for index, (kind, pieces) in enumerate(spoken):
            yield {"type": "content-start", "index": index, "delta": {"message": {"content": {"type": kind, kind: ""}}}}
            for piece in pieces:
                yield {"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: piece}}}}
            yield {"type": "content-end", "index": index}
        for piece in _PLAN if said.calls else ():
            yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": piece}}}
        for index, (call, written) in enumerate(zip(said.calls, self._calls(said), strict=True)):
            start = {**written, "function": {"name": call.name, "arguments": ""}}
            yield {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": start}}}
            for fragment in call.fragments:
                yield {"type": "tool-call-delta", "index": index, "delta": {"message": {"tool_calls": {"function": {"arguments": fragment}}}}}
            yield {"type": "tool-call-end", "index": index}
        yield {"type": "message-end", "delta": {"finish_reason": _STOPS[said.finish], "usage": self._usage(ask, said)}}


def _wrong(body: Mapping[str, Any]) -> str | None:
    """Return what the API says of the first thing wrong with a body."""
    if not body.get("model"):
        return "invalid request: model is required"
    if not body.get("messages"):
        return "invalid request: messages must be at least 1 token long or tool results must be specified."
    if any(not isinstance(m, dict) or m.get("role") not in {"user", "assistant", "system", "developer", "tool"} for m in body["messages"]):
        return "invalid request: invalid role provided for message at messages[0]"
    return None
