"""Rules: which pool a request's facts ask for. First match wins."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain import Condition, Facts, Rule


def mismatch(condition: Condition, facts: Facts, model: str) -> str | None:  # noqa: PLR0911 -- one line a clause, in the order they are explained
    """Return the first clause of `condition` that does not hold, in words, or None when all hold."""
    if condition.labels is not None and facts.label not in condition.labels:
        return f"label is {facts.label}"
    if condition.complexities is not None and facts.complexity.tier not in condition.complexities:
        return f"complexity is {facts.complexity.tier}"
    if condition.min_tokens is not None and facts.prompt_tokens < condition.min_tokens:
        return f"{facts.prompt_tokens} tokens are fewer than {condition.min_tokens}"
    if condition.max_tokens is not None and facts.prompt_tokens > condition.max_tokens:
        return f"{facts.prompt_tokens} tokens are more than {condition.max_tokens}"
    if condition.needs is not None and not condition.needs <= facts.needs:
        return f"does not need {', '.join(sorted(condition.needs - facts.needs))}"
    if condition.findings is not None and condition.findings.isdisjoint(facts.kinds):
        return f"holds none of {', '.join(sorted(condition.findings))}"
    if condition.model is not None and not fnmatchcase(model, condition.model):
        return f"the model asked for does not match {condition.model}"
    return None


def first_match(rules: Sequence[Rule], facts: Facts, model: str) -> Rule | None:
    """Return the first rule whose condition holds."""
    return next((rule for rule in rules if mismatch(rule.when, facts, model) is None), None)
