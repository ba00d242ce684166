"""The gateway with a scanner that finds nothing, to see what scanning costs: `python -m benchmarks.unscanned` in place of `python -m app serve`.

It is no setting of the gateway, and everything that it is sent counts as public.
"""

from __future__ import annotations

import sys
from typing import Any

from app import assessing
from app.__main__ import main


class Blind:
    """Stands for the scanner."""

    health: str | None = None

    def __init__(self, **_: Any) -> None:
        """Take what the scanner takes."""

    def scan(self, *_: Any) -> tuple[()]:
        """Find nothing."""
        return ()


if __name__ == "__main__":
    vars(assessing)["Scanner"] = Blind  # for this process alone
    sys.exit(main(["serve"]))
