"""What the operator adds: patterns and words to find, values and e-mail domains to leave alone.

Their database is a second one, with the start of each match: Hyperscan's time is linear whatever the expression, Python's is not.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from app.domain import Tier
from app.policy.sensitivity.database import SpanDatabase
from app.policy.sensitivity.fold import fold, is_lossy
from app.policy.sensitivity.layout import BREAK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from app.policy.sensitivity.layout import Layer

_ANCHOR = re.compile(r"\\[AzZG]|(?<!\\)(?:\\\\)*[\^$]")
_ESCAPED = re.compile(r"\\[^AzZG]")
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[A-Za-z0-9]")
_AT = re.compile(r" ?(?:\(at\)|\[at\]|\bat\b) ?")
_DOT = re.compile(r" ?(?:\(dot\)|\[dot\]|\bdot\b) ?")


@dataclass(frozen=True, slots=True)
class Expression:
    """One pattern of the operator's, over folded text."""

    kind: str
    regex: str = field(repr=False)
    tier: Tier = Tier.HARD


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that the operator says of what to find and what to leave alone. A word is (kind, word or phrase); a domain stands for its sub-domains too."""

    patterns: tuple[Expression, ...] = ()
    words: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    allow_values: tuple[str, ...] = field(default=(), repr=False)
    allow_domains: tuple[str, ...] = ()


class Match(NamedTuple):
    """A place in a layer's buffer."""

    kind: str
    tier: Tier
    start: int
    end: int


class Allowed:
    """Where values stand that are to be left alone."""

    __slots__ = ("_domains", "_ends", "_starts")

    def __init__(self, spans: Sequence[tuple[int, int]] = (), domains: frozenset[str] = frozenset()) -> None:
        ordered = sorted(spans)
        self._starts = [start for start, _ in ordered]
        self._ends = list(accumulate((end for _, end in ordered), max))  # the furthest end of all that start there or before
        self._domains = domains

    def holds(self, kind: str, text: str, start: int, end: int) -> bool:
        """Say whether a finding is part of an allowed value, or an e-mail address of an allowed domain."""
        place = bisect_right(self._starts, start) - 1
        if place >= 0 and self._ends[place] >= end:
            return True
        return bool(self._domains) and kind == "email" and not self._domains.isdisjoint(_hosts(text[start:end]))


class Custom:
    """Finds what the operator named. Raises UnavailableError where the library cannot be loaded."""

    def __init__(self, wanted: Wanted, *, cache: Path | None = None) -> None:
        self._domains = frozenset(domain.lower().strip("@.") for domain in wanted.allow_domains)
        words = [(kind, word) for kind, word in wanted.words if not is_lossy(word)]
        values = [value for value in wanted.allow_values if not is_lossy(value)]
        self._kinds: list[tuple[str | None, Tier]] = [
            *((pattern.kind, pattern.tier) for pattern in wanted.patterns),
            *((kind, Tier.HARD) for kind, _ in words),
            *((None, Tier.HARD) for _ in values),
        ]
        self._patterns = len(wanted.patterns)
        expressions = [
            *((pattern.regex, False) for pattern in wanted.patterns),
            *((_literal(text), True) for text in (*(word for _, word in words), *values)),
        ]
        self._database = SpanDatabase(expressions, cache=cache) if expressions else None
        foreign = [*((kind, word) for kind, word in wanted.words if is_lossy(word)), *((None, value) for value in wanted.allow_values if is_lossy(value))]
        self._foreign_kinds = [kind for kind, _ in foreign]
        self._foreign = re.compile("|".join(f"({_foreign(word)})" for _, word in foreign), re.IGNORECASE) if foreign else None

    def find(self, layer: Layer, seen: Sequence[str]) -> tuple[list[Match], Allowed]:
        """Return what stands in a layer, and what is to be left alone in it. `seen` are its texts in their own letters, "" where they are ASCII."""
        found: list[Match] = []
        allowed: list[tuple[int, int]] = []
        for kind, tier, start, end in (*self._spans(layer), *self._foreign_spans(layer, seen)):
            if kind is None:
                allowed.append((start, end))
            else:
                found.append(Match(kind, tier, start, end))
        return found, Allowed(allowed, self._domains)

    def _spans(self, layer: Layer) -> Iterator[tuple[str | None, Tier, int, int]]:
        if self._database is None:
            return
        again: dict[int, set[int]] = {}
        for number, start, end in self._longest(layer.buffer):
            if BREAK in layer.buffer[start:end]:
                again.setdefault(layer.bounds(end - 1)[0], set()).add(number)
            elif number < self._patterns or _stands_alone(layer.buffer, start, end):
                yield *self._kinds[number], start, end
        for low, numbers in again.items():  # a match that began in another text may hide one that begins in this one
            text = layer.buffer[low : layer.bounds(low)[1]]
            for number, start, end in self._longest(text):
                if number in numbers and BREAK not in text[start:end]:
                    yield *self._kinds[number], low + start, low + end

    def _longest(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield the longest match from each start: Hyperscan tells every end."""
        ends: dict[tuple[int, int], int] = {}
        if self._database is not None:
            for number, start, end in self._database.spans(text.encode("ascii")):
                ends[number, start] = max(end, ends.get((number, start), 0))
        return ((number, start, end) for (number, start), end in ends.items())

    def _foreign_spans(self, layer: Layer, seen: Sequence[str]) -> Iterator[tuple[str | None, Tier, int, int]]:
        if self._foreign is None:
            return
        for number, text in enumerate(seen):
            if text:
                at = layer.start(number)
                for match in self._foreign.finditer(text):
                    yield self._foreign_kinds[(match.lastindex or 1) - 1], Tier.HARD, at + match.start(), at + match.end()


def complaint(regex: str) -> str | None:
    """Return why an expression cannot be one of the operator's, as the end of a sentence; None where it can."""
    if not regex.isascii():
        return "must be ASCII, because texts are folded before they are scanned (e for \u00e9, a plain digit for a full-width one)"
    if _ANCHOR.search(_CLASS.sub("x", _ESCAPED.sub("x", regex))):
        return r"cannot use ^ or $, because all texts of a request are scanned as one; write \b for the border of a word"
    refusal = SpanDatabase.refusal(regex)
    return None if refusal is None else f"is not taken by Hyperscan: {refusal}"


def _literal(text: str) -> str:
    """Return an expression for a folded word or phrase; any white space stands for any other."""
    return r"\s{1,8}".join(re.escape(part).replace(r"\ ", " ") for part in _SPACE.split(fold(text).text.strip()))


def _foreign(text: str) -> str:
    """Return an expression for a word in letters that folding loses. Where a script has no case it has no borders between words either."""
    before = r"(?<!\w)" if _is_cased(text[0]) else ""
    return before + r"\s{1,8}".join(re.escape(part) for part in text.split()) + (r"(?!\w)" if _is_cased(text[-1]) else "")


def _is_cased(char: str) -> bool:
    return char.lower() != char.upper() or char.isdigit()


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Say whether a word has borders where it starts and ends with a letter or digit; an underscore is one."""
    return not (
        (start and _WORD.match(text[start]) and _WORD.match(text[start - 1])) or (end < len(text) and _WORD.match(text[end - 1]) and _WORD.match(text[end]))
    )


def _hosts(address: str) -> Iterator[str]:
    """Yield the domain of an e-mail address and each domain above it."""
    plain = _DOT.sub(".", _AT.sub("@", address.lower()))
    host = plain.rpartition("@")[2]
    while host:
        yield host
        host = host.partition(".")[2]
