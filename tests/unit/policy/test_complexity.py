from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import ComplexityTier, Cuts
from app.policy.complexity import SCALE, Scale, count, is_continuation, score
from app.policy.lexicon import BUILT_IN, Lexicon, Signal

HARD = (
    "Design a distributed cache with strong consistency: compare three consensus protocols, prove that your choice is optimal, "
    "and plan the rollout step by step."
)


def signals(text: str, *, scale: Scale = SCALE) -> dict[str, float]:
    """Return each signal's strength in 0..1."""
    counts, simple = count(text, scale)
    return {name: min(1.0, counts[place] / enough) for place, name, _, enough in scale.weighed} | {"simple": simple}


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


@pytest.mark.parametrize(
    "turn",
    [
        *("yes", "Go on, please.", "ok, do it then"),
        *("Ja, bitte weiter!", "Mach weiter."),
        *("Oui, continuez.", "Vas-y, merci"),
        *("Sí, sigue.", "¡Continúa, por favor!"),
        *("继续", "好的，请继续。", "是的", "继续吧。"),
    ],
)
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
    only_code = Scale(weights={"code": 1.0}, cuts=Cuts(0.1, 0.2))

    found = score(("fix this python function, it raises in the loop",), scale=only_code)

    assert [name for name, _ in found.contributions] == ["code"]
    assert found.tier == ComplexityTier.COMPLEX


def test_the_middle_of_a_long_text_is_left_out() -> None:
    edge = "word " * 2_000

    assert signals(edge + "prove " + edge)["reasoning"] == 0
    assert signals("prove " + edge + edge)["reasoning"] > 0


@pytest.mark.parametrize(("text", "code", "mathematics"), [("call f() and g()", 0.125, 0.0), ("o(n) (or so)", 0.0, 0.125), ("(a) + (b)", 0.0, 0.125)])
def test_marks_of_two_characters_are_told_from_their_parts(text: str, code: float, mathematics: float) -> None:
    found = signals(text)

    assert (found["code"], found["mathematics"]) == (code, mathematics)


def test_code_fences_and_lists_are_seen() -> None:
    found = signals("```\nx = {1};\n```\n- one\n- two\n1. three?\n2. four?")

    assert found["code"] > 0.9
    assert found["parts"] > 0.7


@pytest.mark.parametrize(
    ("signal", "texts"),
    [
        ("clauses", ["because", "obwohl", "parce que", "aunque", "因为下雨"]),
        ("quantities", ["twice", "insgesamt", "moitié", "promedio", "一共多少"]),
        ("mathematics", ["solve", "gleichungen", "dérivée", "ecuaciones", "解这个方程"]),
        ("code", ["python", "datenbank", "requête", "consulta", "写代码"]),
        ("reasoning", ["prove", "begründe", "justifie", "demuestra", "分析原因"]),
        ("building", ["design", "implementiere", "conçois", "diseña", "部署服务"]),
        ("writing", ["essay", "verfasse", "rédige", "redacta", "写一首诗"]),
        ("constraints", ["without", "höchstens", "jamais", "nunca", "不超过三个"]),
        ("technical", ["distributed", "nebenläufigkeit", "chiffrement", "cifrado", "分布式"]),
        ("simple", ["what is", "was ist", "traduis", "qué es", "什么是熵"]),
    ],
)
def test_each_signal_is_told_in_five_languages(signal: str, texts: list[str]) -> None:
    for text in texts:
        assert signals(text)[signal] > 0, text


@pytest.mark.parametrize("turn", ["no", "yes " * 6, "yes, and prove it", "x" * 61])
def test_what_says_more_is_no_continuation(turn: str) -> None:
    assert not is_continuation(turn)


def test_an_operators_signal_is_weighed_beside_the_others() -> None:
    own = Scale(weights={**SCALE.weights, "legal": 0.5}, lexicon=Lexicon([Signal("legal", words=("indenture", "estoppel"))]), own={"legal": 2})

    assert signals("an indenture", scale=own)["legal"] == 0.5
    assert dict(score(("an indenture and estoppel",), scale=own).contributions)["legal"] == pytest.approx(0.5)


def test_other_cuts_move_the_tier_and_not_the_score() -> None:
    found = score((HARD,), cuts=Cuts(0.98, 0.99))

    assert (found.tier, found.score) == (ComplexityTier.SIMPLE, score((HARD,)).score)


@pytest.mark.parametrize("text", ["a\u00a0b\u3000c", "a\u201cb\u201d c", "a\uff0cb\u3002c"])
def test_other_scripts_marks_and_spaces_part_words(text: str) -> None:
    assert signals(f"{text} " * 40)["length"] == signals("a b c " * 40)["length"]


HOSTILE = ["(", "\n- ", "`", "1,", ".,", "prove it ", "\n\n\n", "what is ", "分析", "\ud800", "a", " + * ", "\u00a0", "é ", "==" * 3, "```", "do not "]


@pytest.mark.parametrize("piece", HOSTILE)
def test_steps_grow_no_faster_than_the_text(piece: str) -> None:
    steps = [_steps(piece * (size // len(piece))) for size in (2_000, 4_000)]

    assert steps[1] <= 2 * steps[0] + 50


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_longer_text_takes_no_more_steps_than_the_sample(piece: str) -> None:
    assert _steps(piece * (1_000_000 // len(piece))) <= 1.1 * _steps(piece * (6_000 // len(piece))) + 50


def test_no_more_than_the_sample_is_looked_at() -> None:
    looked: list[int] = []

    class Noting:
        names = BUILT_IN.names

        def count(self, text: str, raw: bytes, words: bytes) -> list[float]:
            looked.append(len(text))
            return BUILT_IN.count(text, raw, words)

    lexicon: Any = Noting()
    for size in (1_000, 100_000, 1_000_000):
        signals("prove " * (size // 6), scale=replace(SCALE, lexicon=lexicon))

    assert looked == [996, 6_001, 6_001]


def _steps(text: str) -> int:
    """Return how many calls a score takes, Python's and C's."""
    steps: Counter[str] = Counter()
    sys.setprofile(lambda _frame, event, _arg: steps.update((event,)))
    try:
        score((text,))
    finally:
        sys.setprofile(None)
    return steps.total()
