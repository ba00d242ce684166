from __future__ import annotations

import re

import pytest

from app import errors
from app.domain import Failure
from app.errors import AttemptsFailedError, GatewayError, UpstreamError


def classes() -> list[type[GatewayError]]:
    found = [GatewayError]
    for cls in found:
        found.extend(cls.__subclasses__())
    return [cls for cls in found if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", classes())
def test_the_tree_in_the_head_of_the_file_names_every_class(cls: type[GatewayError]) -> None:
    assert re.search(rf"\b{cls.__name__}\b", errors.__doc__ or "")


@pytest.mark.parametrize("cls", [cls for cls in classes() if cls not in (UpstreamError, AttemptsFailedError, GatewayError)])
def test_the_tree_tells_the_status_of_every_class(cls: type[GatewayError]) -> None:
    line = next(line for line in (errors.__doc__ or "").splitlines() if f" {cls.__name__} " in line)

    assert f" {cls.status} " in line
    assert cls.type in line


def test_the_body_is_openais() -> None:
    error = GatewayError("Broken.", code="c", param="p", headers={"retry-after": "1"})

    assert error.body() == {"error": {"message": "Broken.", "type": "server_error", "param": "p", "code": "c"}}
    assert error.headers == {"retry-after": "1"}


def test_a_failed_attempt_is_named_by_its_status_or_its_kind() -> None:
    assert UpstreamError(Failure.BROKEN, upstream_status=500).label == "500"
    assert UpstreamError(Failure.TIMEOUT).label == "timeout"


@pytest.mark.parametrize(("asked", "told"), [(None, "5"), (0.2, "1"), (7.4, "7")])
def test_retry_after_is_what_the_provider_asked_for(asked: float | None, told: str) -> None:
    error = AttemptsFailedError([("d", UpstreamError(Failure.RATE_LIMITED, retry_after_s=asked))])

    assert error.headers == {"retry-after": told}


def test_a_prompt_that_is_too_long_for_one_while_the_next_rests_is_for_later() -> None:
    exceeded, resting = UpstreamError(Failure.CONTEXT_EXCEEDED, upstream_status=400), UpstreamError(Failure.RESTING, retry_after_s=4.0)

    error = AttemptsFailedError([("c", exceeded), ("d", resting)])

    assert (error.status, error.code, error.headers) == (503, "upstream_unavailable", {"retry-after": "4"})
    assert AttemptsFailedError([("c", exceeded)]).status == 502


def test_what_is_for_later_says_when_to_ask_again() -> None:
    error = AttemptsFailedError([("d", UpstreamError(Failure.LIMITED, retry_after_s=30.0))])

    assert error.message == "No deployment could answer. Tried: d (limited). Ask again in 30 s."


def test_what_the_operator_alone_can_mend_is_not_asked_again_and_points_at_the_log() -> None:
    refused, down = UpstreamError(Failure.OPERATOR, upstream_status=401, remedy="Check KEY."), UpstreamError(Failure.BROKEN, upstream_status=500)

    alone, beside = AttemptsFailedError([("d", refused)]), AttemptsFailedError([("c", down), ("d", refused)])

    assert alone.message == "No deployment could answer. Tried: d (401). The gateway's log says what its operator can do."
    assert (alone.headers, beside.headers) == ({"x-should-retry": "false"}, {})


def test_a_remedy_is_told_to_the_caller_only_where_it_may() -> None:
    secret = AttemptsFailedError([("d", UpstreamError(Failure.OPERATOR, remedy="Check KEY."))])
    told = AttemptsFailedError([("d", UpstreamError(Failure.OPERATOR, remedy="Run it.", tell_caller=True))])

    assert (secret.status, "KEY" in secret.message) == (502, False)
    assert (told.status, "Run it." in told.message) == (503, True)
