from __future__ import annotations

import pytest

from app.config.known import Known


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (Known(given=("AWS_REGION", "KEY")), "AWS_REGION, KEY"),
        (Known(given=("AWS_REGION",), missing=("KEY", "SECRET")), "missing: KEY, SECRET"),
        (Known(literal=True), "in the file"),
        (Known(), "none"),
    ],
)
def test_credentials_are_told_by_the_names_of_their_variables(known: Known, said: str) -> None:
    assert known.credentials == said
