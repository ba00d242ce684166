from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import CUTS, Complexity, ComplexityTier, Cuts
from app.gateway.scores import Scores
from app.policy.complexity import SCALE, Target
from app.utils.monitoring import COMPLEX_CUT, COMPLEX_SHARE

FOLLOWS = replace(SCALE, target=Target(0.3, 0.1, 0.9, 200))


def routed(scores: Scores, *values: float, scale: object = FOLLOWS) -> None:
    """Route requests of these scores as the gateway does: by the cuts of the moment."""
    assert isinstance(scale, type(SCALE))
    for value in values:
        cuts = scores.cuts(scale)
        scores.add(Complexity(value, cuts.tier(value), (), cuts), scale)


def spread(count: int) -> list[float]:
    """Return scores over all of 0..1, none twice, in no order."""
    return [(place * 617 % count) / count for place in range(count)]


def test_without_a_target_the_cuts_stay() -> None:
    scores = Scores()
    routed(scores, *spread(300), scale=SCALE)

    assert scores.cuts(SCALE) == CUTS


def test_too_few_scores_move_nothing() -> None:
    scores = Scores()
    routed(scores, *spread(99))

    assert scores.cuts(FOLLOWS) == CUTS
    routed(scores, 0.5)
    assert scores.cuts(FOLLOWS) != CUTS


def test_the_share_of_complex_requests_comes_to_the_target() -> None:
    scores = Scores()
    routed(scores, *spread(1_000))

    assert scores.share == pytest.approx(0.3, abs=0.03)
    assert scores.cuts(FOLLOWS).complex == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(("value", "cut"), [(0.0, 0.1), (0.05, 0.1), (0.95, 0.9)])
def test_the_cut_stays_within_its_bounds(value: float, cut: float) -> None:
    scores = Scores()
    routed(scores, *[value] * 150)

    assert scores.cuts(FOLLOWS).complex == cut


def test_medium_never_begins_above_complex() -> None:
    scores = Scores()
    routed(scores, *[0.0] * 150)

    assert scores.cuts(replace(FOLLOWS, cuts=Cuts(0.2, 0.4))) == Cuts(0.1, 0.1)


def test_a_target_of_nothing_is_the_highest_cut() -> None:
    scores = Scores()
    routed(scores, *spread(150))

    assert scores.cuts(replace(FOLLOWS, target=Target(0.0, 0.1, 0.9))).complex == 0.9


def test_old_scores_leave_the_window() -> None:
    scores = Scores()
    routed(scores, *[0.2] * 200, *[0.8] * 200)

    assert scores.cuts(FOLLOWS).complex == 0.8


@given(st.lists(st.floats(0, 1), max_size=400))
def test_the_window_is_bounded_and_its_share_true(values: list[float]) -> None:
    scores = Scores()
    seen: list[bool] = []
    for value in values:
        cuts = scores.cuts(FOLLOWS)
        found = Complexity(value, cuts.tier(value), (), cuts)
        scores.add(found, FOLLOWS)
        seen.append(found.tier is ComplexityTier.COMPLEX)

        assert 0.1 <= scores.cuts(FOLLOWS).complex <= 0.9
    newest = seen[-200:]
    assert scores.share == pytest.approx(sum(newest) / len(newest) if newest else 0)


def test_share_and_cut_are_told() -> None:
    scores = Scores()
    routed(scores, *[0.5] * 161)

    assert COMPLEX_SHARE._value.get() == 1.0
    assert COMPLEX_CUT._value.get() == 0.5


def test_a_target_that_a_reload_brings_takes_what_is_in_the_window() -> None:
    scores = Scores()
    for scale in (SCALE, FOLLOWS, SCALE, FOLLOWS):
        routed(scores, *spread(200), scale=scale)

        assert scores.cuts(scale).complex == pytest.approx(CUTS.complex if scale is SCALE else 0.7, abs=0.03)
