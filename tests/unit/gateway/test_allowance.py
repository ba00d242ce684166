from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain_attempts import DeploymentLimits
from app.gateway.allowance import Allowance, Bucket


def test_a_minutes_worth_is_there_at_once_and_comes_back_evenly() -> None:
    bucket = Bucket(60, 0)
    for _ in range(60):
        assert bucket.wait_s(1, 0) == 0
        bucket.take(1, 0)

    assert bucket.wait_s(1, 0) == 1
    assert bucket.wait_s(1, 0.5) == 0.5
    assert bucket.wait_s(2, 1) == 1


def test_what_is_more_than_a_minutes_worth_waits_for_a_full_bucket_only() -> None:
    bucket = Bucket(60, 0)
    assert bucket.wait_s(1000, 0) == 0

    bucket.take(1000, 0)

    assert bucket.wait_s(1, 0) == pytest.approx(941)


def test_what_was_not_used_comes_back_and_what_was_used_beyond_is_owed() -> None:
    bucket = Bucket(60, 0)
    bucket.take(50, 0)
    bucket.give_back(20, 0)
    assert bucket.wait_s(30, 0) == 0
    assert bucket.wait_s(31, 0) == 1

    bucket.give_back(-60, 0)

    assert bucket.wait_s(1, 0) == 31


def test_it_never_holds_more_than_a_minutes_worth() -> None:
    bucket = Bucket(60, 0)
    bucket.give_back(100, 0)
    bucket.take(0, 1000)

    assert bucket.wait_s(60, 1000) == 0
    bucket.take(60, 1000)
    assert bucket.wait_s(1, 1000) == 1


def test_both_limits_hold() -> None:
    allowance = Allowance(DeploymentLimits(requests_per_minute=2, tokens_per_minute=600), 0)
    assert allowance.counts_tokens

    allowance.reserve(600, 0)
    assert allowance.wait_s(100, 0) == 10
    allowance.settle(600, 0)
    assert allowance.wait_s(100, 0) == 0
    allowance.reserve(0, 0)
    assert allowance.wait_s(0, 0) == 30


def test_what_is_not_limited_waits_for_nothing() -> None:
    by_tokens = Allowance(DeploymentLimits(tokens_per_minute=60), 0)
    by_requests = Allowance(DeploymentLimits(requests_per_minute=60), 0)
    for _ in range(60):
        by_tokens.reserve(0, 0)
        by_requests.reserve(1000, 0)
    by_requests.settle(1000, 0)

    assert by_tokens.wait_s(0, 0) == 0
    assert not by_requests.counts_tokens
    assert by_requests.wait_s(0, 0) == 1


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 100), st.integers(0, 200)), max_size=60))
def test_no_more_than_a_minutes_worth_and_what_came_since_is_ever_granted(steps: list[tuple[float, int, int]]) -> None:
    """Used tokens may go beyond the limit only by what a call used over its reservation, and that is paid back before the next call."""
    bucket = Bucket(100, 0)
    now = granted = 0.0
    for later, reserved, used in steps:
        now += later
        if bucket.wait_s(reserved, now) == 0:
            bucket.take(reserved, now)
            bucket.give_back(reserved - used, now)
            over = max(0, used - reserved)
            granted += used

            assert granted - over <= 100 + now * 100 / 60 + 1e-6
