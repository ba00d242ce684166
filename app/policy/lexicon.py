"""Which words, phrases and expressions stand for which signal of complexity: the built-in lists, and what an operator adds or takes away.

Everything is looked up in lower-case UTF-8. A word is found by hash; a phrase is looked for only where its longest word stands; texts in scripts without
spaces, and words that punctuation would cut, are looked for as they are; expressions go to Hyperscan, whose time is linear whatever they say.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from app.policy.complexity_words import IDEOGRAPHIC, PHRASES, WORDS
from app.policy.sensitivity.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    _Others = dict[bytes, tuple[tuple[int, ...], tuple[tuple[bytes, int], ...]]]

# The built-in signals, in the order in which counts of them stand.
SIGNALS = ("length", "clauses", "parts", "quantities", "mathematics", "code", "reasoning", "building", "writing", "constraints", "technical", "simple")

_PUNCTUATION = b'.,;:!?()[]{}"<>/\\|*_`~-'
_SIMPLE = "simple"
_NARROW = bytes(range(0xE3))  # what UTF-8 writes all scripts with that put spaces between words; kana, ideographs and Korean have bytes above
_SPACES = bytes.maketrans(_PUNCTUATION, b" " * len(_PUNCTUATION)).lower()  # capitals of ASCII come out small


class _Table(NamedTuple):
    """Which words are looked up, and where each counts; of the words in `more`, which other places, and the phrases that it is the longest word of."""

    known: frozenset[bytes]
    place: dict[bytes, int]
    more: frozenset[bytes]
    others: _Others


def split(raw: bytes) -> list[bytes]:
    """Return the words, in lower case, of ASCII, or of UTF-8 in lower case."""
    return raw.translate(_SPACES).split()


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal of the operator's own, or more words for a built-in one: it is as strong as can be when `enough` of its entries are in a text."""

    name: str
    words: tuple[str, ...] = ()
    regexes: tuple[str, ...] = ()
    enough: int = 1


class Lexicon:
    """The entries by signal. Raises database.UnavailableError where there are expressions and Hyperscan cannot run."""

    def __init__(self, signals: Sequence[Signal] = (), ignored: Iterable[str] = ()) -> None:
        leave_out = {word.lower() for word in ignored}
        self.names = tuple(dict.fromkeys((*SIGNALS, *(signal.name for signal in signals))))
        place_of = {name: place for place, name in enumerate(self.names)}
        self._nothing: list[float] = [0] * (len(self.names) + 1)  # the last is nobody's: words count there that only stand in phrases
        words: dict[bytes, list[int]] = defaultdict(list)
        phrases: dict[bytes, list[tuple[bytes, int]]] = defaultdict(list)
        literal: dict[str, list[int]] = defaultdict(list)
        own = [(word.lower(), signal.name) for signal in signals for word in signal.words]
        for text, name in [*(entry for entry in _built_in() if entry[0] not in leave_out), *own]:
            raw, place = text.encode(), place_of[name]
            parts = split(raw)
            if not parts or not _is_spaced(text):
                literal[text].append(place)
            elif parts == [raw]:
                words[raw].append(place)
            else:
                phrases[max(reversed(parts), key=len)].append((raw, place))
        simple = place_of[_SIMPLE]
        self._short = _table(words, phrases, nobody=len(self.names))
        self._long = _table(
            {word: [place for place in places if place != simple] for word, places in words.items()},
            {word: [entry for entry in held if entry[1] != simple] for word, held in phrases.items()},
            nobody=len(self.names),
        )
        self._literal_places = {text: tuple(dict.fromkeys(places)) for text, places in literal.items()}
        self._literal = _any_of(literal)
        self._narrow = _any_of(entry for entry in literal if not entry.encode().translate(None, _NARROW))
        self._ascii = _any_of(filter(str.isascii, literal))
        regexes = [(regex, place_of[signal.name]) for signal in signals for regex in signal.regexes]
        self._regex_places = [place for _, place in regexes]
        self._regexes = Database([(regex, True) for regex, _ in regexes]) if regexes else None
        self._looks_within = self._ascii is not None or self._regexes is not None  # ASCII, too

    def count(self, text: str, raw: bytes, words: Iterable[bytes], *, is_short: bool = True) -> list[float]:
        """Return how many entries of each signal of `names` are in a text; each counts once however often it stands.

        `text` is in lower case, or ASCII; `raw` is the same in UTF-8, `words` what `split` makes of it. In a text that is not short nothing tells a simple
        ask, and its words and phrases are not looked for.
        """
        counts = self._nothing.copy()
        known, place, more, others = self._short if is_short else self._long
        found = known.intersection(words)
        for word in found:
            counts[place[word]] += 1
        if not more.isdisjoint(found):
            _count_more(raw.lower(), more.intersection(found), others, counts)
        if self._looks_within or not text.isascii():
            self._count_within(text, raw, counts)
        return counts

    def _count_within(self, text: str, raw: bytes, counts: list[float]) -> None:
        """Add what is looked for in the text as it is, and what expressions find there."""
        literal = self._ascii if text.isascii() else self._literal if raw.translate(None, _NARROW) else self._narrow
        if literal is not None:
            for entry in set(literal.findall(text.lower())):
                for each in self._literal_places[entry]:
                    counts[each] += 1
        if self._regexes is not None:
            for number in {number for number, _ in self._regexes.hits(raw)}:
                counts[self._regex_places[number]] += 1


def _built_in() -> Iterator[tuple[str, str]]:
    for listed in (WORDS, PHRASES, IDEOGRAPHIC):
        for name, texts in listed.items():
            yield from ((text, name) for text in texts)


def _count_more(low: bytes, words: Iterable[bytes], others: _Others, counts: list[float]) -> None:
    """Add where words count besides, and the phrases of theirs that stand in a text."""
    for word in words:
        places, phrases = others[word]
        for place in places:
            counts[place] += 1
        for phrase, place in phrases:
            if low.find(phrase) >= 0:
                counts[place] += 1


def _table(words: Mapping[bytes, Sequence[int]], phrases: Mapping[bytes, Sequence[tuple[bytes, int]]], *, nobody: int) -> _Table:
    entries = {word: (tuple(dict.fromkeys(words.get(word, ()))), tuple(phrases.get(word, ()))) for word in {**words, **phrases}}
    entries = {word: found for word, found in entries.items() if any(found)}
    others = {word: (places[1:], held) for word, (places, held) in entries.items() if held or len(places) > 1}
    return _Table(frozenset(entries), {word: places[0] if places else nobody for word, (places, _) in entries.items()}, frozenset(others), others)


def _any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    """Return an expression for any of some texts, the longest first; its time is linear, for it goes back over no more than one of them."""
    listed = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, listed))) if listed else None


def _is_spaced(text: str) -> bool:
    """Say whether a text is of scripts that put spaces between words: such scripts have letters in two cases."""
    return text.isascii() or all(char.upper() != char.lower() or not char.isalpha() for char in text)


BUILT_IN = Lexicon()
