"""Anthropic's Messages API: LiteLLM builds the request and reads whole messages, streams are read here.

LiteLLM's reader of streams makes four validated objects of every word, ten times what the rest of a stream costs. Format: docs.anthropic.com, "Messages" and
"Streaming Messages".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx
from litellm.constants import RESPONSE_FORMAT_TOOL_NAME
from litellm.litellm_core_utils.core_helpers import map_finish_reason
from litellm.llms.anthropic.chat.transformation import AnthropicConfig
from litellm.types.utils import ModelResponse

from app.providers.translate import facts
from app.providers.translate.blanks import without_blanks
from app.providers.translate.dialect import INTERNAL_PARAMS, Outgoing, Reader, joined, unhonoured
from app.providers.translate.pieces import Piece, Spoken, ToolPiece, piece_of, usage
from app.providers.translate.schema_tool import Choice, choice_last, choice_of, downgraded
from app.providers.translate.thinking import settle_thinking, yield_thinking
from app.providers.translate.wanted import Limits
from app.utils.json import dump_json

if TYPE_CHECKING:
    from app.domain import Deployment
    from app.providers.translate.wanted import Wanted

_SCHEMA_TOOL: Final[str] = RESPONSE_FORMAT_TOOL_NAME
_TUNES = frozenset({"temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "user", "parallel_tool_calls", "reasoning_effort"})
_SHOWN_AS = {
    "temperature": frozenset({"temperature"}),
    "top_p": frozenset({"top_p"}),
    "stop": frozenset({"stop_sequences"}),
    "user": frozenset({"metadata"}),
}
# LiteLLM would count thoughts with a tokenizer that is not the model's, on the event loop; told that they were counted, it does not.
_UNCOUNTED = {"input_tokens": 0, "output_tokens": 0, "output_tokens_details": {"thinking_tokens": 0}}
_CALLS = frozenset({"tool_use", "server_tool_use"})
_NO_RESPONSE = httpx.Response(200)  # LiteLLM wants one beside the parsed answer, for its headers
_NO_KEY = "none"  # without a key LiteLLM would look for one in the environment; the header that it makes of this is taken out again
_KEY_HEADERS = frozenset({"x-api-key", "authorization"})


class AnthropicDialect:
    """One Anthropic deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._config = AnthropicConfig()
        self._path = joined(deployment, "/v1/messages")
        supported = frozenset(self._config.get_supported_openai_params(deployment.model))
        self.limits = Limits(deployment.provider, facts.capabilities("anthropic", deployment.model), _TUNES & supported, fetches_https=True)

    def build(self, wanted: Wanted, *, stream: bool) -> Outgoing:
        """Translate a request."""
        model, params = self._deployment.model, dict(wanted.params)
        messages = without_blanks(wanted.messages, self.limits)
        dropped = yield_thinking(wanted, params)
        if "max_tokens" not in params and "max_completion_tokens" not in params and self._deployment.max_output_tokens is not None:
            params["max_tokens"] = self._deployment.max_output_tokens
        mapped = self._config.map_openai_params(choice_last(params), {}, model, drop_params=True)
        schema_tool = self._settle_schema(params, mapped)
        dropped |= unhonoured(wanted, mapped, _SHOWN_AS) | downgraded(params, mapped) | settle_thinking(mapped, max_tokens="max_tokens", top_p="top_p")
        internal: dict[str, Any] = {}
        headers = self._config.validate_environment(
            headers={},
            model=model,
            messages=messages,
            optional_params=mapped,
            litellm_params=internal,
            api_key=self._deployment.api_key or _NO_KEY,
            api_base=self._deployment.base_url,
        )
        for name in INTERNAL_PARAMS:
            mapped.pop(name, None)
        data = self._config.transform_request(model=model, messages=messages, optional_params=mapped, litellm_params=internal, headers=headers)
        data["stream"] = stream
        return Outgoing(self._path, self._wire_headers(headers), dump_json(data), schema_tool=schema_tool, dropped=frozenset(dropped))

    def _settle_schema(self, params: dict[str, Any], mapped: dict[str, Any]) -> str | None:
        """Return the name of the tool that stands for a schema, where there is one, and make the model call it."""
        if not any(tool.get("name") == _SCHEMA_TOOL for tool in mapped.get("tools") or ()):
            return None
        choice = choice_of(params)
        if choice is not Choice.CALLERS and not self._config.forced_tool_use_unsupported(self._deployment.model):
            single = {"disable_parallel_tool_use": True} if params.get("parallel_tool_calls") is False else {}
            mapped["tool_choice"] = {**({"type": "any"} if choice is Choice.ANY else {"type": "tool", "name": _SCHEMA_TOOL}), **single}
        return _SCHEMA_TOOL

    def _wire_headers(self, headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
        keyless = self._deployment.api_key is None
        return tuple((name.lower(), value) for name, value in headers.items() if not (keyless and name.lower() in _KEY_HEADERS))

    def whole(self, answer: dict[str, Any]) -> Spoken:
        """Read a whole message."""
        response = self._config.transform_parsed_response(
            completion_response={**answer, "usage": _UNCOUNTED}, raw_response=_NO_RESPONSE, model_response=ModelResponse(), json_mode=False
        )
        choice = response.choices[0]
        return Spoken((piece_of(choice, choice.message, finish=choice.finish_reason),), _usage(answer.get("usage")), answer.get("model"))

    def reader(self) -> Reader:
        """Return what reads one stream."""
        return _AnthropicReader(self._deployment)


class _AnthropicReader(Reader):
    """Ended by `message_stop`. The counts are cumulative; the last event may leave out what the first has said."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        self._counted: dict[str, Any] = {}
        self._calls = 0
        self._in_call = False
        self._silent = False  # a call has begun, and no character of its arguments has come yet

    def event(self, kind: str, event: dict[str, Any]) -> list[Piece]:
        del kind
        said = event.get("type")
        if said == "content_block_delta":
            return self._delta(event["delta"])
        if said == "content_block_start":
            return self._start(event["content_block"])
        if said == "content_block_stop":
            silent, self._in_call, self._silent = self._silent, False, False
            return [Piece(tools=(ToolPiece(self._calls - 1, arguments="{}"),))] if silent else []
        if said == "message_delta":
            self._count(event.get("usage"))
            return [Piece(finish=map_finish_reason(event["delta"].get("stop_reason") or "stop"))]
        if said == "message_start":
            self.model = event["message"].get("model")
            self._count(event["message"].get("usage"))
        self.ended = self.ended or said == "message_stop"
        return []

    def _start(self, block: dict[str, Any]) -> list[Piece]:
        self._in_call = self._silent = block["type"] in _CALLS
        if self._in_call:
            self._calls += 1
            return [Piece(tools=(ToolPiece(self._calls - 1, block["id"], block["name"]),))]
        return [Piece(content=block["text"])] if block["type"] == "text" else []

    def _delta(self, delta: dict[str, Any]) -> list[Piece]:
        if "text" in delta:
            return [Piece(content=delta["text"])]
        if "partial_json" in delta:
            return self._arguments(delta["partial_json"])
        return [Piece(reasoning=delta["thinking"])] if isinstance(delta.get("thinking"), str) and "citation" not in delta else []

    def _arguments(self, said: str) -> list[Piece]:
        """Read a part of a call's arguments; other blocks (a search's result) have such parts too."""
        if not self._in_call:
            return []
        self._silent = self._silent and not said
        return [Piece(tools=(ToolPiece(self._calls - 1, arguments=said),))]

    def _count(self, counted: dict[str, Any] | None) -> None:
        self._counted.update({key: value for key, value in (counted or {}).items() if value is not None})
        self.usage = _usage(self._counted)


def _usage(counted: dict[str, Any] | None) -> dict[str, Any] | None:
    """Read Anthropic's counts. `input_tokens` leaves out what was read from its cache or written to it."""
    if not counted or "output_tokens" not in counted:
        return None
    cached = int(counted.get("cache_read_input_tokens") or 0)
    prompt = int(counted.get("input_tokens") or 0) + int(counted.get("cache_creation_input_tokens") or 0) + cached
    thought = (counted.get("output_tokens_details") or {}).get("thinking_tokens")
    return usage(prompt, int(counted["output_tokens"]), cached=cached, reasoning=int(thought or 0))
