"""Every exception class that LiteLLM exports has a meaning here. A new one fails this test, not a request."""

from __future__ import annotations

import importlib
import inspect

import pytest

from app.domain import Failure
from app.providers.translate import load
from app.providers.translate.foreign import _FAILURES, failure_named

load()
exceptions = importlib.import_module("litellm.exceptions")
CLASSES = [cls for _, cls in inspect.getmembers(exceptions, inspect.isclass) if issubclass(cls, Exception) and cls.__module__ == "litellm.exceptions"]


def bare(cls: type[Exception]) -> Exception:
    """Make an exception without its constructor, whose signature differs from class to class."""
    return cls.__new__(cls)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_exception_of_litellm_is_mapped(cls: type[Exception]) -> None:
    assert failure_named(bare(cls)) is not None


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_exception_is_mapped_by_its_own_name_and_not_by_its_parents(cls: type[Exception]) -> None:
    assert cls.__name__ in _FAILURES


def test_the_table_names_no_class_that_litellm_no_longer_has() -> None:
    assert {cls.__name__ for cls in CLASSES} == set(_FAILURES)


def test_our_own_misconfiguration_is_not_the_callers_bad_request() -> None:
    unknown = exceptions.LiteLLMUnknownProvider

    assert issubclass(unknown, exceptions.BadRequestError)
    assert failure_named(bare(unknown)) is Failure.OPERATOR
