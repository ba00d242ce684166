from __future__ import annotations

from functools import partial
from io import StringIO
from typing import TYPE_CHECKING

import httpx
import pytest
from litellm import exceptions
from litellm.llms.anthropic.common_utils import AnthropicError

from app.domain import Failure
from app.providers.translate import foreign
from app.utils import logging
from app.utils.monitoring import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.errors import UpstreamError

SECRET = "sk-secret in a prompt"


class _OwnBadRequest(exceptions.BadRequestError):  # type: ignore[misc]  # LiteLLM's classes are untyped here
    """A subclass that the table does not name."""


def bad_request(cls: type[Exception] = exceptions.BadRequestError) -> Exception:
    return cls(message=SECRET, model=SECRET, llm_provider="x")  # type: ignore[call-arg]  # LiteLLM's own signature


@pytest.mark.parametrize(
    ("exc", "failure"),
    [
        (bad_request(), Failure.REJECTED),
        (bad_request(_OwnBadRequest), Failure.REJECTED),
        (bad_request(exceptions.ContextWindowExceededError), Failure.CONTEXT_EXCEEDED),
        (exceptions.LiteLLMUnknownProvider(model=SECRET, custom_llm_provider=SECRET), Failure.OPERATOR),
        (AnthropicError(status_code=400, message=SECRET), Failure.REJECTED),
        (AnthropicError(status_code=500, message=SECRET), Failure.BROKEN),
        (KeyError(SECRET), Failure.REJECTED),
        (TypeError(SECRET), Failure.REJECTED),
        (RecursionError(SECRET), Failure.REJECTED),
        (Exception(SECRET), Failure.REJECTED),
        (RuntimeError(SECRET), Failure.BROKEN),
        (OSError(SECRET), Failure.BROKEN),
        (ImportError(SECRET), Failure.BROKEN),
    ],
)
def test_an_exception_while_building_is_known_by_its_class(exc: Exception, failure: Failure) -> None:
    error = foreign.building(exc, "anthropic", reads_body=True)

    assert error.failure is failure
    assert not error.sent


def test_before_the_body_is_read_an_exception_is_not_the_callers() -> None:
    assert foreign.building(KeyError(SECRET), "anthropic", reads_body=False).failure is Failure.BROKEN


def test_the_caller_is_told_what_to_check() -> None:
    text = foreign.building(KeyError(SECRET), "gemini", reads_body=True).provider_text or ""

    assert all(word in text for word in ("`gemini`", "`parameters`", "`tool_call_id`"))


@pytest.mark.parametrize("exc", [bad_request(), KeyError(SECRET), AnthropicError(status_code=400, message=SECRET)])
def test_an_exception_while_reading_is_a_broken_upstream(exc: Exception) -> None:
    assert foreign.reading(exc, "anthropic").failure is Failure.BROKEN


@pytest.mark.parametrize("read", [partial(foreign.building, reads_body=True), foreign.reading])
def test_a_foreign_text_goes_nowhere(read: Callable[[Exception, str], UpstreamError], monkeypatch: pytest.MonkeyPatch) -> None:
    log = StringIO()
    monkeypatch.setattr(logging._sink, "stream", log)

    error = read(bad_request(), "anthropic")

    assert SECRET not in f"{error} {error.provider_text} {error.remedy} {error.param} {log.getvalue()}"
    assert "translation_failed" in log.getvalue()


def test_what_is_caught_is_counted() -> None:
    before = FAULTS.labels(part="translate")._value.get()

    foreign.reading(KeyError("x"), "anthropic")

    assert FAULTS.labels(part="translate")._value.get() == before + 1


def test_httpx_errors_have_no_meaning_here() -> None:
    assert foreign.failure_named(httpx.ConnectError("x")) is None
