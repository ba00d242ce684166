"""What the operator adds: patterns and words to find, values and e-mail domains to leave alone.

Their database is a second one. Hyperscan tells where matches end, in linear time whatever the expression. Where one starts is asked of it again, on shorter
and shorter text: its own flag for that (SOM_LEFTMOST) crashes the process on expressions as plain as `a+b`, and Python's time is not linear.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

from app.domain import Tier
from app.policy.sensitivity.database import Database, refusal
from app.policy.sensitivity.fold import fold, is_lossy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from app.policy.sensitivity.database import Hit
    from app.policy.sensitivity.layout import Layer

_ANCHOR = re.compile(r"\\[AzZG]|(?<!\\)(?:\\\\)*[\^$]")
_ESCAPED = re.compile(r"\\[^AzZG]")
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[A-Za-z0-9]")
_REACH = 512  # code points before its end in which a match's start is looked for
_MAX_SEARCHES = 2_000  # in one layer, some 20 us each; further matches are told by their last character
_GAP_CHARS = 8  # between two words of a phrase
_AT = re.compile(r" ?(?:\(at\)|\[at\]|\{at\}|\bat\b) ?")
_DOT = re.compile(r" ?(?:\(dot\)|\[dot\]|\{dot\}|\bdot\b) ?")


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
        texts = [*words, *((None, value) for value in wanted.allow_values if not is_lossy(value))]
        self._patterns = wanted.patterns
        self._words = [(kind, re.compile(_literal(kind, text), re.IGNORECASE), _longest(text)) for kind, text in texts]
        triggers = [*((pattern.regex, False) for pattern in wanted.patterns), *((_literal(kind, text), True) for kind, text in texts)]
        self._database = Database(triggers, cache=cache) if triggers else None
        foreign = [*((kind, word) for kind, word in wanted.words if is_lossy(word)), *((None, value) for value in wanted.allow_values if is_lossy(value))]
        self._foreign_kinds = [kind for kind, _ in foreign]
        self._foreign = re.compile("|".join(f"({_foreign(kind, word)})" for kind, word in foreign), re.IGNORECASE) if foreign else None

    def find(self, layer: Layer, seen: Sequence[str]) -> tuple[Iterator[Match], Allowed]:
        """Return what stands in a layer, and what is to be left alone in it. `seen` are its texts in their own letters, "" where they are ASCII."""
        raw = layer.buffer.encode("ascii")
        hits = [] if self._database is None else self._database.hits(raw)
        words: list[Match] = []
        allowed: list[tuple[int, int]] = []
        for kind, start, end in (*self._word_spans(layer, hits), *self._foreign_spans(layer, seen)):
            if kind is None:
                allowed.append((start, end))
            else:
                words.append(Match(kind, Tier.HARD, start, end))
        return chain(words, self._matches(layer, raw, hits)), Allowed(allowed, self._domains)

    def _word_spans(self, layer: Layer, hits: Sequence[Hit]) -> Iterator[tuple[str | None, int, int]]:
        text = layer.buffer
        for number, end in hits:
            if number >= len(self._patterns):
                kind, expression, longest = self._words[number - len(self._patterns)]
                for match in expression.finditer(text, max(0, end - longest), end):
                    if match.end() == end and _stands_alone(text, match.start(), end):
                        yield kind, match.start(), end

    def _matches(self, layer: Layer, raw: bytes, hits: Sequence[Hit]) -> Iterator[Match]:
        """Yield the patterns' matches: of those that end side by side, the last."""
        searches = 0
        for low, high in sorted({layer.bounds(end - 1) for number, end in hits if number < len(self._patterns)}):
            ends: dict[int, list[int]] = {}
            for number, end in self._hits(raw[low:high]):  # its text alone: a match may have begun in another one
                if number < len(self._patterns):
                    ends.setdefault(number, []).append(low + end)
            for number, found in ends.items():
                pattern = self._patterns[number]
                for end, following in zip(found, [*found[1:], 0], strict=True):
                    if following != end + 1:
                        searches += 1
                        start = self._start(raw, number, max(low, end - _REACH), end) if searches <= _MAX_SEARCHES else end - 1
                        yield Match(pattern.kind, pattern.tier, start, end)

    def _start(self, raw: bytes, number: int, low: int, end: int) -> int:
        """Return the start of the shortest match that ends at `end`; `low` where it is longer than can be seen."""
        high = end - 1
        while low < high:
            middle = (low + high + 1) // 2
            if (number, end - middle) in self._hits(raw[middle:end]):
                low = middle
            else:
                high = middle - 1
        return low

    def _hits(self, raw: bytes) -> list[Hit]:
        return [] if self._database is None else self._database.hits(raw)

    def _foreign_spans(self, layer: Layer, seen: Sequence[str]) -> Iterator[tuple[str | None, int, int]]:
        if self._foreign is None:
            return
        for number, text in enumerate(seen):
            if text:
                at = layer.start(number)
                for match in self._foreign.finditer(text):
                    yield self._foreign_kinds[(match.lastindex or 1) - 1], at + match.start(), at + match.end()


def complaint(regex: str) -> str | None:
    """Return why an expression cannot be one of the operator's, as the end of a sentence; None where it can."""
    if not regex.isascii():
        return "must be ASCII, because texts are folded before they are scanned (e for \u00e9, a plain digit for a full-width one)"
    if _ANCHOR.search(_CLASS.sub("x", _ESCAPED.sub("x", regex))):
        return r"cannot use ^ or $, because all texts of a request are scanned as one; write \b for the border of a word"
    why = refusal(regex)
    return None if why is None else f"is not taken by Hyperscan: {why}"


def _gap(kind: str | None) -> str:
    """Return what may stand between two words: any white space, and in a phrase what joins words in names of files and branches. A value has no kind."""
    return rf"[\s{'' if kind is None else '_-'}]{{1,{_GAP_CHARS}}}"


def _literal(kind: str | None, text: str) -> str:
    """Return an expression for a folded word, phrase or value."""
    return _gap(kind).join(map(re.escape, _SPACE.split(fold(text).text.strip())))


def _longest(text: str) -> int:
    """Return how many code points a word or phrase can take up."""
    return len(text) + _GAP_CHARS * len(_SPACE.findall(text))


def _foreign(kind: str | None, text: str) -> str:
    """Return an expression for a word in letters that folding loses. Where a script has no case it has no borders between words either."""
    before = r"(?<!\w)" if _is_cased(text[0]) else ""
    return before + _gap(kind).join(map(re.escape, text.split())) + (r"(?!\w)" if _is_cased(text[-1]) else "")


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
