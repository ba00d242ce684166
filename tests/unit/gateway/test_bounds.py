from __future__ import annotations

import pytest

from app.errors import InvalidRequestError
from app.gateway.bounds import UNBOUND, Bounds, read_bounds


@pytest.mark.parametrize(("timeout_s", "told"), [(None, "gateway's limit of 600 s (LLM_TIMEOUT)"), (900, "600 s (LLM_TIMEOUT)"), (2.5, "2.5 s (X-Timeout)")])
def test_who_runs_out_of_time_is_told_whose_limit_it_was(timeout_s: float | None, told: str) -> None:
    assert told in Bounds(timeout_s).tell_reached(600.0)


def test_who_says_nothing_is_not_bound() -> None:
    assert read_bounds({"x-other": "1"}) is UNBOUND
    assert not UNBOUND.no_fallback
    assert UNBOUND.timeout_below(300) == 300


@pytest.mark.parametrize(("text", "limit_s"), [("2.5", 2.5), (" 30 ", 30), ("1e1", 10), ("900", 300)])
def test_a_timeout_can_only_lower_the_operators(text: str, limit_s: float) -> None:
    assert read_bounds({"x-timeout": text}).timeout_below(300) == limit_s


@pytest.mark.parametrize("text", ["", "0", "-1", "soon", "nan", "inf", "1e999", "5, 6"])
def test_a_timeout_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_bounds({"x-timeout": text})

    assert (caught.value.param, caught.value.code) == ("X-Timeout", "invalid_value")


@pytest.mark.parametrize(("text", "alone"), [("true", True), ("1", True), ("YES", True), ("false", False), ("0", False), ("", False)])
def test_a_caller_may_forbid_every_other_deployment(text: str, *, alone: bool) -> None:
    assert read_bounds({"x-no-fallback": text}).no_fallback is alone


def test_another_word_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_bounds({"x-no-fallback": "perhaps"})

    assert caught.value.param == "X-No-Fallback"


def test_both_can_be_said() -> None:
    assert read_bounds({"x-timeout": "3", "x-no-fallback": "true"}) == Bounds(3, no_fallback=True)
