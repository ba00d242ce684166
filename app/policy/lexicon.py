"""Which words, phrases and expressions stand for which signal of complexity: the built-in lists, and what an operator adds or takes away.

Everything is looked up in lower-case UTF-8. A word is found by hash; a phrase is looked for only where its longest word stands; texts in scripts without
spaces, and words that punctuation would cut, are looked for as they are; expressions go to Hyperscan, whose time is linear whatever they say.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.policy.complexity_words import IDEOGRAPHIC, PHRASES, WORDS
from app.policy.sensitivity.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PUNCTUATION = b'.,;:!?()[]{}"<>/\\|*_`~-'
_SPACES = bytes.maketrans(_PUNCTUATION, b" " * len(_PUNCTUATION))


def split(lowered: bytes) -> list[bytes]:
    """Return the words of a text in lower-case UTF-8."""
    return lowered.translate(_SPACES).split()


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
        words: dict[bytes, list[str]] = defaultdict(list)
        phrases: dict[bytes, list[tuple[bytes, str]]] = defaultdict(list)
        literal: dict[str, list[str]] = defaultdict(list)
        own = [(word.lower(), signal.name) for signal in signals for word in signal.words]
        for text, name in [*(entry for entry in _built_in() if entry[0] not in leave_out), *own]:
            raw = text.encode()
            parts = split(raw)
            if not parts or not _is_spaced(text):
                literal[text].append(name)
            elif parts == [raw]:
                words[raw].append(name)
            else:
                phrases[max(reversed(parts), key=len)].append((raw, name))
        self._names = {word: tuple(dict.fromkeys(names)) for word, names in words.items()}
        self._phrases = {word: tuple(held) for word, held in phrases.items()}
        self._words = frozenset(words)
        self._phrase_words = frozenset(phrases)
        self._known = self._words | self._phrase_words
        self._literal_names = {text: tuple(dict.fromkeys(names)) for text, names in literal.items()}
        self._literal = _any_of(literal)
        self._ascii = _any_of(filter(str.isascii, literal))
        regexes = [(regex, signal.name) for signal in signals for regex in signal.regexes]
        self._regex_names = [name for _, name in regexes]
        self._regexes = Database([(regex, True) for regex, _ in regexes]) if regexes else None

    def count(self, text: str, raw: bytes, words: Iterable[bytes], seen: dict[str, float]) -> None:
        """Add to each signal's count in `seen` how many of its entries are in a text; each counts once however often it stands.

        `text` is in lower case, `raw` the same in UTF-8, `words` what `split` makes of it.
        """
        known = self._known.intersection(words)
        for word in known & self._phrase_words:
            for phrase, name in self._phrases[word]:
                if phrase in raw:
                    seen[name] += 1
        for word in known & self._words:
            for name in self._names[word]:
                seen[name] += 1
        for name in self._told_apart(text, raw):
            seen[name] += 1

    def _told_apart(self, text: str, raw: bytes) -> Iterator[str]:
        """Yield the signals of what is no word between spaces."""
        literal = self._ascii if text.isascii() else self._literal
        if literal is not None:
            for entry in set(literal.findall(text)):
                yield from self._literal_names[entry]
        if self._regexes is not None:
            yield from (self._regex_names[number] for number in {number for number, _ in self._regexes.hits(raw)})


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
