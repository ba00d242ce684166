"""Folding: texts that look alike to a reader become the same ASCII text, one character for each code point that is seen.

Unicode sources: invisible, combining and bidirectional characters (UAX #9, UTS #55), confusable letters (UTS #39), compatibility forms (NFKD).
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass, field

OTHER = "\x1a"  # stands for every code point that looks like no ASCII character: no word, no space, part of no value
_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f"  # invisible too; NUL and OTHER mean something else here
_UNSEEN = re.compile(
    f"[{_CONTROLS}\x80-\x9f\u00ad\u0300-\u036f\u0483-\u0489\u0600-\u0605\u061c\u06dd\u070f\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20d0-\u20ff\u2800\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e007f\U000e0100-\U000e01ef]"
)
_PLAIN = bytes(code for code in range(256) if code not in {*range(32), 127} or code in b"\t\n\r")  # all but control characters
_WRITTEN = _PLAIN + OTHER.encode()  # and what folding itself writes
_LOOK_ALIKE = "sluice_look_alike"  # the name under which codecs knows the error handler below
_TAGS = range(0xE0020, 0xE007F)  # invisible copies of ASCII, read by models
# Each word: an ASCII character, and the characters that look like it (UTS #39, confusables.txt).
_CONFUSABLE = """
aаαæ cс dԁđð eеε hһհ iіιı jј kкκ lӏł mм nнηп oоοøœ pрρ qԛ rгr sѕß tтτ uυս vνѵ wԝω xхχ yуγ AАΑÆ BВΒ CСϹ DĐÐ EЕΕ HНΗ IІΙ JЈͿ KКΚ LŁ MМΜ NΝ OОΟØŒ PРΡ RЯ
SЅ TТΤ XХΧ YУΥ ZΖ /∕⁄ :։∶ː .․ꓸ•∙·。 ,‚
'‘’‛′´`ʼʹ＇ \"“”„‟″«»＂〝〞 -\u2212
"""  # noqa: RUF001 the table is made of characters that look alike
_ALIKE = {other: word[0] for word in _CONFUSABLE.split() for other in word[1:]}
_LETTERS = range(0x370, 0x590)  # Greek, Cyrillic, Armenian: kept as letters of some kind, so that words keep their shape
_BY_CATEGORY = {"Pd": "-", "Zs": " ", "Zl": "\n", "Zp": "\n"}
_MAX_KEPT = 65_536


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text, and where code points that are not seen were left out of it (their offsets in it, ascending).

    `seen` is the text in its own letters, one code point for each character of `text`; "" where that is the same.
    """

    text: str = field(repr=False)
    gaps: tuple[int, ...] = ()
    seen: str = field(default="", repr=False)

    def original(self, offset: int) -> int:
        """Return the offset in the text as it was, for one in the folded text."""
        return offset + bisect_right(self.gaps, offset)


def fold(text: str) -> Folded:
    """Fold a text; one that is ASCII is returned as it is, less its control characters."""
    is_ascii = text.isascii()
    raw = text.encode("ascii", _LOOK_ALIKE)  # copies what is ASCII, which most of most texts is, and gives runs of anything else to the handler
    if len(raw) == len(text) and OTHER not in text and not has_control(raw, _WRITTEN):
        return Folded(text) if is_ascii else Folded(raw.decode("ascii"), (), text)
    gaps = tuple(match.start() - ordinal for ordinal, match in enumerate(_UNSEEN.finditer(text)))
    seen = _UNSEEN.sub("", text)
    return Folded(seen.encode("ascii", _LOOK_ALIKE).decode("ascii"), gaps, seen)


def has_control(raw: bytes, plain: bytes = _PLAIN) -> bool:
    """Say whether a text has a character that is not `plain`."""
    return bool(raw.translate(None, plain))


def _look_alike(error: UnicodeError) -> tuple[str, int]:
    """Return what a run of code points looks like, and where it ends: an error handler for the codec of ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return error.object[error.start : error.end].translate(_TABLE), error.end


codecs.register_error(_LOOK_ALIKE, _look_alike)


def is_lossy(text: str) -> bool:
    """Say whether folding makes other words of the same letters equal to this one: of scripts that do not look like Latin letters."""
    return any(_fold_one(ord(char)) == OTHER or (ord(char) in _LETTERS and char not in _ALIKE) for char in _UNSEEN.sub("", text))


def _fold_one(code: int) -> str:
    """Return the ASCII character that a code point looks like."""
    char = chr(code)
    if char.isascii():
        return char if code else OTHER
    if code in _TAGS:
        return chr(code - _TAGS.start + 0x20)
    digit = unicodedata.digit(char, None)
    known = _ALIKE.get(char) or _BY_CATEGORY.get(unicodedata.category(char)) or (None if digit is None else str(digit))
    if known is not None:
        return known
    plain = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    if len(plain) == 1 and plain != char:
        return _fold_one(ord(plain))
    return ("Z" if char.isupper() else "z") if code in _LETTERS and char.isalpha() else OTHER


class _Table(dict[int, str]):
    """Folded characters by code point, "" for one that is not seen, found when first asked for. The first 65,536 of them are kept, which bounds the table."""

    def __missing__(self, code: int) -> str:
        char = "" if _UNSEEN.match(chr(code)) else _fold_one(code)
        if len(self) < _MAX_KEPT:
            self[code] = char
        return char


_TABLE = _Table()
