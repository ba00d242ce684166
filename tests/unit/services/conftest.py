from __future__ import annotations

import pytest

from tests.unit.services.kept import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()
