from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.policy.collect import Scalar
from app.policy.sensitivity.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Scanner:
    return Scanner(cache=tmp_path_factory.mktemp("patterns"))


@pytest.fixture(scope="session")
def spot(scanner: Scanner) -> Callable[[str], set[tuple[str, str, str]]]:
    """Give the kind, the tier and the text of every finding in a text."""

    def find(text: str) -> set[tuple[str, str, str]]:
        findings = scanner.scan([Scalar("text", text)])
        return {(finding.kind, str(finding.tier), text[finding.start : finding.end]) for finding in findings}

    return find
