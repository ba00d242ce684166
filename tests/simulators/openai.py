"""OpenAI's dialect: chat completions, models, embeddings. Shapes: https://github.com/openai/openai-openapi, `CreateChatCompletionResponse` and others."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import time
from typing import TYPE_CHECKING, Any

from tests.simulators.base import Refusal, Simulator, json_body
from tests.simulators.model import Ask, Said, Tool, count_tokens, dumps
from tests.simulators.script import Body, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.simulators.faults import Faults
    from tests.simulators.server import Received

WINDOW = 128_000
# Where others put the same dialect: Azure by deployment, Groq and Azure's newer address under `/openai/v1`, some without a version.
_PREFIX = re.compile(r"^(?:/openai/deployments/[^/]+|/openai/v1|/openai(?=/models)|/api/v1|(?=/(?:chat|embeddings|models)\b))")
_TYPES = {401: "invalid_request_error", 403: "invalid_request_error", 404: "invalid_request_error", 429: "requests"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


def texts_of(content: Any) -> list[str]:
    """Return the texts of a message's content: a string, or parts."""
    if isinstance(content, str):
        return [content]
    return [part[kind] for part in content or [] if isinstance(part, dict) for kind in ("text", "refusal") if isinstance(part.get(kind), str)]


def error_body(status: int, message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code or _CODES.get(status)}}


def vector(text: str, size: int) -> list[float]:
    """Return a unit vector that depends on the text alone."""
    digest = hashlib.sha256(text.encode()).digest()
    raw = [digest[i % 32] - 127.5 for i in range(size)]
    length = sum(x * x for x in raw) ** 0.5
    return [x / length for x in raw]


