"""What is measured of a request: its complexity and its tokens. app/domain.py hands these words on."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from app.domain_enums import COMPLEX, ComplexityTier

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Cuts:
    """The scores from which a request is medium, and complex."""

    medium: float = 0.07
    complex: float = 0.42

    def tier(self, score: float) -> ComplexityTier:
        """Return the tier that a score falls into."""
        if score >= self.complex:
            return COMPLEX
        return ComplexityTier.MEDIUM if score >= self.medium else ComplexityTier.SIMPLE


CUTS = Cuts()


class Complexity(NamedTuple):
    """A score in 0..1, its tier, and each signal that was found with its weight among them.

    `cuts` are those that gave the tier where no hint did: they may move between requests, so they are part of what a decision is made from.
    """

    score: float
    tier: ComplexityTier
    signals: tuple[tuple[str, float], ...] = ()
    cuts: Cuts = CUTS

    @property
    def contributions(self) -> tuple[tuple[str, float], ...]:
        """What each signal contributed, the largest first: they add up to the score."""
        total = fsum(weight for _, weight in self.signals)
        return tuple((name, weight * self.score / total) for name, weight in sorted(self.signals, key=lambda signal: -signal[1]))


class TokenCount(NamedTuple):
    """Tokens of a prompt: `exact` where the model's own tokenizer counted every text, else an estimate that leans upwards."""

    tokens: int
    exact: bool


class Measures(Protocol):
    """What takes time to know of a request: computed when it is first read, and kept. Nothing here raises.

    `known_...` say what has been read so far, None where nothing has; `tokens_at_most` is a bound that needs no tokenizer.
    """

    @property
    def complexity(self) -> Complexity:
        """How complex the newest human turn is."""

    @property
    def known_complexity(self) -> Complexity | None:
        """The complexity, where anything has read it."""

    @property
    def prompt_tokens(self) -> int:
        """The prompt's tokens as OpenAI's newer models count them."""

    @property
    def known_prompt_tokens(self) -> int | None:
        """The prompt's tokens, where anything has read them."""

    @property
    def tokens_about(self) -> int:
        """The prompt's tokens where anything has read them, else an estimate that costs little and leans upwards."""

    @property
    def tokens_at_most(self) -> int:
        """A bound for every tokenizer."""

    def tokens_for(self, provider: str, model: str) -> TokenCount:
        """Return the prompt's tokens as a provider's model counts them."""

    def counts_quickly(self, vocabularies: Iterable[str]) -> bool:
        """Say whether counting by some vocabularies is quick enough for an event loop."""

    def loading(self) -> AbstractContextManager[None]:
        """Return a context in which reading may load vocabularies."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Measures that are known from the start."""

    complexity: Complexity
    prompt_tokens: int
    tokens_at_most: int

    @property
    def known_complexity(self) -> Complexity | None:
        """The complexity."""
        return self.complexity

    @property
    def known_prompt_tokens(self) -> int | None:
        """The tokens."""
        return self.prompt_tokens

    @property
    def tokens_about(self) -> int:
        """The tokens."""
        return self.prompt_tokens

    def tokens_for(self, *_: str) -> TokenCount:
        """Return the same estimate for every model."""
        return TokenCount(self.prompt_tokens, exact=False)

    def counts_quickly(self, _: Iterable[str]) -> bool:
        """Say yes: nothing is left to count."""
        return True

    def loading(self) -> AbstractContextManager[None]:
        """Return a context that changes nothing."""
        return nullcontext()
