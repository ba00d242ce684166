"""Reads an ordinary chunk of a stream by the shape of the one before it, without parsing its JSON.

The chunks of a stream differ in little but the text that they bring. A shape is the bytes of one chunk with a hole where its text stood, between the quotes of
a JSON string. Bytes that fit (the same literals, and in each hole printable UTF-8 without a quote or a backslash) parse to the same object with other
strings in the holes, for inside a JSON string (RFC 8259, section 7) nothing else has a meaning. That a hole is the text's is not guessed: when a shape is made,
the chunk is parsed again with something else in its holes. What does not fit is read as any other event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import jiter

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROBE = "sluice"
_BACKSLASH = ord("\\")  # a number is found in bytes without asking first whether it is one
_SPOKEN = frozenset({"role", "content", "refusal"})


class Shape:
    """The literals of a chunk: before its text, behind it, and where it has `obfuscation` (OpenAI's padding against eavesdroppers) behind that too."""

    __slots__ = ("_literals", "_start", "_start_bytes", "index")

    def __init__(self, index: int, start: bytes, literals: tuple[bytes, ...]) -> None:
        self.index = index  # of the choice that speaks
        self._start = start
        self._start_bytes = len(start)
        self._literals = [(literal, len(literal)) for literal in literals]

    @classmethod
    def of(cls, event: bytes, chunk: Mapping[str, Any]) -> Self | None:
        """Return the shape of an event (one `data:` line) that was parsed as `chunk`, or None where that does more than bring a piece of text."""
        index, text = _piece(chunk)
        if text is None:
            return None
        padding = chunk.get("obfuscation")
        holes = [("content", text), ("obfuscation", padding)] if isinstance(padding, str) else [("content", text)]
        literals: list[bytes] = []
        at = 0
        for name, value in holes:
            start = _hole(event, name, value, at)
            if start < 0:
                return None
            literals.append(event[at:start])
            at = start + len(value.encode())
        literals.append(event[at:] + b"\n\n")
        return cls(index, literals[0], tuple(literals[1:])) if _is_proven(literals, chunk) else None

    def read(self, data: bytes) -> str | None:
        """Return the text that chunks of this shape bring, where `data` is such chunks, whole, and nothing else."""
        said, at, size = "", 0, len(data)
        while at < size:
            if data[at : at + self._start_bytes] != self._start:
                return None
            at += self._start_bytes
            is_text = True  # in the first hole
            for literal, length in self._literals:
                end = data.find(b'"', at)
                if end < 0 or data[end : end + length] != literal:
                    return None
                raw = data[at:end]
                try:
                    text = raw.decode()
                except UnicodeDecodeError:
                    return None
                if _BACKSLASH in raw or not text.isprintable():
                    return None
                if is_text:
                    said += text
                    is_text = False
                at = end + length
        return said


def _piece(chunk: Mapping[str, Any]) -> tuple[int, str | None]:
    """Return the choice and the text of a chunk that brings text and nothing else."""
    choices = chunk["choices"]
    if len(choices) != 1 or chunk.get("usage") or "x_groq" in chunk:
        return 0, None
    choice = choices[0]
    delta = choice.get("delta")
    if not isinstance(delta, dict) or not delta.keys() <= _SPOKEN or delta.get("refusal") or choice.get("finish_reason") or choice.get("usage"):
        return 0, None
    text = delta.get("content")
    return choice.get("index") or 0, text if text and isinstance(text, str) else None


def _hole(event: bytes, name: str, value: str, at: int) -> int:
    """Return where the string `value` of the key `name` begins, or -1 where it cannot be told or holds escapes."""
    for key in (f'"{name}":"', f'"{name}": "'):
        found = event.find(f'{key}{value}"'.encode(), at)
        if found >= 0 and '"' not in value and "\\" not in value:
            return found + len(key)
    return -1


def _is_proven(literals: list[bytes], chunk: Mapping[str, Any]) -> bool:
    """Parse the chunk with other strings in its holes: nothing else may have changed."""
    choice = chunk["choices"][0]
    expected = {**chunk, "choices": [{**choice, "delta": {**choice["delta"], "content": _PROBE}}]}
    if len(literals) > 2:
        expected["obfuscation"] = _PROBE
    probed = _PROBE.encode().join(literals)
    try:
        return bool(probed.startswith(b"data: ") and jiter.from_json(probed[6:]) == expected)
    except ValueError:
        return False
