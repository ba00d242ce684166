"""How hard a request looks: bounded signals of what the human said last, each of which a person can check.

The signals recognise the kind of work (mathematics, code, planning), not its difficulty. They are combined as a noisy-or, `1 - Π(1 - wᵢ·dᵢ)`: any strong
signal is enough, and many weak ones add up. Splitting the logarithm of the product in proportion gives each signal's share, so that the shares add up to
the score exactly. A short, simple ask halves it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import expm1, log1p
from types import MappingProxyType
from typing import TYPE_CHECKING

from app.domain import CUTS, Complexity, ComplexityTier, Cuts
from app.policy.complexity_words import CONTINUATIONS
from app.policy.lexicon import BUILT_IN, SIGNALS, Lexicon, count_words, spaced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Of the head and of the tail: what lies between changes no figure of benchmarks/routing.py, and any size takes half a millisecond.
_SAMPLE_CHARS = 3_000
# Quotes, dashes, Spanish and Chinese punctuation, spaces.
_FOREIGN_MARKS = re.compile(
    "[\u00a1\u00ab\u00bb\u00bf\u2013\u2014\u201c\u201d\u201e\u2026\u3002\uff0c\uff1f\uff01\u3001\uff1a\uff1b\uff08\uff09\u00a0\u2009\u202f\u3000]"
)
_BULLET = re.compile(rb"\n(?:[-*] |[1-4]\.|\xe2\x80\xa2 )")
_DIGIT_RUNS = bytes.maketrans(bytes(set(range(256)) - set(b"0123456789")), b" " * 246)
_NO_MARKS = bytes(set(range(256)) - set(b",?=^+*(){};`\n\\0123456789"))
# The first byte of a kana, an ideograph or a Korean syllable in UTF-8.
_NO_IDEOGRAPHS = bytes(set(range(256)) - set(range(0xE3, 0xEE)))
_WORDS_PER_IDEOGRAPH = 0.67
_SHORT_WORDS, _NOT_SHORT_WORDS = 25, 50  # between them a simple ask fades out
_CONTINUATION_WORDS = 5
_CONTINUATION_CHARS = 60
_FEWEST_WORDS, _MOST_WORDS = 8, 300  # between them length counts, by its logarithm
_LEAST_LENGTH, _MOST_LENGTH = log1p(_FEWEST_WORDS), log1p(_MOST_WORDS)
_SYMBOLS = tuple(symbol.encode() for symbol in "\u221a\u2211\u2264")
_QUESTION = "\uff1f".encode()
_CONTINUATIONS = frozenset(word.encode() for word in CONTINUATIONS)
_NEWLINE, _PARENTHESIS, _PLUS, _ASTERISK, _BACKSLASH, _BACKTICK = b"\n(+*\\`"  # numbers: bytes looked for in bytes raise an error first, and swallow it
_MOST = 0.999  # of what one signal makes sure of: its logarithm must stay finite

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "length": 0.50,
        "clauses": 0.30,
        "parts": 0.30,
        "quantities": 0.40,
        "mathematics": 0.50,
        "code": 0.30,
        "reasoning": 0.50,
        "building": 0.50,
        "writing": 0.30,
        "constraints": 0.30,
        "technical": 0.40,
    }
)
# How much of each there must be for a signal to be as strong as can be.
_ENOUGH: dict[str, float] = {
    "length": _MOST_LENGTH - _LEAST_LENGTH,
    "clauses": 14,
    "parts": 6,
    "quantities": 6,
    "mathematics": 4,
    "code": 4,
    "reasoning": 3,
    "building": 3,
    "writing": 2,
    "constraints": 5,
    "technical": 3,
}
_LENGTH, _CLAUSES, _PARTS, _QUANTITIES = map(SIGNALS.index, ("length", "clauses", "parts", "quantities"))
_MATHEMATICS, _CODE, _SIMPLE = map(SIGNALS.index, ("mathematics", "code", "simple"))


@dataclass(frozen=True, slots=True)
class Target:
    """The share of requests that is to be complex: the cut follows it from `low` to `high`, by the newest `window` scores."""

    share: float
    low: float
    high: float
    window: int = 1_000


@dataclass(frozen=True, slots=True)
class Scale:
    """What each signal weighs, by which words it is told, and where the tiers begin.

    `own` are the operator's signals, with how many of its entries make each as strong as can be. With a `target` the cut of complex moves (see Scores).
    """

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    cuts: Cuts = CUTS
    simple_discount: float = 0.5
    lexicon: Lexicon = field(default=BUILT_IN, repr=False)
    own: Mapping[str, int] = field(default_factory=dict)
    target: Target | None = None
    # What is weighed: where it stands in the lexicon's counts, its name, what it weighs, and how much of it is enough.
    weighed: tuple[tuple[int, str, float, float], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what is weighed."""
        enough = {**_ENOUGH, **self.own}
        names = ((place, name) for place, name in enumerate(self.lexicon.names) if name in enough)
        weighed = tuple((place, name, self.weights[name], enough[name]) for place, name in names if self.weights.get(name))
        object.__setattr__(self, "weighed", weighed)  # the class is frozen


