"""Ollama's `/v1`: OpenAI's dialect as Ollama speaks it.

One choice, a role in every chunk, no `max_completion_tokens`, no `tool_choice`; prompts are cut silently.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.simulators.base import Refusal
from tests.simulators.model import Ask, Said, Tool, count_tokens
from tests.simulators.openai import packed, texts_of, vector
from tests.simulators.script import Body, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.simulators.faults import Faults
    from tests.simulators.ollama import OllamaModel, OllamaSimulator
    from tests.simulators.server import Received

_NO_URLS = "image URLs are not currently supported, please use base64 encoded data instead"


class OllamaV1:
    """The part of an Ollama simulator that answers below `/v1`."""

    def __init__(self, simulator: OllamaSimulator) -> None:
        self._simulator = simulator

    def error(self, status: int, message: str, kind: str = "api_error") -> Body:
        body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
        return Body(self._simulator.json(body).content + b"\n", status)

    def _refusal(self, message: str, status: int = 400, kind: str = "api_error") -> Refusal:
        return Refusal(self.error(status, message, kind))

    def _json(self, value: Any) -> Body:
        return Body(self._simulator.json(value).content + b"\n")

    def answer(self, request: Received, faults: Faults) -> Body | Stream:
        match request.method, request.path:
            case "GET", "/v1/models":
                return self._json({"object": "list", "data": [self._listed(f"{name}:latest") for name in self._simulator.models]})
            case "GET", path if path.startswith("/v1/models/"):
                self._found(name := path.removeprefix("/v1/models/"))
                return self._json(self._listed(name))
            case "POST", "/v1/chat/completions":
                return self._chat(request, faults)
            case "POST", "/v1/embeddings":
                return self._embeddings(request)
        return Body(b"404 page not found", 404, content_type="text/plain")

    @staticmethod
    def _listed(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "library"}

    def _found(self, name: Any) -> OllamaModel:
        if not name:
            raise self._refusal("model is required")
        model = self._simulator.find(name)
        if model is None:
            raise self._refusal(f"model '{name}' not found", 404)
        return model

    def _body(self, request: Received) -> Mapping[str, Any]:
        body = request.json
        if not isinstance(body, dict):
            raise self._refusal("invalid character", kind="invalid_request_error")
        return body

    def last_user(self, messages: Sequence[Mapping[str, Any]]) -> str:
        users = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
        return " ".join(texts_of(users[-1].get("content"))) if users else ""

    def _chat(self, request: Received, faults: Faults) -> Body | Stream:
        body = self._body(request)
        messages = body.get("messages") or []
        if not messages:
            raise self._refusal("[] is too short - 'messages'", kind="invalid_request_error")
        parts = [part for m in messages if isinstance(m.get("content"), list) for part in m["content"]]
        images = [part["image_url"]["url"] if isinstance(part["image_url"], dict) else part["image_url"] for part in parts if part.get("type") == "image_url"]
        if any(not image.startswith("data:") for image in images):
            raise self._refusal(_NO_URLS, kind="invalid_request_error")
        model = self._found(body.get("model"))
        ask = self._ask(body, model, messages, len(images))
        window = self._simulator.window(body["model"], model, {})
        ask = self._simulator.fitted(ask, [(m.get("role", ""), " ".join(texts_of(m.get("content")))) for m in messages], window)
        said = self._simulator.speak(ask, faults)
        if body.get("stream"):
            chunks = [f"data: {self._simulator.json(chunk).content.decode()}\n\n".encode() for chunk in self._chunks(body, ask, said)]
            error = b'data: {"error":{"message":"an error was encountered while running the model","type":"api_error","param":null,"code":null}}\n\n'
            return Stream(chunks, (b"data: [DONE]\n\n",), error=(error,))
        if "error" in faults:
            return self._json({"error": {"message": "an error was encountered while running the model", "type": "api_error", "param": None, "code": None}})
        return self._json(self._whole(ask, said))

    def _ask(self, body: Mapping[str, Any], model: OllamaModel, messages: Sequence[Mapping[str, Any]], images: int) -> Ask:
        name, wanted = body["model"], body.get("response_format") or {}
        if body.get("tools") and not model.tools:
            raise self._refusal(f"registry.ollama.ai/library/{name}:latest does not support tools")
        if body.get("reasoning_effort") and not model.thinking:
            raise self._refusal(f'"{name}" does not support thinking')
        users = [i for i, m in enumerate(messages) if m.get("role") == "user"]
        results = [" ".join(texts_of(m.get("content"))) for m in messages[users[-1] + 1 if users else 0 :] if m.get("role") == "tool"]
        stop = body.get("stop") or ()
        schema = wanted["json_schema"]["schema"] if wanted.get("type") == "json_schema" else {} if wanted.get("type") == "json_object" else None
        ask = Ask(name, self.last_user(messages), images=images, tool_result=results[-1] if results else None, json_schema=schema)
        return replace(
            ask,
            max_tokens=body.get("max_tokens"),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            tools=tuple(Tool(t["function"]["name"], t["function"].get("parameters") or {}) for t in body.get("tools") or ()),
            think=model.thinking and body.get("reasoning_effort") != "none",
        )

    def _head(self, ask: Ask, kind: str) -> dict[str, Any]:
        return {"object": kind, "created": int(time.time()), "model": ask.model, "system_fingerprint": "fp_ollama"}

    def _message(self, said: Said) -> Iterator[dict[str, Any]]:
        """Yield what streams as one delta each."""
        for thought in said.thoughts:
            yield {"role": "assistant", "content": "", "reasoning": thought}
        for piece in said.pieces:
            yield {"role": "assistant", "content": piece}
        for i, call in enumerate(said.calls):
            function = {"name": call.name, "arguments": call.arguments}
            yield {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": f"call_{self._simulator.next_id()}", "index": i, "type": "function", "function": function}],
            }

    def _whole(self, ask: Ask, said: Said) -> dict[str, Any]:
        calls = [call for message in self._message(said) for call in message.get("tool_calls", ())]
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        message |= {"reasoning": said.thought} if said.thoughts else {}
        message |= {"tool_calls": calls} if calls else {}
        choice = {"index": 0, "message": message, "finish_reason": _finish(said)}
        head = {"id": f"chatcmpl-{self._simulator.next_id()}", **self._head(ask, "chat.completion")}
        return {**head, "choices": [choice], "usage": _usage(ask, said)}

    def _chunks(self, body: Mapping[str, Any], ask: Ask, said: Said) -> Iterator[dict[str, Any]]:
        head = {"id": f"chatcmpl-{self._simulator.next_id()}", **self._head(ask, "chat.completion.chunk")}
        for delta in self._message(said):
            yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        yield {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": _finish(said)}]}
        if (body.get("stream_options") or {}).get("include_usage"):
            yield {**head, "choices": [], "usage": _usage(ask, said)}

    def _embeddings(self, request: Received) -> Body:
        body = self._body(request)
        form, inputs = body.get("encoding_format") or "float", body.get("input", "")
        if form not in {"float", "base64"}:
            wrong = f"Invalid value for 'encoding_format' = {form}. Supported values: ['float', 'base64']."
            raise self._refusal(wrong, kind="invalid_request_error")
        model = self._found(body.get("model"))
        inputs = [inputs] if isinstance(inputs, str) else inputs
        if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
            raise self._refusal("invalid input type")
        window = self._simulator.window(body["model"], model, {})
        rows = [vector(text, body.get("dimensions") or 64) for text in inputs]
        found = [{"object": "embedding", "embedding": packed(row) if form == "base64" else row, "index": i} for i, row in enumerate(rows)]
        used = sum(min(count_tokens([text]), window) for text in inputs)
        return self._json({"object": "list", "data": found, "model": body["model"], "usage": {"prompt_tokens": used, "total_tokens": used}})


def _finish(said: Said) -> str:
    return "stop" if said.finish == "stop_sequence" else said.finish


def _usage(ask: Ask, said: Said) -> dict[str, int]:
    tokens = max(1, said.tokens)
    return {"prompt_tokens": ask.prompt_tokens, "completion_tokens": tokens, "total_tokens": ask.prompt_tokens + tokens}
