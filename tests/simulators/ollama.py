"""Ollama, as a real 0.17.4 behaves on the wire: its own dialect here, the `/v1` one in `ollama_v1.py`. tests/live holds both to the same tests.

What surprises: a prompt longer than the window is cut without a word unless `"truncate": false`; an answer that outgrows it goes on unless `"shift": false`;
the window is `num_ctx`, else the model's own parameter, else 4,096, and at most what the model can. A token is a word here.
Formats: https://github.com/ollama/ollama/blob/main/docs/api.md and `api/types.go` there.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.simulators.base import Refusal, Simulator
from tests.simulators.llama_grammar import is_grammatical
from tests.simulators.model import Ask, Said, Tool, ToolCall, count_tokens, dumps, words
from tests.simulators.ollama_v1 import OllamaV1
from tests.simulators.openai import vector
from tests.simulators.script import Body, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.simulators.faults import Faults
    from tests.simulators.server import Received

DEFAULT_WINDOW = 4096
TOO_LONG = "the input length exceeds the context length"
_JSON = "application/json; charset=utf-8"
_GETS = frozenset({"/api/version", "/api/tags", "/api/ps"})
_POSTS = frozenset({"/api/show", "/api/chat", "/api/embed", "/api/embeddings"})
_GO_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """A model that is pulled. `window` is what it can, `num_ctx` what its Modelfile asks for; a remote one runs in the maker's cloud.

    `bare_calls`: its template writes calls as bare JSON, so that a text which is one is read as a call where tools are offered.
    """

    window: int = 131_072
    num_ctx: int | None = None
    tools: bool = True
    thinking: bool = False
    bare_calls: bool = True
    remote_host: str | None = None


def go_dumps(value: Any) -> str:
    """Write JSON as Go does: some characters escaped that need not be."""
    text = dumps(value)
    for character, escape in _GO_ESCAPES.items():
        text = text.replace(character, escape)
    return text


class OllamaSimulator(Simulator):
    """Ollama.

    `models` are its models by name. A name that is not among them is a model with tools (one that thinks when its name contains `think`, a remote one when it
    ends in `cloud`), unless it contains `missing`.
    """

    dialect = "ollama"

    def __init__(self, *, models: Mapping[str, OllamaModel] | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.models = {"tiny": OllamaModel(2048, tools=False), "tiny-tools": OllamaModel(2048, num_ctx=512), **(models or {})}
        self.loaded: dict[str, int] = {}  # the window in force, by model
        self.digests: dict[str, str] = {}  # of models that were made anew
        self._v1 = OllamaV1(self)

    @property
    def base_url(self) -> str:
        return self.url

    def model_of(self, request: Received) -> str:
        """Return the model, whose tag a fault may not hide behind; `/api/show` knows no faults."""
        return "" if request.path == "/api/show" else super().model_of(request).removesuffix(":latest")

    def error(self, request: Received, /, status: int, message: str) -> Body:
        if status == 404:
            message = f"model '{self.model_of(request)}' not found"
        return self._v1.error(status, message) if request.path.startswith("/v1/") else self.json({"error": message}, status)

    def context_error(self, request: Received, /) -> Body:
        return self.error(request, 400, TOO_LONG)

    def user_text(self, request: Received) -> str:
        body = request.json
        return "" if not isinstance(body, dict) else self._v1.last_user(body.get("messages") or [])

    @staticmethod
    def json(value: Any, status: int = 200) -> Body:
        return Body(go_dumps(value).encode(), status, content_type=_JSON)

    def answer(self, request: Received, faults: Faults) -> Body | Stream:
        method, path = request.method, request.path
        if path.startswith("/v1/"):
            return self._v1.answer(request, faults)
        if path == "/":
            return Body(b"Ollama is running", content_type="text/plain; charset=utf-8")
        if path not in _GETS | _POSTS:
            return Body(b"404 page not found", 404, content_type="text/plain")
        if method != ("GET" if path in _GETS else "POST"):
            return Body(b"405 method not allowed", 405, content_type="text/plain")
        return self._get(path) if path in _GETS else self._post(request, faults)

    def _get(self, path: str) -> Body:
        if path == "/api/version":
            return self.json({"version": "0.17.4"})
        return self.json({"models": [self._tag(n) for n in self.models] if path == "/api/tags" else [self._running(n) for n in self.loaded]})

    def _post(self, request: Received, faults: Faults) -> Body | Stream:
        body = request.json
        if not isinstance(body, dict):
            raise Refusal(self.json({"error": "invalid character" if request.body else "missing request body"}, 400))
        name = body.get("model")
        if not name:
            raise Refusal(self.json({"error": "model is required"}, 400))
        model = self.find(name)
        if model is None:
            embeds = request.path.startswith("/api/embed")
            raise Refusal(self.json({"error": f'model "{name}" not found, try pulling it first' if embeds else f"model '{name}' not found"}, 404))
        match request.path:
            case "/api/show":
                return self.json(self._show(name, model))
            case "/api/embed":
                return self._embed(body, model)
            case "/api/embeddings":
                return self.json({"embedding": vector(str(body.get("prompt", "")), 64)})
        return self._chat(body, model, faults)

    # what it has

    def find(self, name: str) -> OllamaModel | None:
        bare = name.removesuffix(":latest")
        if bare in self.models:
            return self.models[bare]
        if "missing" in bare:
            return None
        return OllamaModel(thinking="think" in bare, remote_host="https://ollama.com:443" if bare.endswith((":cloud", "-cloud")) else None)

    def window(self, name: str, model: OllamaModel, options: Mapping[str, Any]) -> int:
        """Return the window that a request loads the model with, and keep it for `/api/ps`."""
        window = min(options.get("num_ctx") or model.num_ctx or DEFAULT_WINDOW, model.window)
        self.loaded[name.removesuffix(":latest")] = window
        return window

    def _tag(self, name: str) -> dict[str, Any]:
        model, full = self.find(name), name if ":" in name else f"{name}:latest"
        details = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "123K", "quantization_level": "unknown"}
        digest = self.digests.get(name) or hashlib.sha256(full.encode()).hexdigest()
        found = {"name": full, "model": full, "modified_at": _now(), "size": 499_888, "digest": digest, "details": details}
        return found | ({"remote_model": name, "remote_host": model.remote_host} if model and model.remote_host else {})

    def _running(self, name: str) -> dict[str, Any]:
        tag = {key: value for key, value in self._tag(name).items() if key != "modified_at"}
        return {**tag, "expires_at": _now(), "size_vram": 0, "context_length": self.loaded[name]}

    def _show(self, name: str, model: OllamaModel) -> dict[str, Any]:
        abilities = ["completion", *(["tools"] if model.tools else []), *(["thinking"] if model.thinking else [])]
        parameters = {"parameters": f"num_ctx                        {model.num_ctx}"} if model.num_ctx else {}
        found = {
            "modelfile": f"FROM {name}",
            **parameters,
            "template": "{{ .Prompt }}",
            "details": self._tag(name)["details"],
            "model_info": {"general.architecture": "llama", "general.parameter_count": 122_560, "llama.context_length": model.window},
            "capabilities": abilities,
            "modified_at": _now(),
        }
        return found | ({"remote_model": name, "remote_host": model.remote_host} if model.remote_host else {})

    # what it does

    def fitted(self, ask: Ask, texts: Sequence[tuple[str, str]], window: int) -> Ask:
        """Cut a prompt to the window as the server does: the oldest messages go first, the last one is cut to what fits.

        `texts` are roles and texts; system messages stay.
        """
        counts = [count_tokens([text]) for _, text in texts]
        kept = list(range(len(texts)))
        for index in range(len(texts) - 1):
            if sum(counts[i] for i in kept) <= window:
                break
            if texts[index][0] != "system":
                kept.remove(index)
        tokens = sum(counts[i] for i in kept)
        text = ask.user_text
        if tokens > window:
            text = "".join(words(text)[tokens - window :]).lstrip()
        return replace(ask, user_text=text, prompt_tokens=min(tokens, window))

    def outgrown(self, said: Said, ask: Ask, window: int) -> Said:
        """End an answer where the window ends, as `"shift": false` asks."""
        room = max(1, window - ask.prompt_tokens + 1)
        return Said(said.pieces[:room], "length", said.calls, said.thoughts) if len(said.pieces) > room else said

    def _chat(self, body: Mapping[str, Any], model: OllamaModel, faults: Faults) -> Body | Stream:
        messages = body.get("messages") or []
        options = body.get("options") or {}
        window = self.window(body["model"], model, options)
        if not messages:
            return self.json({**self._line(body, {"role": "assistant", "content": ""}, done=True), "done_reason": "load"})
        self._check(body, model, messages)
        texts = [(m.get("role", ""), m.get("content") or "") for m in messages]
        ask = self._ask(body, model, messages, options)
        if sum(count_tokens([text]) for _, text in texts) > window:
            if body.get("truncate") is False:
                refusal = self.json({"error": TOO_LONG}, 400)
                raise Refusal(Body(refusal.content, 400, content_type="application/json") if body.get("stream", True) else refusal)
            ask = self.fitted(ask, texts, window)
        said = self.speak(ask, faults)
        if body.get("shift") is False:
            said = self.outgrown(said, ask, window)
        if model.bare_calls:
            said = _read_as_call(said, body.get("tools") or ())
        remote = {"remote_model": body["model"], "remote_host": model.remote_host} if model.remote_host else {}
        return self._written(body, ask, said, faults, remote)

    def _check(self, body: Mapping[str, Any], model: OllamaModel, messages: Sequence[Any]) -> None:
        name, wanted = body["model"], body.get("format")
        if any(not isinstance(m, dict) or not isinstance(m.get("content") or "", str) for m in messages):
            wrong = "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"
            raise Refusal(self.json({"error": wrong}, 400))
        if body.get("tools") and not model.tools:
            raise Refusal(self.json({"error": f"registry.ollama.ai/library/{name}:latest does not support tools"}, 400))
        if body.get("think") and not model.thinking:
            raise Refusal(self.json({"error": f'"{name}" does not support thinking'}, 400))
        if isinstance(wanted, str) and wanted not in {"", "json"}:
            raise Refusal(self.json({"error": f'invalid format: "\\"{wanted}\\""; expected "json" or a valid JSON Schema object'}, 500))
        if isinstance(wanted, dict) and not is_grammatical(wanted):
            raise Refusal(self.json({"error": "invalid JSON schema in format"}, 500))

    def _ask(self, body: Mapping[str, Any], model: OllamaModel, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Ask:
        users = [i for i, m in enumerate(messages) if m.get("role") == "user"]
        results = [m.get("content", "") for m in messages[users[-1] + 1 if users else 0 :] if m.get("role") == "tool"]
        wanted, stop, limit = body.get("format"), options.get("stop") or (), options.get("num_predict")
        return Ask(
            model=body["model"],
            user_text=messages[users[-1]].get("content") or "" if users else "",
            prompt_tokens=sum(count_tokens([m.get("content") or ""]) for m in messages),
            images=sum(len(m.get("images") or ()) for m in messages),
            tool_result=results[-1] if results else None,
            max_tokens=limit if limit and limit > 0 else None,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            tools=() if wanted else tuple(Tool(t["function"]["name"], t["function"].get("parameters") or {}) for t in body.get("tools") or ()),
            json_schema=wanted if isinstance(wanted, dict) else {} if wanted == "json" else None,
            think=model.thinking and body.get("think") is not False,
        )

    @staticmethod
    def _line(body: Mapping[str, Any], message: Mapping[str, Any], *, done: bool = False) -> dict[str, Any]:
        return {"model": body["model"], "created_at": _now(), "message": message, "done": done}

    def _written(self, body: Mapping[str, Any], ask: Ask, said: Said, faults: Faults, remote: Mapping[str, Any]) -> Body | Stream:
        calls = [{"id": f"call_{self.next_id()}", "function": {"index": i, "name": call.name, "arguments": call.parsed}} for i, call in enumerate(said.calls)]
        last = {
            "done_reason": "length" if said.finish == "length" else "stop",
            "total_duration": 2_623_407,
            "load_duration": 1_194_755,
            "prompt_eval_count": ask.prompt_tokens,
            "prompt_eval_duration": 235_020,
            "eval_count": max(1, said.tokens),
            "eval_duration": 300_095,
        }
        if body.get("stream") is False:
            if "error" in faults:
                return self.json({"error": "an error was encountered while running the model"})
            message = {"role": "assistant", "content": said.text}
            message |= {"thinking": said.thought} if said.thoughts else {}
            whole = message | ({"tool_calls": calls} if calls else {})
            return self.json({**self._line(body, whole, done=True), **remote, **last})
        lines = [{**self._line(body, message), **remote} for message in _messages(said, calls)]
        lines.append({**self._line(body, {"role": "assistant", "content": ""}, done=True), **remote, **last})
        return Stream(
            [f"{go_dumps(line)}\n".encode() for line in lines],
            content_type="application/x-ndjson",
            comment=b"\n",
            malformed=b'{"model":"tiny","mess\n',
            error=(b'{"error":"an error was encountered while running the model"}\n',),
        )

    def _embed(self, body: Mapping[str, Any], model: OllamaModel) -> Body:
        inputs = body.get("input", "")
        inputs = [inputs] if isinstance(inputs, str) else inputs
        if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
            raise Refusal(self.json({"error": "invalid input type"}, 400))
        window = self.window(body["model"], model, body.get("options") or {})
        counts = [count_tokens([text]) for text in inputs]
        if max(counts, default=0) > window and body.get("truncate") is False:
            raise Refusal(self.json({"error": TOO_LONG}, 400))
        rows = [vector("".join(words(text)[:window]), body.get("dimensions") or 64) for text in inputs]
        used = sum(min(count, window) for count in counts)
        return self.json({"model": body["model"], "embeddings": rows, "total_duration": 8_379_165, "load_duration": 1_371_517, "prompt_eval_count": used})


def _messages(said: Said, calls: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for thought in said.thoughts:
        yield {"role": "assistant", "content": "", "thinking": thought}
    for piece in said.pieces:
        yield {"role": "assistant", "content": piece}
    for call in calls:
        yield {"role": "assistant", "content": "", "tool_calls": [call]}


def _read_as_call(said: Said, tools: Sequence[Mapping[str, Any]]) -> Said:
    """Read a text that is a call of one of the tools as that call."""
    try:
        call = json.loads(said.text) if tools and said.finish != "length" else None
    except json.JSONDecodeError:
        return said
    if not isinstance(call, dict) or call.get("name") not in {tool["function"]["name"] for tool in tools} or not isinstance(call.get("arguments"), dict):
        return said
    return Said((), "tool_calls", (ToolCall(call["name"], dumps(call["arguments"])),), said.thoughts)


def _now() -> str:
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"
