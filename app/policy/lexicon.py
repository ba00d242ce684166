"""Which words, phrases and expressions stand for which signal of complexity: the built-in lists, and what an operator adds or takes away.

Everything is looked up in lower-case UTF-8. Hyperscan finds all words and phrases at once, in a text whose words stand between spaces; one with punctuation
within it is then looked for as it is, as are those in scripts without spaces; expressions go to Hyperscan, too, whose time is linear whatever they say.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.policy.complexity_words import IDEOGRAPHIC, PHRASES, WORDS
from app.policy.sensitivity.database import Database, Literals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# The built-in signals, in the order in which counts of them stand.
SIGNALS = ("length", "clauses", "parts", "quantities", "mathematics", "code", "reasoning", "building", "writing", "constraints", "technical", "simple")

_PUNCTUATION = b'.,;:!?()[]{}"<>/\\|*_`~-'
_NARROW = bytes(range(0xE3))  # what UTF-8 writes all scripts with that put spaces between words; kana, ideographs and Korean have bytes above
_BREAKS = _PUNCTUATION + b"\t\n\r\x0b\x0c"
_SPACES = bytes.maketrans(_BREAKS, b" " * len(_BREAKS)).lower()  # capitals of ASCII come out small
_LETTERS = bytes(byte if byte == ord(" ") else ord("x") for byte in range(256))


def spaced(raw: bytes) -> bytes:
    """Return ASCII, or UTF-8 in lower case, as words in lower case with a space on either side of each."""
    return b" %b " % raw.translate(_SPACES)


def count_words(words: bytes) -> int:
    """Return how many words there are in what `spaced` made."""
    return words.translate(_LETTERS).count(b" x")


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
        self._nothing: list[float] = [0] * len(self.names)
        words: dict[tuple[bytes, bytes], list[int]] = defaultdict(list)  # by how they stand between spaces, and with their punctuation
        literal: dict[str, list[int]] = defaultdict(list)
        own = [(word.lower(), signal.name) for signal in signals for word in signal.words]
        for text, name in [*(entry for entry in _built_in() if entry[0] not in leave_out), *own]:
            raw = text.encode()
            between = spaced(raw)
            if count_words(between) and _is_spaced(text):
                words[between, b"" if between[1:-1] == raw else raw].append(place_of[name])
            else:
                literal[text].append(place_of[name])
        self._words = Literals([between for between, _ in words])
        self.prepare = self._words.prepare  # what takes 10 ms before the first count
        self._places = [tuple(dict.fromkeys(places)) for places in words.values()]
        self._exact = {number: raw for number, (_, raw) in enumerate(words) if raw}
        self._literal_places = {text: tuple(dict.fromkeys(places)) for text, places in literal.items()}
        self._literal = _any_of(literal)
        self._narrow = _any_of(entry for entry in literal if not entry.encode().translate(None, _NARROW))
        self._ascii = _any_of(filter(str.isascii, literal))
        regexes = [(regex, place_of[signal.name]) for signal in signals for regex in signal.regexes]
        self._regex_places = [place for _, place in regexes]
        self._regexes = Database([(regex, True) for regex, _ in regexes]) if regexes else None
        self._looks_within = self._ascii is not None or self._regexes is not None  # ASCII, too

    def count(self, text: str, raw: bytes, words: bytes) -> list[float]:
        """Return how many entries of each signal of `names` are in a text; each counts once however often it stands.

        `text` is in lower case, or ASCII; `raw` is the same in UTF-8, `words` what `spaced` makes of it.
        """
        counts = self._nothing.copy()
        exact, places = self._exact, self._places
        for number in self._words.within(words):
            if number not in exact or exact[number] in raw.lower():
                for place in places[number]:
                    counts[place] += 1
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


def _any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    """Return an expression for any of some texts, the longest first; its time is linear, for it goes back over no more than one of them."""
    listed = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, listed))) if listed else None


def _is_spaced(text: str) -> bool:
    """Say whether a text is of scripts that put spaces between words: such scripts have letters in two cases."""
    return text.isascii() or all(char.upper() != char.lower() or not char.isalpha() for char in text)


BUILT_IN = Lexicon()
