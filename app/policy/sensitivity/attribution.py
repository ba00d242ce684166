"""Whose work something is: names that stand in comments and headers of source files for that reason are published with it, values of a program are not."""

from __future__ import annotations

import re
from enum import Enum, auto

from app.policy.sensitivity import checks

_ABOVE_CHARS = 800
_CREDIT_CHARS = 160
_BELOW_CHARS = 200
# A notice that stands for itself, as in a licence, and a name that Python gives a module's header. A value in quotes is neither.
_NOTICE = re.compile(
    r"(?i)[^\w\"'`\n]{0,12}(?:\(c\) )?copyright(?:text)?\W{0,3}(?:\(c\)|(?:19|20)\d\d)|__(?:author|credits|maintainer|contact|email|copyright)s?__\s?="
)
_CREDIT = re.compile(
    r"(?i)@authors?\b|\b(?:authors?|maintainers?)\b[^\n:]{0,40}:|copyright|\(c\) \d{4}|\boriginal by\b"
    r"|\b(?:written|contributed|adapted|cloned|modified|ported|maintained|created|implemented|started|originally|provided|designed|developed|posted|inspired)\b"
    r"[^\n]{0,40}\b(?:by|from)\b"
)
_COMMENT = re.compile(r"[ \t]*(//|/\*|#|;|--|%|(?<=[ \t])\*)")
_SIGNS_OF_PROSE = frozenset({"#", ";", "--", "%"})  # Markdown's headings, rules and signatures begin so, too
_STRING = re.compile(r"^(?P<leads>[ \t]*[rRuU]?)?(?:\"{3}|'{3})(?P<says>[ \t]*\w)?", re.MULTILINE)
_BEFORE_DOCSTRING = re.compile(r"(?:\A|:|^[ \t]*#[^\n]*)\s*\Z", re.MULTILINE)
_QUOTE = re.compile(r"[\"'`]")
_AUTHOR_KEY = re.compile(r"(?i)[ \t>-]*authors?:[ \t]")
_VERSION_KEY = re.compile(r"(?i)[ \t>-]*version:[ \t]*[\"']?\d+\.\d+\.\d")
# Lists over several lines: of a module's authors, in the head of a package's manifest in TOML, and in an entry of BibTeX.
_LIST = re.compile(
    r"^__(?:author|credit|maintainer)s?__\s?=\s?[\[(][^\])]*\Z"
    r"|^\[(?:project|package|workspace\.package|tool\.poetry)\][^\0]{0,400}?^(?:authors|maintainers)\s?=\s?\[[^\]]*\Z"
    r"|@[A-Za-z]{3,15}\{[\w:.-]{1,60},[^\0@]{0,400}?\bauthor\s{0,20}=\s{0,4}\{[^}]*\Z",
    re.MULTILINE,
)


class Holds(Enum):
    """Where the words around a match make it an attribution."""

    NOWHERE = auto()
    IN_A_PROGRAM = auto()
    ANYWHERE = auto()


def holds(match: re.Match[str]) -> Holds:
    """Say where a match is one of somebody whose work the text is. It looks at the lines around the match alone."""
    before = checks.before(match, _ABOVE_CHARS)
    above, is_line, line = before.rpartition("\n")
    if not is_line and len(line) == _ABOVE_CHARS:
        return Holds.NOWHERE
    if _NOTICE.match(line):
        return Holds.ANYWHERE
    stated = (line + match[0])[-_CREDIT_CHARS:]
    if _may_credit(stated.lower()):
        below = checks.after(match, _BELOW_CHARS).partition("\n")[2]
        if _AUTHOR_KEY.match(stated) and (_VERSION_KEY.match(above.rpartition("\n")[2]) or _VERSION_KEY.match(below)):
            return Holds.ANYWHERE
        if _CREDIT.search(stated):
            return _as_comment(above, line, below)
    may_list = "author" in before or "maintainer" in before or "credit" in before
    return Holds.ANYWHERE if may_list and _LIST.search(before) else Holds.NOWHERE


def _may_credit(text: str) -> bool:
    """Say whether a text has one of the words that stand in each credit: they are found fast."""
    return "by" in text or "from" in text or "author" in text or "maintainer" in text or "copyright" in text or "(c)" in text


def _as_comment(above: str, line: str, below: str) -> Holds:
    """Say where a line is a comment: anywhere, if no prose looks like it or a line beside it is one too."""
    comment = _COMMENT.match(line)
    sign = "" if comment is None else comment[1]
    if sign in {"//", "/*"} or _in_block_comment(above):
        return Holds.ANYWHERE
    if sign in _SIGNS_OF_PROSE and (above.rpartition("\n")[2].lstrip(" \t").startswith(sign) or below.lstrip(" \t").startswith(sign)):
        return Holds.ANYWHERE
    return Holds.IN_A_PROGRAM if sign or _in_docstring(above, line) else Holds.NOWHERE


def _in_block_comment(above: str) -> bool:
    """Say whether a comment is open where a text ends: it began a line."""
    head, sign, body = above.rpartition("/*")
    return bool(sign) and "*/" not in body and not head.rpartition("\n")[2].strip()


def _in_docstring(above: str, line: str) -> bool:
    """Say whether the last string in three quotes that began a line is open in a line, and is a docstring; no other string is."""
    text = f"{above}\n{line}"
    marks = list(_STRING.finditer(text))
    if not marks or marks[-1]["leads"] is None or _QUOTE.search(_STRING.sub("", line)):
        return False
    return marks[-1]["says"] is not None or _BEFORE_DOCSTRING.search(text, 0, marks[-1].start()) is not None
