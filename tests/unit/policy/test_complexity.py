from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import ComplexityTier
from app.policy.complexity import SCALE, Scale, score, signals

HARD = (
    "Design a distributed cache with strong consistency: compare three consensus protocols, prove that your choice is optimal, "
    "and plan the rollout step by step."
)


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("hi", ComplexityTier.SIMPLE),
        ("What is the capital of Peru?", ComplexityTier.SIMPLE),
        ("Schreibe eine kurze Absage, weil wir am Freitag geschlossen haben, und nenne zwei andere Termine.", ComplexityTier.MEDIUM),
        (HARD, ComplexityTier.COMPLEX),
        ("请设计一个分布式缓存架构，分析一致性与延迟的权衡，并证明方案的正确性，逐步推导。", ComplexityTier.COMPLEX),
    ],
)
def test_the_tier_of_a_turn(text: str, tier: ComplexityTier) -> None:
    assert score((text,)).tier == tier


@given(st.text(max_size=400))
def test_the_contributions_add_up_to_the_score(text: str) -> None:
    found = score((text,))

    assert 0 <= found.score <= 1
    assert math.isclose(math.fsum(share for _, share in found.contributions), found.score, abs_tol=1e-12)
    assert all(share > 0 for _, share in found.contributions)


@given(st.text(max_size=300))
def test_every_signal_is_bounded(text: str) -> None:
    assert all(0 <= value <= 1 for value in signals(text).values())


def test_what_weighs_most_comes_first() -> None:
    shares = [share for _, share in score((HARD,)).contributions]

    assert shares == sorted(shares, reverse=True)


def test_a_short_simple_ask_halves_the_score() -> None:
    gentle = replace(SCALE, simple_discount=0.0)

    ask = ("What is the derivative of a polynomial?",)

    assert math.isclose(score(ask).score, score(ask, scale=gentle).score / 2)


@pytest.mark.parametrize("turn", ["yes", "Go on, please.", "继续", "ok, do it then"])
def test_a_short_continuation_stands_for_the_turn_before(turn: str) -> None:
    assert score((turn, HARD)) == score((HARD,))


def test_a_continuation_of_nothing_is_simple() -> None:
    assert score(("yes",)).tier == ComplexityTier.SIMPLE
    assert score(()).score == 0


def test_a_hint_sets_the_tier_and_leaves_the_score() -> None:
    for text in ("", HARD):
        plain = score((text,))
        hinted = score((text,), hint=ComplexityTier.MEDIUM)

        assert (hinted.tier, hinted.score) == (ComplexityTier.MEDIUM, plain.score)


def test_weights_and_cuts_can_be_given() -> None:
    only_code = Scale(weights={"code": 1.0}, medium=0.1, complex=0.2)

    found = score(("fix this python function, it raises in the loop",), scale=only_code)

    assert [name for name, _ in found.contributions] == ["code"]
    assert found.tier == ComplexityTier.COMPLEX


def test_the_middle_of_a_long_text_is_left_out() -> None:
    edge = "word " * 2_000

    assert signals(edge + "prove " + edge)["reasoning"] == 0
    assert signals("prove " + edge + edge)["reasoning"] > 0


def test_code_fences_and_lists_are_seen() -> None:
    found = signals("```\nx = {1};\n```\n- one\n- two\n1. three?\n2. four?")

    assert found["code"] > 0.9
    assert found["parts"] > 0.7
