"""What stands around a finding says of it: whose work a piece of code is, and that a text is a program.

A program is told by its statements, and not by its signs: JSON, CSV and SQL have those too, and hold people's data.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from app.domain import Tier
from app.policy.sensitivity import checks
from app.policy.sensitivity.attribution import Holds, holds

if TYPE_CHECKING:
    from app.policy.sensitivity.layout import Layer

_LINE_CHARS = 160
_BYLINE = re.compile(r"[A-Z][\w.'-]* [<(]$")
_NOBODY = re.compile(r"(?:Doe|Mustermann)$")  # John Doe and his relations stand for anybody
_BLOCK_CHARS = 2048
_AROUND_CHARS = 512
# A line that only a program has: a declaration, an import, control flow with its colon or brace, a call that is a statement of its own, the head of a diff.
# It begins with a line break, which is found fast.
_STATEMENT = re.compile(
    r"\n[ \t+-]*+(?:import [\w.{*\"'(]|from [\w.]++ import |(?:async )?def \w++\(|class \w++[:({ ]|return\b(?! to)|raise \w|assert |yield |await "
    r"|(?:export |default |pub |public |private |protected |static |final |async |abstract )*+(?:const|let|var|func|fn|function|struct|enum|interface|impl"
    r"|namespace|package|using|void|int|bool|mod|use) [\w.:*<{(]|(?:public|private|protected|export) [\w<]|#include [<\"]|#define \w"
    r"|(?:\} ?)?(?:if|elif|else|for|while|switch|try|catch|except|finally|with|match)\b[^\n]{0,200}[:{][ \t]*$"
    r"|@\w++(?:\.\w++)*+(?:\(|$)|(?!(?i:insert|values|update|select)\b)[\w.$:>&*\[\]-]++(?: :?= |\()[^\n]{0,200}[;({\[][ \t]*$"
    r"|[\w.]++\([^\n]{0,200}\)[ \t]*;?$|@@ -\d|diff --git )",
    re.MULTILINE,
)
_SIGNS = "({;@#"  # few programs have fewer of these than statements, and counting them is cheap
_LINE = re.compile(r"\n[^\n]*\w")
_MIN_STATEMENTS = 3
_MIN_SHARE = 0.15  # of the lines that hold a word: comments and docstrings stand between statements
_FENCE_SIGNS = "```"
_FENCE = re.compile(rf"{_FENCE_SIGNS}[^`\n\0]*(?![^\n\0])")  # CommonMark, "Fenced code blocks"; begins with a literal, which is found fast
_INDENT_CHARS = 64  # of a fence, at most
_SENTENCE = re.compile(r"[A-Za-z][\w'-]*[,:]? ")
_BYLINE_CHARS = 40
_BRACKETS = frozenset("<(\"'")
_QUOTES = frozenset("\"'`")


class Context:
    """Judges findings of one layer by what stands around them."""

    __slots__ = ("_fences", "_layer", "_programs")

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._programs: dict[int, bool] = {}
        self._fences: dict[int, list[int]] = {}  # by region

    def lowered(self, kind: str, tier: Tier, match: re.Match[str]) -> Tier | None:
        """Return the tier of a match where it stands.

        In a program a hint of a name or of an address is none, and a name is a hint, except as a value in quotes. The name of the author of a program is
        none, and the address a hint.
        """
        if kind == "email" and tier is Tier.HARD:
            return Tier.WEAK if self._is_authors(match) else tier
        if kind == "person_name" and self._is_attribution(match):
            return None
        if kind not in {"email", "person_name"} or not self._is_code(match.start()):
            return tier
        if tier is Tier.WEAK or (kind == "person_name" and _NOBODY.search(match[match.lastgroup or 0])):
            return None
        return tier if match.string[max(0, match.start() - 1) : match.start()] in _QUOTES else Tier.WEAK

    def _is_authors(self, match: re.Match[str]) -> bool:
        """Say whether an address is an author's, behind whose name it stands in brackets."""
        if match.string[max(0, match.start() - 1) : match.start()] not in _BRACKETS:
            return False
        return self._is_attribution(match) or (_BYLINE.search(checks.before(match, _BYLINE_CHARS)) is not None and self._is_code(match.start()))

    def _is_attribution(self, match: re.Match[str]) -> bool:
        where = holds(match)
        return where is Holds.ANYWHERE or (where is Holds.IN_A_PROGRAM and not self._is_outside(match.start()) and self._is_program(match.start()))

    def _is_code(self, offset: int) -> bool:
        return not self._is_said(offset) and self._is_program(offset)

    def _is_said(self, offset: int) -> bool:
        """Say whether somebody speaks where an offset is: outside of the fences that a text has, or in a line that begins as a sentence does."""
        if self._is_outside(offset):
            return True
        buffer = self._layer.buffer
        low, high = self._layer.bounds(offset)
        start = buffer[max(low, offset - _BLOCK_CHARS) : offset].rpartition("\n")[2]
        line = start + buffer[offset : min(high, offset + _LINE_CHARS)].partition("\n")[0]
        return len(start) == _BLOCK_CHARS or (_SENTENCE.match(line) is not None and _STATEMENT.match("\n" + line) is None)

    def _is_outside(self, offset: int) -> bool:
        """Say whether a text has fences, and an offset lies outside of them."""
        region = self._layer.region(offset)
        fences = self._fences.get(region)
        if fences is None:
            buffer = self._layer.buffer
            low, high = self._layer.bounds(offset)
            first = buffer.find(_FENCE_SIGNS, low, high)
            starts = map(re.Match.start, _FENCE.finditer(buffer, first, high)) if first >= 0 else ()
            fences = self._fences[region] = [at for at in starts if _begins_line(buffer, low, at)]
        return bool(fences) and bisect_left(fences, offset) % 2 == 0

    def _is_program(self, offset: int) -> bool:
        """Say whether a text is a program around an offset. Each block of it is looked at once, which keeps the time linear."""
        region = self._layer.region(offset)
        block = offset // _BLOCK_CHARS
        known = self._programs.get((region << 32) + block)
        if known is None:
            low, high = self._layer.bounds(offset)
            start, end = block * _BLOCK_CHARS - _AROUND_CHARS, (block + 1) * _BLOCK_CHARS + _AROUND_CHARS
            known = self._programs[(region << 32) + block] = _is_program(self._layer.buffer[max(low, start) : min(high, end)])
        return known


def _begins_line(text: str, low: int, offset: int) -> bool:
    """Say whether only blanks stand between an offset and the start of its line, or of its text, which is at `low` or behind BREAK."""
    start = max(low, offset - _INDENT_CHARS)
    before = text[start:offset].rstrip(" \t")
    return before[-1] in "\n\0" if before else start == low


def _is_program(text: str) -> bool:
    if "import " not in text and sum(map(text.count, _SIGNS)) < _MIN_STATEMENTS:
        return False
    text = "\n" + text
    statements = len(_STATEMENT.findall(text))
    return statements >= _MIN_STATEMENTS and statements >= _MIN_SHARE * len(_LINE.findall(text))