SCALE = Scale()


def score(turns: Sequence[str], *, scale: Scale = SCALE, hint: ComplexityTier | None = None, cuts: Cuts | None = None) -> Complexity:
    """Return how hard the human's newest turn looks. `turns` are newest first: a short continuation ("yes, go on") stands for the turn before it.

    A hint sets the tier and leaves the score as it is. `cuts` stand for the scale's own.
    """
    text = turns[0] if turns else ""
    if len(text) <= _CONTINUATION_CHARS:
        text = next((turn for turn in turns if not is_continuation(turn)), text)
    counts, simple = count(text, scale)
    total = 0.0
    signals: list[tuple[str, float]] = []
    for place, name, weight, enough in scale.weighed:
        found = counts[place]
        if found:
            sure = weight * (found / enough) if found < enough else weight
            log = -log1p(-sure if sure < _MOST else -_MOST)
            total += log
            signals.append((name, log))
    whole = -expm1(-total) * (1 - scale.simple_discount * simple)
    cuts = scale.cuts if cuts is None else cuts
    return Complexity(whole, hint or cuts.tier(whole), tuple(signals), cuts)


def count(text: str, scale: Scale) -> tuple[list[float], float]:
    """Return how much of each signal of the scale's lexicon a text has, in the order of its names, and how far it is a short, simple ask, in 0..1."""
    if len(text) > 2 * _SAMPLE_CHARS:
        text = f"{text[:_SAMPLE_CHARS]}\n{text[-_SAMPLE_CHARS:]}"
    if text.isascii():
        raw = text.encode()
        words = spaced(raw)
        size = float(count_words(words))
        counts = scale.lexicon.count(text, raw, words)
    else:
        text = text.lower()
        raw = text.encode("utf-8", "surrogatepass")
        words = spaced(_FOREIGN_MARKS.sub(" ", text).encode("utf-8", "surrogatepass"))
        size = count_words(words) + len(words.translate(None, _NO_IDEOGRAPHS)) * _WORDS_PER_IDEOGRAPH
        counts = scale.lexicon.count(text, raw, words)
        counts[_MATHEMATICS] += 0.5 * sum(map(raw.count, _SYMBOLS))
    _count_marks(raw, counts)
    if size > _FEWEST_WORDS:
        counts[_LENGTH] = log1p(size) - _LEAST_LENGTH
    if counts[_SIMPLE] and size < _NOT_SHORT_WORDS:
        return counts, min(1.0, (_NOT_SHORT_WORDS - size) / (_NOT_SHORT_WORDS - _SHORT_WORDS))
    return counts, 0.0


def _count_marks(raw: bytes, counts: list[float]) -> None:
    """Add to each signal's count what the marks of a text say.

    All but those of other scripts are counted in what is left when letters and spaces are taken out, a twentieth of the text. Where that is commas and
    question marks alone, as in most prose, nothing more is looked for.
    """
    marks = raw.translate(None, _NO_MARKS)
    commas, questions = marks.count(b","), marks.count(b"?")
    counts[_CLAUSES] = 1.3 * counts[_CLAUSES] + 0.5 * commas
    counts[_QUANTITIES] *= 0.5
    if commas + questions < len(marks):
        _count_rarer(raw, marks, counts)
    if not raw.isascii():
        questions += raw.count(_QUESTION)
    if questions > 1:
        counts[_PARTS] += questions - 1


def _count_rarer(raw: bytes, marks: bytes, counts: list[float]) -> None:
    """Add what digits, line breaks, and the marks of mathematics and code say.

    Marks of more than one character are counted in the text itself, and only where their rarest character is left.
    """
    left, whole = marks.count, raw.lower().count
    symbols = left(b"=") + left(b"^")
    code = 0.25 * (left(b"{") + left(b"}") + left(b";"))
    if _NEWLINE in marks:
        counts[_PARTS] += len(_BULLET.findall(raw))
        counts[_PARTS] += 0.5 * whole(b"\n\n")
    if _PARENTHESIS in marks:
        symbols += whole(b"o(")
        code += 0.25 * whole(b"()")
    if _PLUS in marks:
        symbols += whole(b" + ")
    if _ASTERISK in marks:
        symbols += whole(b" * ")
    if _BACKSLASH in marks:
        symbols += whole(b"\\frac")
    if _BACKTICK in marks:
        code += 2 * whole(b"```")
    counts[_MATHEMATICS] += 0.5 * symbols
    counts[_CODE] += code
    # A number goes on over dots and commas; without a digit in it such a run is none.
    counts[_QUANTITIES] += 0.5 * len(raw.translate(_DIGIT_RUNS, b".,").split())


def is_continuation(turn: str) -> bool:
    """Say whether a turn only asks to go on."""
    if len(turn) > _CONTINUATION_CHARS:
        return False
    words = spaced(_FOREIGN_MARKS.sub(" ", turn.lower()).encode("utf-8", "surrogatepass")).split()
    return len(words) <= _CONTINUATION_WORDS and _CONTINUATIONS.issuperset(words)
