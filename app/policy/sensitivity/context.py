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
from app.policy.sensitivity.identifiers import is_role

if TYPE_CHECKING:
    from app.policy.sensitivity.layout import Layer

_LINE_CHARS = 160
_NOBODYS_NAME = re.compile(r"(?:Doe|Mustermann)$")  # John Doe and his relations stand for anybody
_NOBODYS_EMAIL = re.compile(r"(?i)(?:john|jane|jon|j)?[._-]?doe\d*@|(?:max|erika|m|e)?[._-]?mustermann\d*@")
_ANYBODYS_HOST = re.compile(r"(?i)@(?:test|domain|company|acme|sample|demo|foo|bar)\.(?:com|org|net)$")
_SAME_FOUR = re.compile(r"(\d{1,3})(?:\.\1){3}")
_BLOCK_CHARS = 2048
_AROUND_CHARS = 512
# A line that only a program has: a raw string, a prompt of Python's with what was entered, a declaration, an import, control flow with its colon or brace,
# a call that is a statement of its own, the head of a diff.
# It begins with a line break, which is found fast.
_STATEMENT = re.compile(
    r"\n[ \t+-]*+(?:\(?r[\"']|>>> [\w.]++(?: = |\()"
    r"|import [\w.{*\"'(]|from [\w.]++ import |(?:async )?def \w++\(|class \w++[:({ ]|return\b(?! to)|raise \w|assert |yield |await "
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
_FENCE = re.compile(rf"{_FENCE_SIGNS}[ \t]*(?P<language>[^`\n\0]*)(?![^\n\0])")  # CommonMark, "Fenced code blocks"
_INDENT_CHARS = 64  # of a fence, at most
_SENTENCE = re.compile(r"[A-Za-z][\w'-]*[,:]? ")
_BRACKETS = frozenset("<(\"'")
_QUOTES = "\"'`"
_ESCAPED = re.compile(r"\\.")
_JUDGED = frozenset({"email", "ip_address", "person_name", "phone"})


class Context:
    """Judges findings of one layer by what stands around them."""

    __slots__ = ("_fences", "_layer", "_programs")

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._programs: dict[int, bool] = {}
        self._fences: dict[int, list[int]] = {}  # by region

    def lowered(self, kind: str, tier: Tier, match: re.Match[str]) -> Tier | None:
        """Return the tier of a match where it stands.

        In a program a hint of a name or of an address is none, and a name, an address or a number that stands for anybody's is none. Any other name is
        a hint there, unless quotes are open in its line. The name of the author of a program is none, and the address a hint.
        """
        if kind not in _JUDGED:
            return tier
        if kind == "person_name" and self._is_attribution(match):
            return None
        if self._is_nobodys(kind, tier, match) and self._is_code(match.start()):
            return None
        if kind == "email" and tier is Tier.HARD:
            return Tier.WEAK if self._is_authors(match) else tier
        if kind != "person_name" or _is_quoted(match) or not self._is_code(match.start()):
            return tier
        return Tier.WEAK

    def _is_nobodys(self, kind: str, tier: Tier, match: re.Match[str]) -> bool:
        """Say whether a match is nothing in a program: a hint, or what people write for anybody's name, address or number."""
        if kind == "ip_address":
            return _SAME_FOUR.fullmatch(match[0]) is not None
        if kind == "phone":
            return checks.is_nobodys_phone(match["value"] if "value" in match.re.groupindex else match[0])
        if tier is Tier.WEAK:
            return True
        if kind == "email":
            return _NOBODYS_EMAIL.match(match[0]) is not None or (_ANYBODYS_HOST.search(match[0]) is not None and is_role(match[0]))
        return _NOBODYS_NAME.search(match[match.lastgroup or 0]) is not None

    def _is_authors(self, match: re.Match[str]) -> bool:
        """Say whether an address in brackets or quotes is an author's."""
        return match.string[max(0, match.start() - 1) : match.start()] in _BRACKETS and self._is_attribution(match)

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
            fences = self._fences[region] = _find_fences(buffer, low, high)
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


def _is_quoted(match: re.Match[str]) -> bool:
    """Say whether quotes are open in the line of a match where its value begins."""
    line = _ESCAPED.sub("", checks.before_value(match, _BLOCK_CHARS + _LINE_CHARS).rpartition("\n")[2])
    return any(line.count(quote) % 2 for quote in _QUOTES)


def _find_fences(text: str, low: int, high: int) -> list[int]:
    """Return where fences stand, by turns one that opens and one that closes. One that says its language opens: a text can begin inside of fences."""
    found = []
    at = text.find(_FENCE_SIGNS, low, high)
    while at >= 0:
        match = _FENCE.match(text, at, high)
        if match is not None and _begins_line(text, low, at):
            found.append(match)
        at = text.find(_FENCE_SIGNS, at + len(_FENCE_SIGNS) if match is None else match.end(), high)
    starts = [match.start() for match in found]
    return [low, *starts] if len(found) > 1 and not found[0]["language"] and found[1]["language"] else starts


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
