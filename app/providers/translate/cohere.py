"""Cohere's v2 chat: LiteLLM builds the request, the answer is read here.

LiteLLM's reader of v2 streams looks for tool calls, the finish reason and usage where v2 does not have them, and its reader of whole answers calls every
end `stop`. Format: docs.cohere.com, "Chat with Streaming" (v2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litellm.llms.cohere.chat.v2_transformation import CohereV2ChatConfig

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.translate import facts
from app.providers.translate.dialect import Outgoing, Reader, joined
from app.providers.translate.pieces import Piece, Spoken, ToolPiece, as_text, usage
from app.providers.translate.wanted import Limits, refuse
from app.utils.json import dump_json

if TYPE_CHECKING:
    from app.domain import Deployment
    from app.providers.translate.wanted import Wanted

_TUNES = frozenset({"temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "frequency_penalty", "presence_penalty"})
_CHOICES = {"required": "REQUIRED", "none": "NONE"}
_FINISHES = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
_FAILURES = {"ERROR": Failure.BROKEN, "ERROR_LIMIT": Failure.CONTEXT_EXCEEDED, "TIMEOUT": Failure.TIMEOUT}


class CohereDialect:
    """One Cohere deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._config = CohereV2ChatConfig()
        self._path = joined(deployment, "/v2/chat")
        self.limits = Limits(deployment.provider, facts.capabilities("cohere_chat", deployment.model), _TUNES)
        key = deployment.api_key
        self._headers = (("content-type", "application/json"), *((("authorization", f"Bearer {key}"),) if key else ()))

    def build(self, wanted: Wanted, *, stream: bool) -> Outgoing:
        """Translate a request."""
        model, params, dropped = self._deployment.model, dict(wanted.params), set[str]()
        if isinstance(params.get("stop"), str):
            params["stop"] = [params["stop"]]
        if params.pop("parallel_tool_calls", None) is not None:
            dropped.add("parallel_tool_calls")
        for message in wanted.messages:
            if message.pop("name", None) is not None:
                dropped.add("messages.name")
        choice, shape = params.pop("tool_choice", "auto"), params.pop("response_format", None)
        mapped = self._config.map_openai_params(params, {}, model, drop_params=True)
        data = self._config.transform_request(model=model, messages=wanted.messages, optional_params=mapped, litellm_params={}, headers={})
        data["stream"] = stream
        if isinstance(choice, dict):
            self._force(data, choice["function"]["name"])
        elif choice in _CHOICES:
            data["tool_choice"] = _CHOICES[choice]
        if shape is not None:
            schema = (shape.get("json_schema") or {}).get("schema")
            data["response_format"] = {"type": "json_object", "json_schema": schema} if schema else {"type": "json_object"}
        return Outgoing(self._path, self._headers, dump_json(data), dropped=frozenset(dropped))

    def _force(self, data: dict[str, Any], name: str) -> None:
        """Force one tool: Cohere can only force some tool, so it is given no other."""
        data["tools"] = [tool for tool in data["tools"] if tool["function"]["name"] == name]
        data["tool_choice"] = "REQUIRED"
        if not data["tools"]:
            refuse(self.limits, "tool_choice", "names no tool of this request")

    def whole(self, answer: dict[str, Any]) -> Spoken:
        """Read a whole answer."""
        message = answer.get("message")
        if not isinstance(message, dict):  # an error is `{"message": "text"}`
            raise UpstreamError(Failure.BROKEN)
        content = [part for part in message.get("content") or () if isinstance(part, dict)]
        piece = Piece(
            content="".join(part.get("text") or "" for part in content),
            reasoning=(message.get("tool_plan") or "") + "".join(part.get("thinking") or "" for part in content),
            tools=tuple(_tool(number, call) for number, call in enumerate(message.get("tool_calls") or ())),
            finish=_finish(answer.get("finish_reason")),
        )
        return Spoken((piece,), _usage(answer.get("usage")))

    def reader(self) -> Reader:
        """Return what reads one stream."""
        return _CohereReader(self._deployment)


class _CohereReader(Reader):
    def event(self, kind: str, event: dict[str, Any]) -> list[Piece]:
        said = event.get("type") or kind
        delta = event.get("delta") or {}
        message = delta.get("message") or {}
        if said == "message-end":
            self.ended = True
            self.usage = _usage(delta.get("usage"))
            return [Piece(finish=_finish(delta.get("finish_reason")))]
        if said in ("tool-call-start", "tool-call-delta"):
            return [Piece(tools=(_tool(int(event.get("index") or 0), message["tool_calls"]),))]
        if said == "tool-plan-delta":
            return [Piece(reasoning=message.get("tool_plan") or "")]
        content = message.get("content")
        if said in ("content-start", "content-delta") and isinstance(content, dict):
            return [Piece(content=content.get("text") or "", reasoning=content.get("thinking") or "")]
        return []


def _tool(index: int, call: dict[str, Any]) -> ToolPiece:
    function = call.get("function") or {}
    return ToolPiece(index, call.get("id"), function.get("name"), as_text(function.get("arguments")))


def _finish(reason: str | None) -> str:
    if reason in _FAILURES:
        raise UpstreamError(_FAILURES[reason], provider_code=reason)
    return _FINISHES.get(reason or "", "stop")


def _usage(said: dict[str, Any] | None) -> dict[str, Any] | None:
    counted = (said or {}).get("tokens") or (said or {}).get("billed_units")
    if not counted:
        return None
    return usage(int(counted.get("input_tokens") or 0), int(counted.get("output_tokens") or 0))
