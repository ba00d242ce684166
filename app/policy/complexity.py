"""How hard a request looks: bounded signals of what the human said last, each of which a person can check.

The signals recognise the kind of work (mathematics, code, planning), not its difficulty. They are combined as a noisy-or, `1 - Π(1 - wᵢ·dᵢ)`: any strong
signal is enough, and many weak ones add up. Splitting the logarithm of the product in proportion gives each signal's share, so that the shares add up to
the score exactly. A short, simple ask halves it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from app.domain import Complexity, ComplexityTier
from app.policy.complexity_words import CONTINUATIONS, IDEOGRAPHIC, PHRASES, WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SAMPLE_CHARS = 6_000  # of the head and of the tail: what lies between says little more, and any size takes at most a millisecond
_PUNCTUATION = str.maketrans(dict.fromkeys('.,;:!?()[]{}"“”<>/\\|*_`~—-，。？！、：；（）', " "))  # noqa: RUF001 Chinese punctuation is meant
_NUMBER = re.compile(r"[0-9][0-9.,]*")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_WORDS_PER_IDEOGRAPH = 0.67
_ANY_WORD = frozenset[str](PHRASES).union(*WORDS.values())
_PHRASE_WORDS = frozenset(PHRASES)
_SHORT_WORDS, _NOT_SHORT_WORDS = 25, 50  # between them a simple ask fades out
_CONTINUATION_WORDS = 5
_FEWEST_WORDS, _MOST_WORDS = math.log(9), math.log(301)  # length counts from 8 words to 300, by its logarithm
_LENGTH_SPAN = _MOST_WORDS - _FEWEST_WORDS

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


@dataclass(frozen=True, slots=True)
class Scale:
    """What each signal weighs, and where the tiers begin."""

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    medium: float = 0.07
    complex: float = 0.42
    simple_discount: float = 0.5

    def tier(self, score: float) -> ComplexityTier:
        """Return the tier that a score falls into."""
        if score >= self.complex:
            return ComplexityTier.COMPLEX
        return ComplexityTier.MEDIUM if score >= self.medium else ComplexityTier.SIMPLE


SCALE = Scale()


def score(turns: Sequence[str], *, scale: Scale = SCALE, hint: ComplexityTier | None = None) -> Complexity:
    """Return how hard the human's newest turn looks. `turns` are newest first: a short continuation ("yes, go on") stands for the turn before it.

    A hint sets the tier and leaves the score as it is.
    """
    text = next((turn for turn in turns if not _is_continuation(turn)), turns[0] if turns else "")
    found = signals(text)
    discount = 1 - scale.simple_discount * found.pop("simple")
    logs = {name: -math.log1p(-min(scale.weights.get(name, 0.0) * value, 0.999)) for name, value in found.items()}
    total = sum(logs.values())
    if total == 0:
        return Complexity(0.0, hint or scale.tier(0.0))
    whole = -math.expm1(-total) * discount
    shares = tuple((name, whole * part / total) for name, part in sorted(logs.items(), key=lambda item: -item[1]) if part)
    whole = math.fsum(share for _, share in shares)
    return Complexity(whole, hint or scale.tier(whole), shares)


def signals(text: str) -> dict[str, float]:
    """Return each signal's strength in 0..1."""
    if len(text) > 2 * _SAMPLE_CHARS:
        text = f"{text[:_SAMPLE_CHARS]}\n{text[-_SAMPLE_CHARS:]}"
    low = text.lower()
    words = low.translate(_PUNCTUATION).split()
    size = float(len(words))
    known = _ANY_WORD.intersection(words)
    seen = {name: len(known & listed) for name, listed in WORDS.items()}
    for word in _PHRASE_WORDS & known:
        for phrase, name in PHRASES[word]:
            seen[name] += phrase in low
    if not low.isascii():
        size += len(_IDEOGRAPH.findall(low)) * _WORDS_PER_IDEOGRAPH
        for name, phrases in IDEOGRAPHIC.items():
            seen[name] += sum(phrase in low for phrase in phrases)
    count = low.count
    questions = count("?") + count("？")  # noqa: RUF001 Chinese questions count too
    bullets = sum(map(count, ("\n- ", "\n* ", "\n• ", "\n1.", "\n2.", "\n3.", "\n4.")))
    symbols = sum(map(count, ("=", "^", "√", "∑", "≤", "\\frac", "o(", " + ", " * ")))
    braces = sum(map(count, ("{", "}", ";", "()")))
    shortness = min(1.0, max(0.0, (_NOT_SHORT_WORDS - size) / (_NOT_SHORT_WORDS - _SHORT_WORDS)))
    return {
        "length": min(1.0, max(0.0, (math.log1p(size) - _FEWEST_WORDS) / _LENGTH_SPAN)),
        "clauses": min(1.0, (1.3 * seen["clauses"] + 0.5 * count(",")) / 14),
        "parts": min(1.0, (bullets + max(0, questions - 1) + 0.5 * count("\n\n")) / 6),
        "quantities": min(1.0, (0.5 * len(_NUMBER.findall(low)) + 0.5 * seen["quantities"]) / 6),
        "mathematics": min(1.0, (0.5 * symbols + seen["mathematics"]) / 4),
        "code": min(1.0, (seen["code"] + 2 * count("```") + 0.25 * braces) / 4),
        "reasoning": min(1.0, seen["reasoning"] / 3),
        "building": min(1.0, seen["building"] / 3),
        "writing": min(1.0, seen["writing"] / 2),
        "constraints": min(1.0, seen["constraints"] / 5),
        "technical": min(1.0, seen["technical"] / 3),
        "simple": min(1, seen["simple"]) * shortness,
    }


def _is_continuation(turn: str) -> bool:
    """Say whether a turn only asks to go on."""
    if len(turn) > 60:
        return False
    words = turn.lower().translate(_PUNCTUATION).split()
    return len(words) <= _CONTINUATION_WORDS and CONTINUATIONS.issuperset(words)