class OpenAISimulator(Simulator):
    """OpenAI's dialect. `base_url` ends in `/v1`."""

    dialect = "openai"
    models: Sequence[str] = ("gpt-4o-mini", "gpt-4o", "text-embedding-3-small")

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def error(self, _request: Received, /, status: int, message: str) -> Body:
        return json_body(error_body(status, message), status, (("x-request-id", self.next_id()),))

    def context_error(self, _request: Received, /) -> Body:
        message = f"This model's maximum context length is {WINDOW} tokens. However, your messages resulted in 200000 tokens. Please reduce the length."
        return json_body(error_body(400, message, code="context_length_exceeded", param="messages"), 400, (("x-request-id", self.next_id()),))

    def user_text(self, request: Received) -> str:
        body = request.json
        messages = body.get("messages") if isinstance(body, dict) else None
        users = [m for m in messages or [] if isinstance(m, dict) and m.get("role") == "user"]
        return " ".join(texts_of(users[-1].get("content"))) if users else ""

    def answer(self, request: Received, faults: Faults) -> Body | Stream:
        if self.api_key is not None and request.header("authorization") != self.authorized_by and request.header("api-key") != self.api_key:
            raise self.refusal("Incorrect API key provided.", status=401)
        match request.method, _PREFIX.sub("/v1", request.path):
            case "GET", "/v1/models":
                return json_body({"object": "list", "data": [self._model(name) for name in self.models]})
            case "GET", path if path.startswith("/v1/models/"):
                return self._one_model(path.removeprefix("/v1/models/"))
            case "POST", "/v1/chat/completions":
                return self.chat(request, faults)
            case "POST", "/v1/embeddings":
                return self.embeddings(request)
        return json_body(error_body(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url"), 404)

    def refusal(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> Refusal:
        return Refusal(json_body(error_body(status, message, param=param, code=code), status, (("x-request-id", self.next_id()),)))

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": self.tag}

    def _one_model(self, name: str) -> Body:
        if name in self.models:
            return json_body(self._model(name))
        raise self.refusal(f"The model '{name}' does not exist", status=404, param="model")

    def body_of(self, request: Received) -> Mapping[str, Any]:
        body = request.json
        if not isinstance(body, dict):
            raise self.refusal("We could not parse the JSON body of your request.")
        if not isinstance(body.get("model"), str):
            raise self.refusal("you must provide a model parameter")
        return body

    def chat(self, request: Received, faults: Faults) -> Body | Stream:
        body = self.body_of(request)
        ask = self.ask(body)
        choices = [self.speak(ask, faults, choice=i) for i in range(body.get("n") or 1)]
        writer = Completion(self, body, ask, choices, faults)
        headers = (("x-request-id", self.next_id()), ("openai-processing-ms", "1"), ("openai-version", "2020-10-01"))
        if not body.get("stream"):
            return json_body(error_body(500, "simulated error") if "error" in faults else writer.whole(), headers=headers)
        chunks = [event(chunk, faults) for chunk in writer.chunks()]
        end = b"data: [DONE]\n\n".replace(b"\n", b"\r\n" if "crlf" in faults else b"\n")
        return Stream(chunks, (end,), headers, "text/event-stream; charset=utf-8", error=(event(error_body(500, "The server had an error"), faults),))

    def ask(self, body: Mapping[str, Any]) -> Ask:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise self.refusal("[] is too short - 'messages'", param="messages")
        if not all(isinstance(m, dict) and m.get("role") in {"system", "developer", "user", "assistant", "tool", "function"} for m in messages):
            raise self.refusal("Invalid value for 'role'.", param="messages[0].role", code="invalid_value")
        users = [i for i, m in enumerate(messages) if m["role"] == "user"]
        after = messages[users[-1] + 1 :] if users else []
        results = [" ".join(texts_of(m.get("content"))) for m in after if m["role"] == "tool"]
        parts = [p for m in messages if isinstance(m.get("content"), list) for p in m["content"] if isinstance(p, dict)]
        stop = body.get("stop") or ()
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        return Ask(
            model=body["model"],
            user_text=" ".join(texts_of(messages[users[-1]].get("content"))) if users else "",
            prompt_tokens=count_tokens(text for m in messages for text in texts_of(m.get("content"))),
            images=sum(part.get("type") == "image_url" for part in parts),
            tool_result=results[-1] if results else None,
            max_tokens=limit,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            tools=tuple(Tool(t["function"]["name"], t["function"].get("parameters") or {}) for t in body.get("tools") or () if "function" in t),
            tool_choice=_tool_choice(body.get("tool_choice")),
            parallel=body.get("parallel_tool_calls") is not False,
            json_schema=self._schema(body.get("response_format")),
            think="think" in body["model"],
        )

    def _schema(self, wanted: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        match wanted:
            case None | {"type": "text"}:
                return None
            case {"type": "json_object"}:
                return {}
            case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
                return schema
        raise self.refusal("Invalid value for 'response_format'.", param="response_format", code="invalid_value")

    def embeddings(self, request: Received) -> Body:
        body = self.body_of(request)
        inputs = body.get("input")
        if isinstance(inputs, str) or (isinstance(inputs, list) and inputs and isinstance(inputs[0], int)):
            inputs = [inputs]
        if not isinstance(inputs, list) or not inputs or "" in inputs:
            raise self.refusal("'$.input' is invalid.", param="input")
        encode = packed if body.get("encoding_format") == "base64" else list
        rows = [encode(vector(str(text), body.get("dimensions") or 64)) for text in inputs]
        used = sum(len(text) if isinstance(text, list) else count_tokens([text]) for text in inputs)
        found = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
        return json_body({"object": "list", "data": found, "model": body["model"], "usage": {"prompt_tokens": used, "total_tokens": used}})


def packed(row: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()


def _tool_choice(choice: Any) -> str:
    if isinstance(choice, dict):
        return str(choice.get("function", {}).get("name", "required"))
    return choice or "auto"


def event(value: Any, faults: Faults) -> bytes:
    colon = "data:" if "nospace" in faults else "data: "
    end = "\r\n\r\n" if "crlf" in faults else "\n\n"
    return f"{colon}{dumps(value)}{end}".encode()


class Completion:
    """Writes choices down as a `chat.completion` or as its chunks."""

    def __init__(self, simulator: Simulator, body: Mapping[str, Any], ask: Ask, choices: Sequence[Said], faults: Faults) -> None:
        self._body, self._ask, self._choices, self._faults = body, ask, choices, faults
        self._head = {"id": f"chatcmpl-{simulator.next_id()}", "created": int(time.time()), "model": ask.model, "system_fingerprint": f"fp_{simulator.tag}"}
        self._call_id = simulator.next_id()

    @property
    def usage(self) -> dict[str, Any]:
        tokens = sum(said.tokens for said in self._choices)
        thinking = sum(len(said.thoughts) for said in self._choices)
        return {
            "prompt_tokens": self._ask.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": self._ask.prompt_tokens + tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": thinking,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def whole(self) -> dict[str, Any]:
        return {**self._head, "object": "chat.completion", "choices": [self._choice(i, said) for i, said in enumerate(self._choices)], "usage": self.usage}

    def _choice(self, index: int, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None if said.calls else said.text, "refusal": None, "annotations": []}
        if said.thoughts:
            message["reasoning_content"] = said.thought
        if said.calls:
            message["tool_calls"] = [
                {"id": self._id(index, i), "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for i, call in enumerate(said.calls)
            ]
        return {"index": index, "message": message, "logprobs": self._logprobs(said.pieces), "finish_reason": _finish(said)}

    def _id(self, choice: int, call: int) -> str:
        return f"call_{self._call_id}_{choice}_{call}"

    def _logprobs(self, pieces: Sequence[str]) -> dict[str, Any] | None:
        if not self._body.get("logprobs"):
            return None
        wanted = self._body.get("top_logprobs") or 0
        return {"content": [{**_logprob(piece, 0), "top_logprobs": [_logprob(piece, i) for i in range(wanted)]} for piece in pieces], "refusal": None}

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Yield chunks as OpenAI does: the role, the pieces, the finish reason alone, and usage when it is asked for."""
        asked = (self._body.get("stream_options") or {}).get("include_usage")
        for index, said in enumerate(self._choices):
            for delta, logprobs, finish in self._deltas(index, said):
                choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
                if finish is None and "nofinishkey" in self._faults:
                    del choice["finish_reason"]
                yield self._chunk([self._spoilt(choice)], {"usage": None} if asked else {})
        if asked:
            repeated: list[dict[str, Any]] = (
                [{"index": i, "delta": {}, "finish_reason": None} for i in range(len(self._choices))] if "usagechoices" in self._faults else []
            )
            yield self._chunk(repeated, {"usage": self.usage})

    def _chunk(self, choices: list[dict[str, Any]], more: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._head, "object": "chat.completion.chunk", "choices": choices, **more}

    def _spoilt(self, choice: dict[str, Any]) -> dict[str, Any]:
        if "nofinish" in self._faults:
            choice["finish_reason"] = None
        if "nofinishkey" in self._faults:
            choice.pop("finish_reason", None)
        return choice

    def _deltas(self, index: int, said: Said) -> Iterator[tuple[dict[str, Any], Any, str | None]]:
        content = None if said.calls else ""
        yield {"role": "assistant", "content": content, "refusal": None}, None, None
        for thought in said.thoughts:
            yield {"reasoning_content": thought}, None, None
        for piece in said.pieces:
            yield {"content": piece}, self._logprobs([piece]), None
        for i, call in enumerate(said.calls):
            begun = {"index": i, "id": self._id(index, i), "type": "function", "function": {"name": call.name, "arguments": ""}}
            yield {"tool_calls": [begun]}, None, None
            for fragment in call.fragments:
                yield {"tool_calls": [{"index": i, "function": {"arguments": fragment}}]}, None, None
        yield {}, None, _finish(said)


def _finish(said: Said) -> str:
    return "stop" if said.finish == "stop_sequence" else said.finish


def _logprob(token: str, rank: int) -> dict[str, Any]:
    token = token if rank == 0 else f"{token}~{rank}"
    return {"token": token, "logprob": -0.1 - rank, "bytes": list(token.encode())}
