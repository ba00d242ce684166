"""Reads an OpenAI event stream in passing: what may go on to the caller, when the first token came, what it cost, and whether its end is honest.

No I/O: `feed` takes bytes cut anywhere and returns the bytes to pass on; `finish` takes the upstream's clean end. Lines end with LF, CR or CRLF and with
nothing else (U+2028 is content). Format: WHATWG HTML, "Server-sent events", and OpenAI's `chat.completion.chunk`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import jiter
import orjson

from app.domain import Failure, Usage
from app.errors import GatewayError, UpstreamError, without_frames
from app.gateway.stream_shape import Shape
from app.utils.json import dump_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.gateway.transcript import Transcript

DONE = b"data: [DONE]\n\n"
FAILED = "error"  # how Mistral and OpenRouter finish a choice that they cannot go on with
KEEP_ALIVE = b": waiting for the first token\n\n"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # the format allows one before the first event

_MAX_SHAPES = 4  # to make one costs as much as reading some chunks: a stream whose chunks have no common shape is not tried again and again
_MAX_EVENT_BYTES = 16 * 1024 * 1024
_OF_EVERY_CHUNK = frozenset({"id", "created", "model", "system_fingerprint", "service_tier"})


class StreamWatch:
    """The state of one stream. `include_usage` says whether the caller asked for the usage chunk, which the gateway always asks for.

    `classify` says what an error object inside the stream means; `transcript` hears what is said.
    """

    def __init__(
        self,
        *,
        include_usage: bool,
        classify: Callable[[Mapping[str, Any]], UpstreamError] | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        self.started = False  # a first token has been seen
        self.ended = False  # `[DONE]` has been read: nothing after it counts
        self.usage: Usage | None = None
        self.content_chars = 0
        self._chars_beside = 0
        self.broken: UpstreamError | None = None
        self.transcript = transcript
        self._include_usage = include_usage
        self._classify = classify
        self._told: Mapping[str, Any] | None = None  # usage as the upstream said it last,
        self._told_event = b""  # and the event, where it says that alone
        self._waiting: list[bytes] = []  # the parts of an event that is not yet whole
        self._waiting_bytes = 0
        self._after_cr = False
        self._seen: set[int] = set()  # the indexes of choices
        self._finished: set[int] = set()
        self._last: dict[str, Any] = {}
        self._shape: Shape | None = None
        self._shapes_left = _MAX_SHAPES

    @property
    def said_chars(self) -> int:
        """How many characters of content, thoughts, refusals and calls have come, of which an estimate is made where nobody counts tokens."""
        return self.content_chars + self._chars_beside

    def feed(self, data: bytes) -> bytes:
        """Return what may go on to the caller.

        Raises UpstreamError for an error event, and for what is not the format; `broken` holds it instead where a token that came before it may still go on.
        """
        if self.forward(data, _taken):
            return data
        if b"\r" in data or self._after_cr:
            data = self._unify_newlines(data)
        whole = self._whole_events(data)
        passed: list[bytes] = []
        try:
            passed.extend(kept for event in whole.split(b"\n\n") if event and (kept := self._take(event)))
        except UpstreamError as error:
            if not (self.started and passed):
                raise
            self.broken = without_frames(error)
        return b"\n\n".join([*passed, b""]) if passed else b""

    def forward(self, data: bytes, take: Callable[[bytes], bool]) -> bool:
        """Give `data` to `take` where it is whole chunks of the last shape, which may go on as they are, and read them where they were taken."""
        shape = self._shape
        if shape is None or self._waiting or self._after_cr or self.ended:
            return False
        text = shape.read(data)
        if text is None or not take(data):
            return False
        self.content_chars += len(text)
        transcript = self.transcript
        if transcript is not None and transcript.wants_texts:  # a text alone is no blob
            transcript.hear(shape.index, {"content": text})
        return True

    def _whole_events(self, data: bytes) -> bytes:
        """Return the events that `data` completes, and keep what follows. Each byte is looked at once, however small the pieces are."""
        closes = bool(self._waiting) and self._waiting[-1].endswith(b"\n") and data.startswith(b"\n")
        end = data.rfind(b"\n\n")
        cut = end + 2 if end >= 0 else int(closes)
        if cut == 0:
            self._wait_for_more(data)
            return b""
        whole = b"".join([*self._waiting, data[:cut]])
        self._waiting = []
        self._waiting_bytes = 0
        self._wait_for_more(data[cut:])
        return whole

    def _wait_for_more(self, part: bytes) -> None:
        if not part:
            return
        self._waiting.append(part)
        self._waiting_bytes += len(part)
        if self._waiting_bytes > _MAX_EVENT_BYTES:
            raise UpstreamError(Failure.BROKEN)

    def finish(self, choices: int = 1) -> bytes:
        """Return the last bytes of a stream whose upstream ended cleanly; `choices` is how many answers were asked for.

        Raises UpstreamError where a choice lacks its finish reason, or is missing without an upstream's own end (some servers give one, whatever is asked).
        """
        rest = self.feed(b"\n\n") if self._waiting else b""
        if self.broken is not None:
            raise self.broken
        if not self._seen or self._seen != self._finished or (not self.ended and len(self._finished) < choices):
            raise UpstreamError(Failure.BROKEN)
        return rest + DONE

    def usage_chunk(self, usage: Usage) -> bytes:
        """Return the one usage chunk of a caller that asked for it: what the upstream said last, else `usage`."""
        if not self._include_usage:
            return b""
        if self._told_event:
            return self._told_event + b"\n\n"
        kept = {name: value for name, value in self._last.items() if name in _OF_EVERY_CHUNK}
        told: Mapping[str, Any] | None = self._told
        if told is None:
            total = usage.prompt_tokens + usage.completion_tokens
            told = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": total}
            told |= {"estimated": True} if usage.estimated else {}
        return b"data: " + dump_json({**kept, "object": "chat.completion.chunk", "choices": [], "usage": told}) + b"\n\n"

    def _unify_newlines(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, event: bytes) -> bytes:
        """Return what of an event goes on to the caller: it as it stands, nothing, or all but its usage."""
        if event.startswith(b"data: ") and b"\n" not in event:
            payload = event[6:]
        else:
            if not self._last:
                event = event.removeprefix(_BYTE_ORDER_MARK)
            lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
            if not lines:  # a comment, or fields that carry no data
                return event if self.started and event.startswith(b":") else b""
            payload = b"\n".join(lines)
        if self.ended:
            return b""
        if payload.strip() == b"[DONE]":
            self.ended = True
            return b""
        return self._read(payload, event)

    def _read(self, payload: bytes, event: bytes) -> bytes:
        try:
            chunk = jiter.from_json(payload, cache_mode="keys")
        except ValueError:
            raise UpstreamError(Failure.BROKEN) from None
        if not isinstance(chunk, dict):
            raise UpstreamError(Failure.BROKEN)
        error = chunk.get("error")
        if error:
            raise self._classify(error) if self._classify is not None and isinstance(error, dict) else UpstreamError(Failure.BROKEN)
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        self._last = chunk
        is_first = not self._seen  # which names a role besides: none that follows has its shape
        if choices:
            if not isinstance(choices, list):
                raise UpstreamError(Failure.BROKEN)
            for choice in choices:
                self._choice(choice)
        if usage:
            self._hear_usage(usage, event if choices == [] else b"")
            return b"data: " + dump_json({**chunk, "usage": None}) if choices else b""
        if choices and self._shapes_left and not (is_first or self._finished) and event.startswith(b"data: "):
            self._learn_shape(event, chunk)
        if self._finished:
            self._hear_elsewhere(chunk, choices[0] if choices else {})
        return event if choices or self.started else b""  # one without choices is a prompt-filter chunk, say

    def _learn_shape(self, event: bytes, chunk: Mapping[str, Any]) -> None:
        shape = Shape.of(event, chunk)
        if shape is not None:
            self._shape = shape
            self._shapes_left -= 1

    def _hear_usage(self, usage: Any, event: bytes = b"") -> None:
        """Keep a count for the end, where it is passed on once: some servers repeat it in each chunk."""
        counted = read_usage(usage)
        if counted is not None:
            self.usage, self._told, self._told_event = counted, usage, event

    def _hear_elsewhere(self, chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        """Look where others put usage, in a last chunk: Groq in `x_groq`, Moonshot in the choice. Groq says there too why it stopped early."""
        own = chunk.get("x_groq")
        if isinstance(own, dict) and own.get("error"):
            raise UpstreamError(Failure.BROKEN)
        usage = own.get("usage") if isinstance(own, dict) else choice.get("usage")
        if usage:
            self._hear_usage(usage)

    def _choice(self, choice: Any) -> None:
        if not isinstance(choice, dict):
            raise UpstreamError(Failure.BROKEN)
        index = choice.get("index") or 0
        if type(index) is not int:
            raise UpstreamError(Failure.BROKEN)
        self._seen.add(index)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            if self.transcript is not None:
                self.transcript.hear(index, delta)
            self._chars_beside += chars_beside(delta)
            text = delta.get("content")
            if text and isinstance(text, str):
                self.started = True
                self.content_chars += len(text)
            elif not self.started:
                self.started = any(value for name, value in delta.items() if name != "role")
        reason = choice.get("finish_reason")
        if reason == FAILED:
            raise UpstreamError(Failure.BROKEN)
        if reason:
            self._finished.add(index)
            self.started = True


def _taken(_: bytes) -> bool:
    return True


def read_usage(usage: Any) -> Usage | None:
    """Return the counts of an OpenAI `usage` object, or None where it has none that can be one."""
    if not isinstance(usage, dict):
        return None
    prompt, completion, details = usage.get("prompt_tokens"), usage.get("completion_tokens"), usage.get("prompt_tokens_details")
    if not _is_count(prompt):
        return None
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(prompt, completion if _is_count(completion) else 0, cached if cached and _is_count(cached) else 0)


def chars_beside(said: Mapping[str, Any]) -> int:
    """Return how many characters a delta or a message says beside its content: thoughts (some servers name them twice), a refusal, arguments of calls."""
    calls = said.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    texts = [said.get("reasoning_content") or said.get("reasoning"), said.get("refusal")]
    texts.extend(function.get("arguments") for function in functions if isinstance(function, dict))
    return sum(len(text) for text in texts if isinstance(text, str))


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**53


def error_event(error: GatewayError) -> bytes:
    """Return the event that ends a stream dishonestly begun; SDKs raise APIError on a truthy `error`."""
    return b"data: " + orjson.dumps(error.body()) + b"\n\n"
