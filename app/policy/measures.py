"""What takes time to know of a request, computed when something first reads it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from app.domain import Complexity, ComplexityTier, TokenCount
from app.policy.complexity import score
from app.policy.prompt import Prompt
from app.policy.tokens import estimate_tokens, most_tokens
from app.policy.vocabulary import Vocabulary, vocabulary_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from app.domain import Cuts
    from app.policy.collect import Collected
    from app.policy.complexity import Scale
    from app.policy.vocabulary import Vocabularies

_INLINE_TOKENS = 16_384  # counted in about a millisecond, two where a text is hostile


class LazyMeasures:
    """The measures of a request that has been collected. Nothing here raises: `on_fault` is told, and the request counts as complex, its tokens as many.

    Tokens are counted by the vocabularies that are loaded, and estimated where the one in question is not: `loading` lets reading load it.
    """

    __slots__ = (
        "_body",
        "_collected",
        "_counts",
        "_cuts",
        "_hint",
        "_loads",
        "_on_fault",
        "_scale",
        "_vocabularies",
        "known_complexity",
        "tokens_at_most",
    )

    def __init__(  # noqa: PLR0917 -- one a request, and keywords cost as much again
        self,
        collected: Collected,
        body: Mapping[str, Any],
        size_bytes: int,
        scale: Scale,
        cuts: Cuts | None,
        hint: ComplexityTier | None,
        vocabularies: Vocabularies,
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._collected = collected
        self._body = body
        self._scale = scale
        self._cuts = cuts
        self._hint = hint
        self._vocabularies = vocabularies
        self._on_fault = on_fault
        self._loads = False
        self.known_complexity: Complexity | None = None  # where anything has read it
        self._counts: dict[Vocabulary | None, TokenCount] = {}
        self.tokens_at_most = most_tokens(collected, size_bytes)

    @property
    def complexity(self) -> Complexity:
        """How complex the newest human turn is."""
        if self.known_complexity is None:
            try:
                self.known_complexity = score(self._collected.human_turns, scale=self._scale, hint=self._hint, cuts=self._cuts)
            except Exception as exc:  # noqa: BLE001 a fault of the score must not fail a request
                self._on_fault(exc)
                self.known_complexity = Complexity(1.0, self._hint or ComplexityTier.COMPLEX)
        return self.known_complexity

    @property
    def prompt_tokens(self) -> int:
        """The prompt's tokens."""
        return self._count(Vocabulary.O200K).tokens

    @property
    def known_prompt_tokens(self) -> int | None:
        """The prompt's tokens, where anything has read them."""
        known = self._counts.get(Vocabulary.O200K)
        return None if known is None else known.tokens

    @property
    def tokens_about(self) -> int:
        """The prompt's tokens where anything has read them, else an estimate from its bytes."""
        known = self.known_prompt_tokens
        return self._count(None).tokens if known is None else known

    def tokens_for(self, provider: str, model: str) -> TokenCount:
        """Return the prompt's tokens as a provider's model counts them."""
        return self._count(vocabulary_of(provider, model))

    def counts_quickly(self, vocabularies: Iterable[str]) -> bool:
        """Say whether counting by these vocabularies takes no longer than a millisecond or two."""
        return self.tokens_at_most <= _INLINE_TOKENS and all(self._vocabularies.is_ready(Vocabulary(name)) for name in vocabularies)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Let what is read here load the vocabulary that it needs, which takes a third of a second the first time."""
        self._loads = True
        try:
            yield
        finally:
            self._loads = False

    def _count(self, vocabulary: Vocabulary | None) -> TokenCount:
        known = self._counts.get(vocabulary)
        if known is None:
            try:
                known = self._counted(vocabulary)
            except Exception as exc:  # noqa: BLE001 a fault of the count must not fail a request
                self._on_fault(exc)
                known = TokenCount(self.tokens_at_most, exact=False)
            self._counts[vocabulary] = known
        return known

    def _counted(self, vocabulary: Vocabulary | None) -> TokenCount:
        if vocabulary is not None:
            if self._loads:
                self._vocabularies.load(vocabulary)
            prompt = Prompt(self._collected, self._body)
            tokens = self._vocabularies.count(vocabulary, prompt.texts)
            if tokens is not None:
                return TokenCount(tokens + prompt.overhead(vocabulary), exact=not prompt.media)
        return TokenCount(estimate_tokens(self._collected), exact=False)
