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
_SPOKEN = frozenset({"role", "content", "refusal"})


class Shape:
    """The literals of a chunk: before its text, behind it, and where it has `obfuscation` (OpenAI's padding against eavesdroppers) between the two."""

    __slots__ = ("_between", "_end", "_end_bytes", "_start", "_start_bytes", "index")

    def __init__(self, index: int, start: bytes, between: bytes, end: bytes) -> None:
        self.index = index  # of the choice that speaks
        self._start = start
        self._start_bytes = len(start)
        self._between = between.decode()
        self._end = end
        self._end_bytes = len(end)

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
        return cls(index, literals[0], b"".join(literals[1:-1]), literals[-1]) if _is_proven(literals, chunk) else None

    def read(self, data: bytes) -> str | None:
        """Return the text that chunks of this shape bring, where `data` is such chunks, whole, and nothing else."""
        at, end = self._start_bytes, len(data) - self._end_bytes
        if end < at or data[:at] != self._start or data[end:] != self._end:
            return None
        try:
            text = data[at:end].decode()
        except UnicodeDecodeError:
            return None
        if not text.isprintable():
            return self._read_each(data) if "\n\n" in text else None
        if self._between:
            text, found, padding = text.partition(self._between)
            if not found or '"' in padding or "\\" in padding:
                return None
        return None if '"' in text or "\\" in text else text

    def _read_each(self, data: bytes) -> str | None:
        said = ""
        for chunk in data[:-2].split(b"\n\n"):
            text = self.read(chunk + b"\n\n")
            if text is None:
                return None
            said += text
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
