"""Ollama's `/api/chat`: LiteLLM builds the request, the answer is read here.

LiteLLM's reader takes `<think>` in an answer for thinking and moves the rest of the text, gives every chunk an id of its own, and counts tokens with a
tokenizer that is not the model's. Ollama has no `tool_choice`: an answer that must be a call is held to one by `format`. Format: docs/api.md of
ollama/ollama.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litellm.llms.ollama.chat.transformation import OllamaChatConfig

from app.providers.translate import facts
from app.providers.translate.dialect import Outgoing, Reader, checked_path
from app.providers.translate.forced_call import call_schema
from app.providers.translate.framing import JsonLines
from app.providers.translate.grammar import held_to
from app.providers.translate.pieces import Piece, Spoken, ToolPiece, as_text, usage
from app.providers.translate.wanted import Limits, refuse
from app.utils.json import dump_json

if TYPE_CHECKING:
    from app.domain import Deployment
    from app.providers.translate.wanted import Wanted

_TUNES = frozenset(
    {
        "frequency_penalty",
        "max_completion_tokens",
        "max_tokens",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "seed",
        "stop",
        "temperature",
        "top_p",
    }
)
# Ollama has both penalties under OpenAI's names; LiteLLM makes `repeat_penalty` of one, whose neutral value is 1 and not 0.
_PENALTIES = ("frequency_penalty", "presence_penalty")
_EFFORTS = ("low", "medium", "high")
_FINISHES = {"length": "length", "stop": "stop"}


class OllamaDialect:
    """One Ollama deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._config = OllamaChatConfig()
        able = facts.capabilities("ollama_chat", deployment.model)
        self.limits = Limits(deployment.provider, able, _TUNES, keeps_reasoning=True)
        base = deployment.base_url.removesuffix("/v1").removesuffix("/api")
        url = self._config.get_complete_url(api_base=base, api_key=None, model=deployment.model, optional_params={}, litellm_params={}, stream=False)
        self._path = checked_path(url, deployment)
        key = deployment.api_key
        self._headers = (("content-type", "application/json"), *((("authorization", f"Bearer {key}"),) if key else ()))

    def build(self, wanted: Wanted, *, stream: bool) -> Outgoing:
        """Translate a request. The window is the deployment's, and a prompt over it is refused, not cut."""
        params = dict(wanted.params)
        penalties = {name: params.pop(name) for name in _PENALTIES if name in params}
        if isinstance(params.get("stop"), str):
            params["stop"] = [params["stop"]]
        dropped, forced = self._settle_choice(params)
        # A model that does not think answers `think` with a 400, and only the family with graded thinking is known by its name.
        if "reasoning_effort" in params and not ("gpt-oss" in self._deployment.model and params["reasoning_effort"] in _EFFORTS):
            del params["reasoning_effort"]
            dropped.add("reasoning_effort")
        model = self._deployment.model
        mapped = self._config.map_openai_params(params, {}, model, drop_params=True)
        data = self._config.transform_request(model=model, messages=wanted.messages, optional_params=mapped, litellm_params={}, headers={})
        data["stream"] = stream
        data["truncate"] = data["shift"] = False
        data["options"].update(penalties)
        if self._deployment.num_ctx is not None:
            data["options"]["num_ctx"] = self._deployment.num_ctx
        if forced:
            data["format"] = call_schema(params["tools"])
        elif isinstance(data.get("format"), dict):
            data["format"], loosened = held_to(data["format"])
            if loosened:
                dropped.add("response_format.schema")
        _name_results(data["messages"], wanted.messages)
        return Outgoing(self._path, self._headers, dump_json(data), forces_call=forced, dropped=frozenset(dropped))

    def _settle_choice(self, params: dict[str, Any]) -> tuple[set[str], bool]:
        """Leave the tools that may be called. Return what is left out, and whether one must be called; beside that, no other shape of the answer counts."""
        choice, parallel = params.pop("tool_choice", "auto"), params.pop("parallel_tool_calls", None)
        forced = choice not in ("auto", "none")
        if choice == "none":
            del params["tools"]
        elif isinstance(choice, dict):
            params["tools"] = [tool for tool in params["tools"] if tool["function"]["name"] == choice["function"]["name"]]
            if not params["tools"]:
                refuse(self.limits, "tool_choice", "names no tool of this request")
        if forced:
            params.pop("response_format", None)
        honoured = parallel is None or (forced and parallel is False)  # a forced call is one call
        return set() if honoured else {"parallel_tool_calls"}, forced

    def whole(self, answer: dict[str, Any]) -> Spoken:
        """Read an answer: a stream of one line."""
        reader = self.reader()
        pieces = tuple(reader.event("", answer))
        return Spoken(pieces, reader.usage, reader.model)

    def reader(self) -> Reader:
        """Return what reads one stream."""
        return _OllamaReader(self._deployment, JsonLines())


class _OllamaReader(Reader):
    _calls = 0

    def event(self, kind: str, event: dict[str, Any]) -> list[Piece]:
        del kind
        self.model = event.get("model") or self.model
        if event.get("remote_host") or event.get("remote_model"):
            self.remote = event
        message = event.get("message") or {}
        tools = tuple(self._tool(call) for call in message.get("tool_calls") or ())
        finish = None
        if event.get("done") is True:
            self.ended = True
            self.usage = _usage(event)
            finish = _FINISHES.get(event.get("done_reason") or "stop", "stop")
        return [Piece(content=message.get("content") or "", reasoning=message.get("thinking") or "", tools=tools, finish=finish)]

    def _tool(self, call: dict[str, Any]) -> ToolPiece:
        """Read one call; they come whole. Their own `index` is not unique over the lines of a stream."""
        self._calls += 1
        function = call["function"]
        return ToolPiece(self._calls - 1, call.get("id"), function["name"], as_text(function.get("arguments") or {}))


def _usage(event: dict[str, Any]) -> dict[str, Any] | None:
    prompt, completion = event.get("prompt_eval_count"), event.get("eval_count")
    return usage(prompt, completion) if isinstance(prompt, int) and isinstance(completion, int) else None


def _name_results(translated: list[dict[str, Any]], messages: list[dict[str, Any]]) -> None:
    """Give each tool's result the tool's name, by which Ollama's templates know it; OpenAI's messages have the call's id."""
    names: dict[Any, str] = {}
    for out, message in zip(translated, messages, strict=True):
        names.update({call["id"]: call["function"]["name"] for call in message.get("tool_calls") or ()})
        if message["role"] == "tool" and (name := message.get("name") or names.get(message.get("tool_call_id"))):
            out["tool_name"] = name
