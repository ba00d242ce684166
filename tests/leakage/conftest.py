"""The servers that a canary must not reach and those that it may, and what each test tells the table of `make prove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from tests.integration.conftest import cloud, http, local, other
from tests.leakage.lab import running_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.leakage.lab import Lab

__all__ = ["cloud", "http", "local", "other"]


class Evidence(Protocol):
    """Notes what a test did: a line of the table. Lines of one check are added up."""

    def __call__(self, check: str, tried: str, combinations: int, bytes_seen: int) -> None: ...


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Note what is to be seen before it is asserted, so that a failure stands in the table too."""

    def note(check: str, tried: str, combinations: int, bytes_seen: int) -> None:
        request.node.user_properties.append(("evidence", (check, tried, combinations, bytes_seen)))

    return note


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab"), llm_timeout=20) as running:
        yield running


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The module's servers, as if nothing had been asked yet but of Redis and the log, which keep what they hold."""
    shared_lab.forget()
    yield shared_lab
    shared_lab.forget()
