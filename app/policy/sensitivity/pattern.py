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


def caseless(words: str, *, not_after: str = "") -> str:
    """Return an expression for one of some alternatives in either case, which does not stand behind a character of the class `not_after`."""
    return _led(words, not_after, lambda letter: letter + letter.swapcase(), "i:")


def cased(words: str, *, not_after: str = "") -> str:
    """Return an expression for one of some alternatives as they are written, which does not stand behind a character of the class `not_after`."""
    return _led(words, not_after, str, ":")


def _led(words: str, not_after: str, cases: Callable[[str], str], flag: str) -> str:
    r"""Return an expression for one of some alternatives that begins with the class of their first letters.

    Python skips what cannot begin a match where an expression begins with such a class, and does not where it begins with anything else (a `\b`, a lookbehind,
    alternatives, the flag for case), and it tries alternatives one after the other. So those that begin with a letter (after a `\b`, perhaps) are put
    together by it, and looked up by halves: that is four times as fast. Those that begin with a group are tried last.
    """
    rests: dict[str, list[str]] = {}
    others = []
    for word in _alternatives(words):
        bare = word.removeprefix(r"\b")
        if bare[0].isalpha():
            rests.setdefault(cases(bare[0]), []).append(bare[1:] if bare == word else r"(?<=\b.)" + bare[1:])
        else:
            others.append(word)
    found = f"[{''.join(rests)}]{f'(?<!{not_after}.)' if not_after else ''}" + _by_halves({led: f"(?{flag}{'|'.join(rest)})" for led, rest in rests.items()})
    before = f"(?<!{not_after})" if not_after else ""
    return f"(?:{found}|{before}(?{flag}{'|'.join(others)}))" if others else found


def _by_halves(rests: dict[str, str]) -> str:
    """Return an expression for what follows the letter that was just matched."""
    if len(rests) == 1:
        return next(iter(rests.values()))
    entries = list(rests.items())
    first, second = dict(entries[: len(entries) // 2]), dict(entries[len(entries) // 2 :])
    return f"(?:(?<=[{''.join(first)}]){_by_halves(first)}|(?<![{''.join(first)}]){_by_halves(second)})"


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
