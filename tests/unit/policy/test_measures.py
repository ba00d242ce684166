from __future__ import annotations

from typing import Any

import pytest

from app.domain import Complexity, ComplexityTier, Cuts
from app.policy import measures
from app.policy.collect import collect
from app.policy.complexity import SCALE, score
from app.policy.measures import LazyMeasures
from app.policy.tokens import estimate_tokens
from app.policy.vocabulary import Vocabularies, Vocabulary

TEXT = "Prove that the integral converges, and explain each step."
EXACT = 13 + 4 + 3  # the text, its message, the start of the answer


@pytest.fixture(scope="module")
def loaded() -> Vocabularies:
    made = Vocabularies()
    made.load(Vocabulary.O200K)
    return made


def lazy(told: list[BaseException] | None = None, *, vocabularies: Vocabularies | None = None, content: Any = TEXT, **options: Any) -> LazyMeasures:
    body = {"messages": [{"role": "user", "content": content}]}
    given: dict[str, Any] = {"size_bytes": 900, "scale": SCALE, "cuts": None, "hint": None} | options
    return LazyMeasures(collect(body), body, vocabularies=vocabularies or Vocabularies(), on_fault=(told if told is not None else []).append, **given)


def test_the_score_is_computed_when_it_is_read_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lazy()
    assert found.known_complexity is None

    first = found.complexity
    monkeypatch.setattr(measures, "score", None)

    assert first == score((TEXT,))
    assert found.complexity is first
    assert found.known_complexity is first


def test_the_cuts_of_the_moment_give_the_tier() -> None:
    assert lazy(cuts=Cuts(0.0, 0.0)).complexity.tier is ComplexityTier.COMPLEX


@pytest.mark.parametrize(("hint", "tier"), [(None, ComplexityTier.COMPLEX), (ComplexityTier.SIMPLE, ComplexityTier.SIMPLE)])
def test_a_score_that_fails_is_complex_and_told_once(monkeypatch: pytest.MonkeyPatch, hint: ComplexityTier | None, tier: ComplexityTier) -> None:
    told: list[BaseException] = []
    monkeypatch.setattr(measures, "score", None)
    found = lazy(told, hint=hint)

    assert found.complexity == found.complexity == Complexity(1.0, tier)
    assert [type(exc) for exc in told] == [TypeError]


def test_tokens_are_estimated_while_no_vocabulary_is_loaded() -> None:
    found = lazy()

    assert found.prompt_tokens == found.known_prompt_tokens == found.tokens_about > EXACT
    assert found.tokens_for("openai", "gpt-4o") == (found.prompt_tokens, False)


def test_an_estimate_is_no_count() -> None:
    found = lazy()

    assert found.tokens_about > EXACT
    assert found.known_prompt_tokens is None


def test_tokens_are_counted_when_they_are_read_and_kept(loaded: Vocabularies, monkeypatch: pytest.MonkeyPatch) -> None:
    found = lazy(vocabularies=loaded)
    assert found.known_prompt_tokens is None

    assert found.prompt_tokens == EXACT
    monkeypatch.setattr(measures, "Prompt", None)

    assert found.prompt_tokens == found.known_prompt_tokens == found.tokens_about == EXACT
    assert found.tokens_for("openai", "gpt-4o-mini") == (EXACT, True)


def test_what_no_vocabulary_is_known_for_is_estimated(loaded: Vocabularies) -> None:
    tokens, exact = lazy(vocabularies=loaded).tokens_for("anthropic", "claude-sonnet-4-5")

    assert not exact
    assert tokens == estimate_tokens(collect({"messages": [{"role": "user", "content": TEXT}]}))


def test_media_make_a_count_an_estimate(loaded: Vocabularies) -> None:
    found = lazy(vocabularies=loaded, content=[{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}])

    assert found.tokens_for("openai", "gpt-4o").exact is False


def test_reading_loads_a_vocabulary_only_where_it_may() -> None:
    vocabularies = Vocabularies()
    lazy(vocabularies=vocabularies).tokens_for("openai", "gpt-4")
    assert not vocabularies.is_ready(Vocabulary.CL100K)

    found = lazy(vocabularies=vocabularies)
    with found.loading():
        assert found.tokens_for("openai", "gpt-4").exact

    assert vocabularies.is_ready(Vocabulary.CL100K)
    assert not vocabularies.is_ready(Vocabulary.O200K)


def test_counting_is_quick_for_a_short_text_and_a_loaded_vocabulary(loaded: Vocabularies) -> None:
    assert lazy(vocabularies=loaded).counts_quickly(["o200k_base"])
    assert not lazy(vocabularies=loaded).counts_quickly(["o200k_base", "cl100k_base"])
    assert not lazy(vocabularies=loaded, size_bytes=20_000).counts_quickly([])


def test_a_count_that_fails_is_the_bound_and_told_once(loaded: Vocabularies, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException] = []
    monkeypatch.setattr(measures, "Prompt", None)
    found = lazy(told, vocabularies=loaded)

    assert found.prompt_tokens == found.prompt_tokens == found.tokens_at_most
    assert [type(exc) for exc in told] == [TypeError]


def test_what_was_said_is_not_shown() -> None:
    assert "integral" not in repr(lazy())
