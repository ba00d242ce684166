"""Gemini's `generateContent` on Google AI Studio, by way of LiteLLM. Format: ai.google.dev/api/generate-content.

A whole answer has the shape of a stream's chunk, and is read as a stream of one: LiteLLM's reader of whole answers throws away what was said before a
safety stop. It gives every chunk a finish reason; only the provider's own counts here. And it makes a dozen validated objects of every word, so chunks of
plain text, which are nearly all, are read here.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from litellm.litellm_core_utils.core_helpers import map_finish_reason
from litellm.llms.gemini.chat.transformation import GoogleAIStudioGeminiConfig
from litellm.llms.vertex_ai.gemini.transformation import transform_request_body
from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import ModelResponseIterator

from app.providers.translate import facts
from app.providers.translate.dialect import Outgoing, Reader, joined, unhonoured
from app.providers.translate.pieces import Piece, Spoken, piece_of, usage, usage_of
from app.providers.translate.wanted import Limits
from app.utils.json import dump_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.domain import Deployment
    from app.providers.translate.framing import Framing
    from app.providers.translate.wanted import Wanted

_TUNES = frozenset({"temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "frequency_penalty", "presence_penalty", "reasoning_effort"})
_SHOWN_AS = {
    "frequency_penalty": frozenset({"frequency_penalty"}),
    "presence_penalty": frozenset({"presence_penalty"}),
    "stop": frozenset({"stop_sequences"}),
}

# What a chunk of plain text has, read or of no concern to OpenAI's callers; with anything else in it, it is LiteLLM's to read.
_PLAIN_EVENT = frozenset({"candidates", "createTime", "modelVersion", "responseId", "usageMetadata"})
_PLAIN_CANDIDATE = frozenset({"avgLogprobs", "citationMetadata", "content", "finishMessage", "finishReason", "index", "safetyRatings", "tokenCount"})
_PLAIN_PART = frozenset({"text", "thought", "thoughtSignature"})
_PLAIN_COUNTS = frozenset(
    {
        "cacheTokensDetails",
        "cachedContentTokenCount",
        "candidatesTokenCount",
        "candidatesTokensDetails",
        "promptTokenCount",
        "promptTokensDetails",
        "thoughtsTokenCount",
        "totalTokenCount",
        "trafficType",
    }
)


class _Log:
    """What LiteLLM's iterator asks of its logging object: whether the older `functions` were asked for. They are not."""

    optional_params: Mapping[str, Any] = MappingProxyType({})


class GeminiDialect:
    """One Gemini deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._config = GoogleAIStudioGeminiConfig()
        self._path = joined(deployment, "/v1beta/models") + "/" + quote(deployment.model.removeprefix("models/"), safe="")
        supported = frozenset(self._config.get_supported_openai_params(deployment.model))
        self.limits = Limits(deployment.provider, facts.capabilities("gemini", deployment.model), _TUNES & supported)
        key = deployment.api_key
        self._headers = (("content-type", "application/json"), *((("x-goog-api-key", key),) if key else ()))

    def build(self, wanted: Wanted, *, stream: bool) -> Outgoing:
        """Translate a request."""
        model, params, dropped = self._deployment.model, dict(wanted.params), set[str]()
        if params.pop("parallel_tool_calls", None) is not None:
            dropped.add("parallel_tool_calls")
        mapped = self._config.map_openai_params(params, {}, model, drop_params=True)
        dropped |= unhonoured(wanted, mapped, _SHOWN_AS)
        data = transform_request_body(
            messages=wanted.messages, model=model, optional_params=mapped, custom_llm_provider="gemini", litellm_params={}, cached_content=None
        )
        method = ":streamGenerateContent?alt=sse" if stream else ":generateContent"
        return Outgoing(self._path + method, self._headers, dump_json(data), dropped=frozenset(dropped))

    def whole(self, answer: dict[str, Any]) -> Spoken:
        """Read a whole answer."""
        reader = self.reader()
        pieces = tuple(reader.event("", answer))
        return Spoken(pieces, reader.usage, reader.model)

    def reader(self) -> Reader:
        """Return what reads one stream."""
        return _GeminiReader(self._deployment)


class _GeminiReader(Reader):
    """A Gemini stream has no last word: it is whole when it ends and every candidate has said why it stopped."""

    def __init__(self, deployment: Deployment, framing: Framing | None = None) -> None:
        super().__init__(deployment, framing)
        self._iterator = ModelResponseIterator(streaming_response=iter(()), sync_stream=True, logging_obj=_Log())
        self._seen: set[int] = set()
        self._finished: set[int] = set()

    def flush(self) -> Iterator[Piece]:
        yield from super().flush()
        self.ended = bool(self._seen) and self._seen == self._finished

    def event(self, kind: str, event: dict[str, Any]) -> list[Piece]:
        del kind
        pieces = self._plain(event)
        if pieces is None:
            pieces = self._unusual(event)
        self._seen.update(piece.choice for piece in pieces)
        self._finished.update(piece.choice for piece in pieces if piece.finish is not None)
        return pieces

    def _plain(self, event: dict[str, Any]) -> list[Piece] | None:
        """Read a chunk of plain text; None for any other."""
        candidates, version, counts = event.get("candidates"), event.get("modelVersion") or "", event.get("usageMetadata") or {}
        if not candidates or not isinstance(version, str) or not event.keys() <= _PLAIN_EVENT or not counts.keys() <= _PLAIN_COUNTS:
            return None
        pieces = []
        for place, candidate in enumerate(candidates):
            piece = _plain_piece(place, candidate)
            if piece is None:
                return None
            pieces.append(piece)
        self.model = version.partition("@")[0] or self.model
        self.usage = _counted(counts) or self.usage
        return pieces

    def _unusual(self, event: dict[str, Any]) -> list[Piece]:
        chunk = self._iterator.chunk_parser(event)
        self.model = chunk.model or self.model
        self.usage = usage_of(getattr(chunk, "usage", None)) or self.usage
        blocked = bool((event.get("promptFeedback") or {}).get("blockReason"))
        stopped = {_index(place, candidate) for place, candidate in enumerate(event.get("candidates") or ()) if candidate.get("finishReason")}
        return [
            piece_of(choice, choice.delta, finish=choice.finish_reason if blocked or int(choice.index or 0) in stopped else None) for choice in chunk.choices
        ]


def _plain_piece(place: int, candidate: dict[str, Any]) -> Piece | None:
    """Read a candidate that says nothing but text; None for any other."""
    reason = candidate.get("finishReason")
    if not candidate.keys() <= _PLAIN_CANDIDATE or ("content" not in candidate and not reason):
        return None
    content = reasoning = ""
    for part in (candidate.get("content") or {}).get("parts") or ():
        text = part.get("text")
        if not part.keys() <= _PLAIN_PART or not isinstance(text, str) or text.startswith("data:"):
            return None
        if part.get("thought") is True:
            reasoning += text
        else:
            content += text
    return Piece(_index(place, candidate), content, reasoning, finish=map_finish_reason(reason) if reason else None)


def _index(place: int, candidate: dict[str, Any]) -> int:
    return int(candidate.get("index", place) or 0)


def _counted(counts: dict[str, Any]) -> dict[str, Any] | None:
    """Read Gemini's counts. `candidatesTokenCount` leaves out the thoughts, unless the total says that it does not."""
    if not counts:
        return None
    prompt, said, thought = (int(counts.get(name) or 0) for name in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"))
    within = prompt + said == int(counts.get("totalTokenCount") or 0)
    return usage(prompt, said if within else said + thought, cached=int(counts.get("cachedContentTokenCount") or 0), reasoning=thought)
