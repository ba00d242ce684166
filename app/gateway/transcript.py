"""What an answer says, whole or in pieces: its blobs, and where it was confidential its texts, so that a later turn that carries them is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.policy.blobs import blobs_in
from app.policy.taint import arguments_text, custom_input, passage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PLAIN = frozenset({"role", "content", "refusal"})  # what most pieces are made of: no blob is in them
_SAID = ("content", "refusal", "reasoning_content", "reasoning")
_MAX_CHARS = 16 * 1024 * 1024  # of one answer: what a whole one may have


class Transcript:
    """Hears the messages of a whole answer, or the deltas of a stream. Without `texts` it keeps the blobs alone."""

    __slots__ = ("_blobs", "_chars", "_sealed", "_texts", "wants_texts")

    def __init__(self, *, texts: bool) -> None:
        self.wants_texts = texts
        self._texts: dict[tuple[int, str, int], list[str]] = {}
        self._blobs: dict[str, None] = {}
        self._sealed: dict[int, list[str]] = {}
        self._chars = 0

    def hear(self, choice: int, said: Mapping[str, Any]) -> None:
        """Take down one choice's message or delta."""
        if self.wants_texts:
            self._hear_texts(choice, said)
        if not _is_plain(said):
            for blob in blobs_in(said):
                if self._has_room(blob):
                    self._blobs[blob] = None
                    self._sealed.setdefault(choice, []).append(blob)

    def hear_whole(self, choices: Sequence[Any]) -> None:
        """Take down the `choices` of a whole `chat.completion`; what is no message says nothing."""
        for number, choice in enumerate(choices):
            message = choice.get("message") if isinstance(choice, dict) else None
            if isinstance(message, dict):
                self.hear(number, message)

    def passages(self) -> tuple[str, ...]:
        """Return the folded texts that are long enough to be known again."""
        joined = (("".join(pieces), key[1]) for key, pieces in self._texts.items())
        return tuple(dict.fromkeys(filter(None, (passage(arguments_text(text) if name == "arguments" else text) for text, name in joined))))

    def blobs(self) -> tuple[str, ...]:
        """Return the blobs, and what the pieces of one make together where a stream cut it."""
        return tuple(dict.fromkeys((*self._blobs, *("".join(pieces) for pieces in self._sealed.values()))))

    def _hear_texts(self, choice: int, said: Mapping[str, Any]) -> None:
        for name in _SAID:
            for text in _spoken(said.get(name)):
                self._keep((choice, name, 0), text)
        calls = said.get("tool_calls")
        for ordinal, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                index = call.get("index")
                place = index if type(index) is int else ordinal
                self._keep_arguments((choice, "arguments", place), call.get("function"))
                self._keep((choice, "input", place), custom_input(call) or "")
        self._keep_arguments((choice, "arguments", -1), said.get("function_call"))

    def _keep_arguments(self, key: tuple[int, str, int], function: object) -> None:
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, str):
            self._keep(key, arguments)

    def _keep(self, key: tuple[int, str, int], text: str) -> None:
        if text and self._has_room(text):
            self._texts.setdefault(key, []).append(text)

    def _has_room(self, text: str) -> bool:
        self._chars += len(text)
        return self._chars <= _MAX_CHARS


def may_hold_blobs(choices: Sequence[Any]) -> bool:
    """Say whether a message of a whole answer says more than most do: in these no blob is."""
    for choice in choices:
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict) and not _is_plain(message):
            return True
    return False


def _is_plain(said: Mapping[str, Any]) -> bool:
    for name in said:  # noqa: SIM110 -- twice as quick as `all`, for each piece of a stream
        if name not in _PLAIN and said[name]:
            return False
    return True


def _spoken(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (text for part in content if isinstance(part, dict) and isinstance(text := part.get("text"), str))
