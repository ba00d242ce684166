from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain_attempts import BreakerPolicy
from app.gateway.breaker import LONGEST_REST_S, Breaker

POLICY = BreakerPolicy(failures=3, rate=0.5, calls=10, window_s=60, cooldown_s=5, longest_s=30)


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(POLICY)
    for _ in range(3):
        breaker.failed(at, probe=False)
    return breaker


def test_three_failures_in_a_row_open_it_and_two_do_not() -> None:
    breaker = Breaker(POLICY)

    assert [breaker.failed(0, probe=False) for _ in range(3)] == [False, False, True]
    assert breaker.rests_s(1) == 4


def test_a_success_ends_the_row() -> None:
    breaker = Breaker(POLICY)
    for _ in range(4):
        breaker.failed(0, probe=False)
        breaker.failed(0, probe=False)
        breaker.succeeded(0, probe=False)

    assert breaker.is_closed is False  # by the rate: 8 of 12
    calm = Breaker(BreakerPolicy(failures=3, calls=100))
    for _ in range(4):
        calm.failed(0, probe=False)
        calm.failed(0, probe=False)
        calm.succeeded(0, probe=False)
    assert calm.is_closed


def test_a_rate_of_failures_opens_it_once_there_are_enough_calls() -> None:
    breaker = Breaker(POLICY)
    for turn in range(4):
        breaker.succeeded(turn, probe=False)
        assert not breaker.failed(turn, probe=False)
    breaker.succeeded(5, probe=False)

    assert breaker.failed(5, probe=False)


def test_three_answers_in_a_row_that_break_off_open_it() -> None:
    breaker = Breaker(POLICY)

    assert [breaker.cut(turn, breaker.succeeded(turn, probe=False)) for turn in range(3)] == [False, False, True]


def test_an_answer_that_breaks_off_after_others_were_served_brings_no_old_row_back() -> None:
    breaker = Breaker(POLICY)
    breaker.failed(0, probe=False)
    breaker.failed(0, probe=False)
    begun = breaker.succeeded(0, probe=False)
    for _ in range(20):
        breaker.succeeded(1, probe=False)

    assert not breaker.cut(2, begun)


def test_an_answer_that_breaks_off_counts_once() -> None:
    breaker = Breaker(BreakerPolicy(failures=100, rate=0.6, calls=10))
    for _ in range(4):
        breaker.succeeded(0, probe=False)

    assert [breaker.cut(0, breaker.succeeded(0, probe=False)) for _ in range(6)] == [False] * 5 + [True]


def test_a_probe_that_breaks_off_opens_it_again() -> None:
    breaker = opened()
    assert breaker.probe(6)

    assert breaker.cut(7, breaker.succeeded(6, probe=True))
    assert breaker.rests_s(7) == 5


def test_failures_older_than_the_window_do_not_count() -> None:
    breaker = Breaker(POLICY)
    for _ in range(4):
        breaker.succeeded(0, probe=False)
        breaker.failed(0, probe=False)
    breaker.succeeded(61, probe=False)

    assert not breaker.failed(61, probe=False)


def test_failures_of_the_half_window_before_count_still() -> None:
    breaker = Breaker(POLICY)
    for _ in range(4):
        breaker.succeeded(0, probe=False)
        breaker.failed(0, probe=False)
    breaker.succeeded(40, probe=False)

    assert breaker.failed(40, probe=False)


def test_after_the_rest_one_call_probes_and_the_others_come_later() -> None:
    breaker = opened()

    assert not breaker.probe(4)
    assert breaker.rests_s(5) == 0
    assert breaker.probe(5)
    assert breaker.rests_s(5) > 0
    assert not breaker.probe(5)


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.probe(5)
    breaker.succeeded(6, probe=True)

    assert breaker.is_closed
    assert not breaker.failed(6, probe=False)  # and nothing of before counts


def test_each_probe_that_fails_doubles_the_rest_up_to_the_longest() -> None:
    breaker = opened()
    now, rests = 0.0, []
    for _ in range(4):
        now += breaker.rests_s(now)
        assert breaker.probe(now)
        assert breaker.failed(now, probe=True)
        rests.append(breaker.rests_s(now))

    assert rests == [10, 20, 30, 30]


def test_a_probe_that_says_nothing_leaves_its_place_to_the_next() -> None:
    breaker = opened()
    breaker.probe(5)
    breaker.released(probe=True)

    assert breaker.rests_s(5) == 0
    assert breaker.probe(5)


def test_what_began_before_it_opened_changes_nothing() -> None:
    breaker = opened()

    assert not breaker.failed(2, probe=False)
    breaker.succeeded(2, probe=False)
    breaker.released(probe=False)
    assert breaker.rests_s(2) == 3


def test_a_rest_that_was_asked_for_is_kept_within_bounds_and_never_shortened() -> None:
    breaker = Breaker(POLICY)
    breaker.rest(0, 7)
    breaker.rest(0, 2)
    assert breaker.rests_s(0) == 7

    breaker.rest(0, 1e9)
    assert breaker.rests_s(0) == LONGEST_REST_S


def test_a_provider_that_says_when_to_come_back_is_asked_then_and_not_by_a_rest_of_ours() -> None:
    breaker = Breaker(POLICY)

    assert [breaker.failed(0, probe=False, asked_s=0.5) for _ in range(3)] == [True] * 3
    assert breaker.rests_s(0) == 0.5
    assert breaker.probe(1)
    assert breaker.failed(1, probe=True, asked_s=2)
    assert breaker.rests_s(1) == 2
    assert breaker.probe(3)
    assert breaker.failed(3, probe=True)
    assert breaker.rests_s(3) == 5


def test_a_late_failure_that_asks_for_less_shortens_no_rest() -> None:
    breaker = opened()

    breaker.failed(1, probe=False, asked_s=1)

    assert breaker.rests_s(1) == 4


def test_a_closed_one_needs_no_probe() -> None:
    assert not Breaker(POLICY).probe(0)
    assert Breaker(POLICY).rests_s(0) == 0


@pytest.mark.parametrize("seed", [BreakerPolicy(), POLICY])
@given(steps=st.lists(st.tuples(st.sampled_from(["call", "well", "ill", "nothing"]), st.floats(0, 20)), max_size=80))
def test_there_is_never_more_than_one_probe(seed: BreakerPolicy, steps: list[tuple[str, float]]) -> None:
    breaker = Breaker(seed)
    now = 0.0
    under_way: list[bool] = []
    for step, later in steps:
        now += later
        if step == "call" and breaker.rests_s(now) == 0:
            under_way.append(breaker.probe(now))
        elif step != "call" and under_way:
            probe = under_way.pop(0)
            match step:
                case "well":
                    breaker.succeeded(now, probe=probe)
                case "ill":
                    breaker.failed(now, probe=probe)
                case _:
                    breaker.released(probe=probe)

        assert sum(under_way) <= 1
