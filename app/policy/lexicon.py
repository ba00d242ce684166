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
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    # What is looked up, and for each word the signals that it stands for, and the phrases that it is the longest word of.
    Table = tuple[frozenset[bytes], dict[bytes, tuple[tuple[str, ...], tuple[tuple[bytes, str], ...]]]]

_PUNCTUATION = b'.,;:!?()[]{}"<>/\\|*_`~-'
_SIMPLE = "simple"
_NARROW = bytes(range(0xE3))  # what UTF-8 writes all scripts with that put spaces between words; kana, ideographs and Korean have bytes above
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
        self._short = _table(words, phrases)
        self._long = _table(
            {word: [name for name in names if name != _SIMPLE] for word, names in words.items()},
            {word: [entry for entry in held if entry[1] != _SIMPLE] for word, held in phrases.items()},
        )
        self._literal_names = {text: tuple(dict.fromkeys(names)) for text, names in literal.items()}
        self._literal = _any_of(literal)
        self._narrow = _any_of(entry for entry in literal if not entry.encode().translate(None, _NARROW))
        self._ascii = _any_of(filter(str.isascii, literal))
        regexes = [(regex, signal.name) for signal in signals for regex in signal.regexes]
        self._regex_names = [name for _, name in regexes]
        self._regexes = Database([(regex, True) for regex, _ in regexes]) if regexes else None

    def count(self, text: str, raw: bytes, words: Iterable[bytes], seen: dict[str, float], *, is_short: bool = True) -> None:
        """Add to each signal's count in `seen` how many of its entries are in a text; each counts once however often it stands.

        `text` is in lower case, `raw` the same in UTF-8, `words` what `split` makes of it. In a text that is not short nothing tells a simple ask, and its
        words and phrases are not looked for.
        """
        known, entries = self._short if is_short else self._long
        for word in known.intersection(words):
            names, phrases = entries[word]
            for name in names:
                seen[name] += 1
            for phrase, name in phrases:
                if phrase in raw:
                    seen[name] += 1
        literal = self._ascii if text.isascii() else self._literal if raw.translate(None, _NARROW) else self._narrow
        if literal is not None:
            for entry in set(literal.findall(text)):
                for name in self._literal_names[entry]:
                    seen[name] += 1
        if self._regexes is not None:
            for number in {number for number, _ in self._regexes.hits(raw)}:
                seen[self._regex_names[number]] += 1


def _built_in() -> Iterator[tuple[str, str]]:
    for listed in (WORDS, PHRASES, IDEOGRAPHIC):
        for name, texts in listed.items():
            yield from ((text, name) for text in texts)


def _table(words: Mapping[bytes, Sequence[str]], phrases: Mapping[bytes, Sequence[tuple[bytes, str]]]) -> Table:
    entries = {word: (tuple(dict.fromkeys(words.get(word, ()))), tuple(phrases.get(word, ()))) for word in {**words, **phrases}}
    entries = {word: found for word, found in entries.items() if any(found)}
    return frozenset(entries), entries


def _any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    """Return an expression for any of some texts, the longest first; its time is linear, for it goes back over no more than one of them."""
    listed = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, listed))) if listed else None


def _is_spaced(text: str) -> bool:
    """Say whether a text is of scripts that put spaces between words: such scripts have letters in two cases."""
    return text.isascii() or all(char.upper() != char.lower() or not char.isalpha() for char in text)


BUILT_IN = Lexicon()
