"""Whose work something is: names that stand in comments and headers of source files for that reason are published with it, values of a program are not.

A credit covers what follows it for as long as only names, addresses and years do. A notice of copyright, the names that Python gives a module's header, and
the head of a package or an entry of BibTeX are credits wherever they stand; all others are so in a comment or docstring of a program, or a script's first.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from app.policy.sensitivity import checks

_ABOVE_CHARS = 800
_DOCSTRING_CHARS = 2048
_CREDIT_CHARS = 160
_BELOW_CHARS = 200
# A notice that stands for itself, as in a licence, and a name that Python gives a module's header. A value in quotes is neither.
_NOTICE = re.compile(
    r"(?i)[^\w\"'`\n]{0,12}(?:\(c\) )?copyright(?:text)?\W{0,3}(?:\(c\)|(?=(?:19|20)\d\d))|__(?:author|credits|maintainer|contact|email|copyright)s?__\s?="
)
_CREDIT = re.compile(
    r"(?i)@authors?\b|\b(?:authors?|maintainers?)(?:\(s\))?[ \t]{0,20}:|copyright(?:text)?:?|(?=\(c\) \d{4})|\boriginal by\b"
    r"|\b(?:written|contributed|adapted|cloned|modified|ported|maintained|created|implemented|started|originally|provided|designed|developed|posted|inspired)"
    r"(?: [\w.'-]{1,20}){0,3} (?:by|from)\b|\b(?:created|updated) (?:on )?\d{4}[/-]\d\d?[/-]\d\d?,"
)
# Names, what stands between them, years, and addresses. Titles have other words in capitals too; some of them say that somebody else follows.
_NO_NAME = "The|A|Of|On|For|To|About|From|With|Regarding|Patient|Client|Customer|Employee|Applicant|Student"
_NAME = (
    rf"(?:[\s,&<>(){{}}\"']++|(?:[A-Z]|Dr|Prof)\.|(?!(?:{_NO_NAME}|{_NO_NAME.upper()})\b)(?:d')?[A-Z](?:[\w'-]*[a-z]|\w{{0,3}})(?![\w@+-]|\.\w)"
    r"|(?:and|by|van|von|de|der|den|del|da|di|la|le|c)\b|(?:-{1,2} ?)?(?:(?:19|20)\d\d|present)\b|(?:name|email)\s?=|[\w.+-]{1,64}@[\w.-]{1,253})"
)
_NAMES = re.compile(f"{_NAME}*+")
_REST = re.compile(rf"[\w'-]*+{_NAME}*+[.;]?\s?(?i:(?:individual |other )?contributors|all rights reserved)?\W*+")  # of the line of a notice
_SCRIPT = re.compile(r"\A#!/[^\n]*(?:\n[ \t]*#[^\n]*)*+\Z")
_COMMENT = re.compile(r"[ \t]*(?://|/\*|#|;|--|%|(?<=[ \t])\*)")
_TRIPLES = ('"' * 3, "'" * 3)
_TRIPLE = re.compile("|".join(_TRIPLES))
_LEAD = re.compile(r"[ \t]*[rRuU]?")
_SAYS = re.compile(r"[ \t]*\w")
_BEFORE_DOCSTRING = re.compile(r"(?:\A|:|^[ \t]*#[^\n]*)\s*\Z", re.MULTILINE)
_QUOTE = re.compile(r"[\"'`]")
# In YAML: an author, and what stands beside one in the head of a package alone.
_AUTHOR_KEY = re.compile(r"(?i)[ \t>-]*authors?:[ \t]")
_VERSION_KEY = re.compile(r"(?im)^[ \t>-]*version:[ \t]*[\"']?\d+\.\d+\.\d")
_PACKAGE_KEY = re.compile(r"(?im)^[ \t-]*(?:\w{1,20}_)?(?:hooks|dependencies|entry_?points?):|^# [^\n]{0,80}\bplugin\b")
# Lists over several lines: of a module's authors, in the head of a package's manifest in TOML, and in an entry of BibTeX.
_LIST = re.compile(
    r"^__(?:author|credit|maintainer)s?__\s?=\s?[\[(](?P<module>[^\])]*)\Z"
    r"|^\[(?:project|package|workspace\.package|tool\.poetry)\][^\0]{0,400}?^(?:authors|maintainers)\s?=\s?\[(?P<manifest>[^\]]*)\Z"
    r"|@[A-Za-z]{3,15}\{[\w:.-]{1,60},[^\0@]{0,400}?\bauthor\s{0,20}=\s{0,4}\{(?P<entry>[^}]*)\Z",
    re.MULTILINE,
)


class Holds(Enum):
    """Where the words around a match make it an attribution."""

    NOWHERE = auto()
    IN_A_PROGRAM = auto()
    ANYWHERE = auto()


def holds(match: re.Match[str]) -> Holds:
    """Say where a match is one of somebody whose work the text is. It looks at the lines around the match alone."""
    before = checks.before_value(match, _ABOVE_CHARS)
    above, is_line, line = before.rpartition("\n")
    if not is_line and len(line) == _ABOVE_CHARS:
        return Holds.NOWHERE
    if _is_heading(above, line, checks.after(match, _BELOW_CHARS)):
        return Holds.ANYWHERE
    stated = line[-_CREDIT_CHARS:]
    if _may_credit(stated.lower()) and any(_covers(credit, stated) for credit in _CREDIT.finditer(stated)) and _is_comment(match, above, line):
        return Holds.ANYWHERE if _SCRIPT.search(before) else Holds.IN_A_PROGRAM
    return Holds.ANYWHERE if _is_listed(before) else Holds.NOWHERE


def _is_heading(above: str, line: str, after: str) -> bool:
    """Say whether a line is a notice or the author in the head of a package, and holds names alone."""
    is_credit = _covers(_NOTICE.match(line), line) or (_covers(_AUTHOR_KEY.match(line), line) and _is_in_package(above, after))
    return is_credit and _REST.fullmatch(after.partition("\n")[0]) is not None


def _is_listed(before: str) -> bool:
    """Say whether a list of authors is open at the end of what stands before a match."""
    if "author" not in before and "maintainer" not in before and "credit" not in before:
        return False
    names = _LIST.search(before)
    return names is not None and _NAMES.fullmatch(names[names.lastgroup or 0]) is not None


def _covers(credit: re.Match[str] | None, before: str) -> bool:
    """Say whether there is a credit, and only names stand between it and the end of what is before a match."""
    return credit is not None and len(before) - credit.end() <= _CREDIT_CHARS and _NAMES.fullmatch(before, credit.end()) is not None


def _may_credit(text: str) -> bool:
    """Say whether a text has one of the words that stand in each credit: they are found fast."""
    return "by" in text or "ated " in text or "from" in text or "author" in text or "maintainer" in text or "copyright" in text or "(c)" in text


def _is_in_package(above: str, after: str) -> bool:
    """Say whether two lines above and below give a version of three numbers and what only a package has."""
    near = "\n".join([*above.split("\n")[-2:], *after.split("\n")[1:3]])
    return _VERSION_KEY.search(near) is not None and _PACKAGE_KEY.search(near) is not None


def _is_comment(match: re.Match[str], above: str, line: str) -> bool:
    return _COMMENT.match(line) is not None or _in_block_comment(above) or _in_docstring(checks.before_value(match, _DOCSTRING_CHARS), line)


def _in_block_comment(above: str) -> bool:
    """Say whether a comment is open where a text ends: it began a line."""
    head, sign, body = above.rpartition("/*")
    return bool(sign) and "*/" not in body and not head.rpartition("\n")[2].strip()


def _in_docstring(before: str, line: str) -> bool:
    """Say whether the last three quotes before a match began a line, and a docstring is open there; no other string is."""
    at = max(before.rfind(quotes) for quotes in _TRIPLES)
    if at < 0 or not _LEAD.fullmatch(before, before.rfind("\n", 0, at) + 1, at) or _QUOTE.search(_TRIPLE.sub("", line)):
        return False
    return _SAYS.match(before, at + 3) is not None or _BEFORE_DOCSTRING.search(before, 0, at) is not None
