"""What a kind of sensitive thing looks like: a trigger for the multi-pattern pass, an exact expression around each hit, and a check."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from app.domain import Tier

if TYPE_CHECKING:
    import re
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to find one kind.

    `trigger` is Hyperscan syntax over ASCII and may match too much, never too little; `exact` then runs from `behind` code points before the end of each
    of its hits to `ahead` after it, and `check` says how sure a match is (None: it is not one), `surest` at most. The finding is the group `value`, else
    the whole match, up to a group `last` if there is one (which may stand in a lookahead: the next match may begin in it). Both expressions take time
    linear in the text: every repetition is bounded. A trigger that hangs on no literal stands `apart` where that was measured to be faster (see Database).
    """

    kind: str
    trigger: str
    exact: re.Pattern[str]
    check: Callable[[re.Match[str]], Tier | None]
    behind: int = 160
    ahead: int = 160
    caseless: bool = False
    surest: Tier = Tier.HARD
    apart: bool = False


unproven = partial(Pattern, surest=Tier.LIKELY)  # of what no form can prove


def caseless(words: str) -> str:
    r"""Return an expression for one of some alternatives in either case.

    Python looks at the first letter of an alternative before it tries it, which it does not where the flag for case covers all: that is five times as fast.
    So those that begin with a letter (after a `\b`, perhaps) are put together by it; those that begin with a group are tried last.
    """
    by_letter: dict[str, list[str]] = {}
    others = []
    for word in _alternatives(words):
        bare = word.removeprefix(r"\b")
        if bare[0].isalpha():
            by_letter.setdefault(bare[0], []).append(bare[1:] if bare == word else r"(?<=\b.)" + bare[1:])
        else:
            others.append(word)
    found = [f"[{letter}{letter.upper()}](?i:{'|'.join(rest)})" for letter, rest in by_letter.items()]
    return "(?:" + "|".join([*found, *(f"(?i:{word})" for word in others)]) + ")"


def _alternatives(words: str) -> list[str]:
    """Return the alternatives of an expression that stand in no group."""
    found, depth = [""], 0
    for char in words:
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            found.append("")
        else:
            found[-1] += char
    return found


def hard(_: re.Match[str]) -> Tier:
    """Say that the shape alone is proof."""
    return Tier.HARD


def likely(_: re.Match[str]) -> Tier:
    """Say that the shape is evidence."""
    return Tier.LIKELY


def weak(_: re.Match[str]) -> Tier:
    """Say that the shape is a hint."""
    return Tier.WEAK
