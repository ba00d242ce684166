from __future__ import annotations

from typing import Any

import pytest

from app.domain import Complexity, ComplexityTier
from app.policy import measures
from app.policy.collect import collect
from app.policy.complexity import SCALE, score
from app.policy.measures import LazyMeasures
from tests.unit.policy.table import deployment

TEXT = "Prove that the integral converges, and explain each step."


def lazy(told: list[BaseException] | None = None, hint: ComplexityTier | None = None, **body: Any) -> LazyMeasures:
    collected = collect({"messages": [{"role": "user", "content": TEXT}]} | body)
    return LazyMeasures(collected, scale=SCALE, hint=hint, tokens_at_most=900, on_fault=(told if told is not None else []).append)


def test_the_score_is_computed_when_it_is_read_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lazy()
    assert found.known_complexity is None

    first = found.complexity
    monkeypatch.setattr(measures, "score", None)

    assert first == score((TEXT,))
    assert found.complexity is first
    assert found.known_complexity is first


def test_the_tokens_are_counted_when_they_are_read_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lazy()
    assert found.known_prompt_tokens is None

    first = found.prompt_tokens
    monkeypatch.setattr(measures, "estimate_tokens", None)

    assert 10 < first < 40
    assert found.prompt_tokens == found.known_prompt_tokens == found.tokens_about == first
    assert found.tokens_for(deployment("a")).tokens == first


@pytest.mark.parametrize(("hint", "tier"), [(None, ComplexityTier.COMPLEX), (ComplexityTier.SIMPLE, ComplexityTier.SIMPLE)])
def test_a_score_that_fails_is_complex_and_told_once(monkeypatch: pytest.MonkeyPatch, hint: ComplexityTier | None, tier: ComplexityTier) -> None:
    told: list[BaseException] = []
    monkeypatch.setattr(measures, "score", None)
    found = lazy(told, hint)

    assert found.complexity == found.complexity == Complexity(1.0, tier)
    assert [type(exc) for exc in told] == [TypeError]


def test_a_count_that_fails_is_the_bound_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException] = []
    monkeypatch.setattr(measures, "estimate_tokens", None)
    found = lazy(told)

    assert found.prompt_tokens == found.prompt_tokens == 900
    assert [type(exc) for exc in told] == [TypeError]


def test_what_was_said_is_not_shown() -> None:
    assert "integral" not in repr(lazy())
