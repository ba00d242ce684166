from __future__ import annotations

import re

from app.domain import Tier
from app.policy.sensitivity.pattern import hard, likely, weak


def test_a_shape_can_be_enough() -> None:
    match = re.match("a", "a")
    assert match is not None

    assert (hard(match), likely(match), weak(match)) == (Tier.HARD, Tier.LIKELY, Tier.WEAK)
