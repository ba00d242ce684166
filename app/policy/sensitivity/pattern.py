"""What a kind of sensitive thing looks like: a trigger for the multi-pattern pass, an exact expression around each hit, and a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain import Tier

if TYPE_CHECKING:
    import re
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to find one kind.

    `trigger` is Hyperscan syntax over ASCII and may match too much, never too little; `exact` then runs from `behind` code points before the end of each
    of its hits to `ahead` after it, and `check` says how sure a match is (None: it is not one). The finding is the group `value`, else the whole match.
    Both expressions take time linear in the text: every repetition is bounded.
    """

    kind: str
    trigger: str
    exact: re.Pattern[str]
    check: Callable[[re.Match[str]], Tier | None]
    behind: int = 160
    ahead: int = 160
    caseless: bool = False


def hard(_: re.Match[str]) -> Tier:
    """Say that the shape alone is proof."""
    return Tier.HARD


def likely(_: re.Match[str]) -> Tier:
    """Say that the shape is evidence."""
    return Tier.LIKELY


def weak(_: re.Match[str]) -> Tier:
    """Say that the shape is a hint."""
    return Tier.WEAK
