from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Cuts
from app.gateway.calibration import BAD_SCORE, NOT_JSON, OTHER_EVENT, OTHER_ROUTE, UNSCORED, Calibration, Tally, histogram

TODAY = Cuts(0.07, 0.42)


def line(score: Any, **more: Any) -> bytes:
    event = {"time": 1000.0, "event": "request", "route": "/v1/chat/completions", "complexity": "simple", "score": score, **more}
    return json.dumps(event).encode() + b"\n"


def tally(*scores: float) -> Tally:
    found = Tally()
    for score in scores:
        found.read(line(round(score, 4)))
    return found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"Serving on http://127.0.0.1:8000\n", NOT_JSON),
        (b'{"event": "request", "score": 0.\n', NOT_JSON),
        (b'{"event": "reload_taken"}\n', OTHER_EVENT),
        (b'{"event": "request", "route": "/health"}\n', OTHER_ROUTE),
        (b'{"event": "request", "route": "/v1/chat/completions"}\n', UNSCORED),
        (line("0.5"), BAD_SCORE),
        (line(True), BAD_SCORE),
        (line(1.5), BAD_SCORE),
    ],
)
def test_a_line_without_a_score_of_a_chat_request_is_skipped_and_counted(text: bytes, why: str) -> None:
    found = Tally()

    found.read(text)

    assert (found.requests, dict(found.skipped), found.lines) == (0, {why: 1}, 1)


def test_a_blank_line_is_none() -> None:
    found = Tally()

    found.read(b"\n")

    assert found.lines == 0


def test_what_a_container_runtime_writes_before_the_event_is_no_matter() -> None:
    found = Tally()

    found.read(b"gateway-1  | " + line(0.5))

    assert found.requests == 1


def test_what_was_routed_as_complex_and_when_is_known() -> None:
    found = Tally()

    found.read(line(0.5, complexity="complex", time=2000))
    found.read(line(0.1))
    found.read(line(0.1, time="yesterday"))

    assert (found.routed_complex, found.first, found.last) == (1, 1000.0, 2000)


def test_the_parts_of_the_tiers_are_those_that_the_gateway_would_have_given() -> None:
    shares = tally(0.0, 0.0699, 0.07, 0.4199, 0.42, 1.0, 0.9, 0.5).shares(TODAY)

    assert (shares.simple, shares.medium, shares.complex) == (0.25, 0.25, 0.5)


def test_a_cut_that_is_no_step_of_the_log_counts_what_is_above_it() -> None:
    assert tally(0.42, 0.4201).shares(Cuts(0.0, 0.42005)).complex == 0.5


def test_the_cut_leaves_the_wanted_share_above_it() -> None:
    found = tally(*(step / 100 for step in range(100)))

    assert found.shares(Cuts(0.0, found.cut(0.3))).complex == 0.3


def test_the_cut_lies_between_two_scores_so_that_rounding_moves_no_request() -> None:
    assert tally(0.2, 0.4).cut(0.5) == pytest.approx(0.3)


def test_the_cut_goes_to_the_side_of_equal_scores_that_is_nearer() -> None:
    many = tally(*[0.5] * 60, *[0.1] * 40)

    assert many.shares(Cuts(0.0, many.cut(0.3))).complex in {0.0, 0.6}
    assert many.shares(Cuts(0.0, many.cut(0.55))).complex == 0.6


@pytest.mark.parametrize(("scores", "cut"), [((0.0,), 0.0), ((1.0,), 0.99995)])
def test_a_cut_is_a_score(scores: tuple[float, ...], cut: float) -> None:
    assert tally(*scores).cut(0.9) == pytest.approx(cut)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_no_cut_comes_nearer_to_the_share_and_the_log_says_what_unrounded_scores_would(scores: list[float], share: float) -> None:
    found = tally(*scores)

    cut = found.cut(share)
    above = sum(score >= cut for score in scores) / len(scores)
    others = [sum(round(score, 4) >= other for score in scores) / len(scores) for other in [*(round(score, 4) for score in scores), 2.0]]

    assert 0.0 <= cut <= 1.0
    if cut < 1.0:  # at 1 a score of 1 is complex, whatever is wanted
        assert abs(found.shares(Cuts(0.0, cut)).complex - above) < 1e-9
        assert abs(above - share) <= min(abs(other - share) for other in others) + 1e-9


def test_medium_stays_unless_complex_begins_below_it() -> None:
    scores = tally(*(step / 1000 for step in range(100)))

    assert Calibration(scores, 0.01, TODAY).proposed.medium == 0.07
    low = Calibration(scores, 0.9, TODAY).proposed
    assert low.medium == low.complex < 0.07


def test_too_few_scores_are_said() -> None:
    assert "few: 2 scores" in Calibration(tally(0.2, 0.4), 0.5, TODAY).notes()[0]
    assert Calibration(tally(*(step / 300 for step in range(300))), 0.5, TODAY).notes() == []


def test_a_share_that_no_cut_gives_is_said() -> None:
    assert any("No cut comes nearer to 30.0% than 0.0%" in note for note in Calibration(tally(*[0.5] * 300), 0.3, TODAY).notes())


def test_a_cut_outside_of_the_bounds_is_said_where_the_configuration_has_some() -> None:
    scores = tally(*(step / 300 for step in range(300)))

    assert any("`bounds`" in note for note in Calibration(scores, 0.99, TODAY, target=0.3, bounds=(0.15, 0.8)).notes())
    assert Calibration(scores, 0.5, TODAY, target=0.3, bounds=(0.15, 0.8)).notes() == []


def test_a_log_of_requests_that_no_rule_scored_is_said() -> None:
    scores = tally(*(step / 300 for step in range(300)))
    scores.skipped[UNSCORED] = 301

    assert any("no rule in play read it" in note for note in Calibration(scores, 0.5, TODAY).notes())


def test_the_steps_of_the_histogram_hold_every_score() -> None:
    steps = histogram(tally(0.0, 0.05, 0.9999, 1.0).counts)

    assert [count for _, _, count in steps if count] == [1, 1, 2]
    assert steps[1][:2] == (0.05, 0.1)
