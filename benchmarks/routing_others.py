"""What else could rank prompts by how hard they look: their length, and LiteLLM's own rules (`complexity_router`), scored here without a network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_TIERS = {"NON_REASONING": "simple", "SIMPLE": "simple", "MEDIUM": "medium", "COMPLEX": "complex", "REASONING": "complex"}


class Rated(NamedTuple):
    """A score, the higher the harder, and the tier where there are tiers."""

    score: float
    tier: str | None = None


def by_length(prompt: str) -> Rated:
    return Rated(float(len(prompt)))


def litellm_rules() -> Callable[[str], Rated] | str:
    """Return LiteLLM's scorer with its defaults, or in words why it cannot be had.

    `classify` is what its router calls for every request; it reads the prompt alone and calls nobody.
    """
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its import would download the newest prices
    try:
        from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter  # noqa: PLC0415 -- it takes seconds

        unused: Any = None  # the router whose models it would choose from
        rules = ComplexityRouter("benchmark", unused)
        rules.classify("Say hello.")
    except (ImportError, AttributeError, TypeError) as error:
        return f"this version of LiteLLM has no complexity_router that can be called: {type(error).__name__}"

    def rate(prompt: str) -> Rated:
        tier, found, _ = rules.classify(prompt)
        return Rated(found, _TIERS.get(tier.value))

    return rate
