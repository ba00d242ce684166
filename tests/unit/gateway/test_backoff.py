from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Failure
from app.errors import UpstreamError
from app.gateway.backoff import is_worth_another_call, wait_before_retry

ROOM = {"rests_s": 0.0, "left_s": 100.0, "wait_s": 2.0}


@pytest.mark.parametrize(
    ("error", "others_left", "last"),
    [
        (UpstreamError(Failure.UNAVAILABLE, upstream_status=503), True, True),
        (UpstreamError(Failure.RATE_LIMITED, upstream_status=429), False, True),
        (UpstreamError(Failure.RATE_LIMITED, upstream_status=429, retry_after_s=1), True, True),
        (UpstreamError(Failure.BROKEN, upstream_status=500), False, True),
        (UpstreamError(Failure.BROKEN), False, False),
        (UpstreamError(Failure.TIMEOUT), False, False),
        (UpstreamError(Failure.UNREACHABLE, sent=False), False, True),
        (UpstreamError(Failure.UNREACHABLE, sent=True), False, False),
        (UpstreamError(Failure.OPERATOR, upstream_status=401), False, False),
        (UpstreamError(Failure.REJECTED, upstream_status=400), False, False),
        (UpstreamError(Failure.NOT_CLEARED, sent=False), False, False),
    ],
)
def test_a_deployment_is_asked_again_where_that_may_help(error: UpstreamError, *, others_left: bool, last: bool) -> None:
    assert is_worth_another_call(error, last=False) is others_left
    assert is_worth_another_call(error, last=True) is last


def test_waits_are_drawn_below_a_bound_that_doubles() -> None:
    error = UpstreamError(Failure.UNAVAILABLE)
    waits = [wait_before_retry(error, tries, 1.0, rests_s=0, left_s=100, wait_s=100, last=True) for tries in range(1, 8)]

    assert waits == [0.5, 1, 2, 4, 8, 8, 8]
    assert wait_before_retry(error, 3, 0.25, **ROOM, last=True) == 0.5
    assert wait_before_retry(error, 3, 0.0, **ROOM, last=True) == 0


@pytest.mark.parametrize(("asked_s", "last", "waits"), [(1.5, False, True), (3, False, False), (3, True, True), (99, True, True), (100, True, False)])
def test_retry_after_is_obeyed_where_it_fits(asked_s: float, *, last: bool, waits: bool) -> None:
    error = UpstreamError(Failure.RATE_LIMITED, retry_after_s=asked_s)

    assert wait_before_retry(error, 1, 0.5, **ROOM, last=last) == (asked_s if waits else None)


def test_a_breaker_is_not_waited_for_longer_than_the_policy_says() -> None:
    error = UpstreamError(Failure.UNAVAILABLE)

    assert wait_before_retry(error, 1, 0.0, rests_s=5, left_s=100, wait_s=2, last=True) is None
    assert wait_before_retry(error, 1, 0.0, rests_s=1, left_s=100, wait_s=2, last=True) == 1


@given(
    asked_s=st.none() | st.floats(0, 1e6),
    tries=st.integers(1, 20),
    drawn=st.floats(0, 1),
    rests_s=st.floats(0, 1e6),
    left_s=st.floats(-10, 1e6),
    wait_s=st.floats(0, 1e6),
    last=st.booleans(),
)
def test_no_wait_reaches_the_deadline_or_ends_before_it_may(
    asked_s: float | None, tries: int, drawn: float, rests_s: float, left_s: float, wait_s: float, *, last: bool
) -> None:
    error = UpstreamError(Failure.RATE_LIMITED, retry_after_s=asked_s)
    wait = wait_before_retry(error, tries, drawn, rests_s=rests_s, left_s=left_s, wait_s=wait_s, last=last)

    assert wait is None or (wait < left_s and wait >= max(rests_s, asked_s or 0.0))
    assert wait is None or last or wait <= wait_s
