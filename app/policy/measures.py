"""What takes time to know of a request, computed when something first reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain import Complexity, ComplexityTier, TokenCount
from app.policy.complexity import score
from app.policy.tokens import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domain import Cuts, Deployment
    from app.policy.collect import Collected
    from app.policy.complexity import Scale


class LazyMeasures:
    """The measures of a request that has been collected. Nothing here raises: `on_fault` is told, and the request counts as complex, its tokens as many.

    `tokens_at_most` is a bound that whoever collected the request knows already.
    """

    __slots__ = ("_collected", "_complexity", "_cuts", "_hint", "_on_fault", "_scale", "_tokens", "tokens_at_most")

    def __init__(
        self,
        collected: Collected,
        *,
        scale: Scale,
        cuts: Cuts | None = None,
        hint: ComplexityTier | None,
        tokens_at_most: int,
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._collected = collected
        self._scale = scale
        self._cuts = cuts
        self._hint = hint
        self._on_fault = on_fault
        self._complexity: Complexity | None = None
        self._tokens: int | None = None
        self.tokens_at_most = tokens_at_most

    @property
    def complexity(self) -> Complexity:
        """How complex the newest human turn is."""
        if self._complexity is None:
            try:
                self._complexity = score(self._collected.human_turns, scale=self._scale, hint=self._hint, cuts=self._cuts)
            except Exception as exc:  # noqa: BLE001 a fault of the score must not fail a request
                self._on_fault(exc)
                self._complexity = Complexity(1.0, self._hint or ComplexityTier.COMPLEX)
        return self._complexity

    @property
    def known_complexity(self) -> Complexity | None:
        """The complexity, where anything has read it."""
        return self._complexity

    @property
    def prompt_tokens(self) -> int:
        """The prompt's tokens."""
        if self._tokens is None:
            try:
                self._tokens = estimate_tokens(self._collected)
            except Exception as exc:  # noqa: BLE001 a fault of the count must not fail a request
                self._on_fault(exc)
                self._tokens = self.tokens_at_most
        return self._tokens

    @property
    def known_prompt_tokens(self) -> int | None:
        """The prompt's tokens, where anything has read them."""
        return self._tokens

    @property
    def tokens_about(self) -> int:
        """The prompt's tokens where anything has read them, else an estimate from its bytes."""
        return self.prompt_tokens

    def tokens_for(self, _: Deployment) -> TokenCount:
        """Return the prompt's tokens as a deployment's model counts them."""
        return TokenCount(self.prompt_tokens, exact=False)
