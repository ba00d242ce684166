"""Decoding: what a text says once its URL-, JSON-, HTML-, Markdown- or mail-encoding is taken off. Linear in the text, and run only around what a trigger hit.

Sources: RFC 3986 (percent), the WHATWG URL standard (forms), RFC 8259 and ECMA-262 (backslashes), the HTML standard (character references), CommonMark
(backslashes before punctuation), RFC 2045 (quoted-printable), RFC 2152 (UTF-7).
"""

from __future__ import annotations

import html
import re
from urllib.parse import unquote

ESCAPE_TRIGGER = (
    r"%[0-9a-f]{2}|\\u(?:[0-9a-f]{4}|\{[0-9a-f])|\\U000|\\x(?:[0-9a-f]{2}|\{[0-9a-f])|\\[0-3][0-7]{2}|&#[0-9x]|&[a-z]{2,8};"
    r"|[a-z0-9]\\[ _.@:+-]\\?[a-z0-9]"
)
QUOTED_TRIGGER = r"(?:=[0-9A-F]{2}){2}|[A-Za-z0-9]=40[A-Za-z0-9]|[A-Za-z0-9.@-]=\r?\n[A-Za-z0-9.@-]"
FORM_TRIGGER = r"=[A-Za-z0-9%._-]{1,40}\+[A-Za-z0-9%]"
UTF7_TRIGGER = r"\+A[A-Za-z0-9+/]{2}"

_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|[ux]\{([0-9A-Fa-f]{1,8})\}|U([0-9A-Fa-f]{8})|([0-3][0-7]{2})|([nrt !-/:-@\[-`{-~]))")
_ENTITY = re.compile(r"&(?:#\d{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z]{2,8};)")
_QUOTED = re.compile(r"(?:=[0-9A-Fa-f]{2})+")
_SOFT_BREAK = re.compile(r"(?<![=\s])=[ \t]*\r?\n")
_UTF7 = re.compile(r"\+(A[A-Za-z0-9+/]{2,})-?")
_CONTROL = {"n": "\n", "r": "\r", "t": "\t"}
_LAST_CODE = 0x10FFFF


def escapes(text: str) -> str | None:
    """Return the text without its URL, JSON, HTML and Markdown escapes; None where it has none. It is never longer."""
    plain = text
    if "%" in plain and _PERCENT.search(plain):
        plain = unquote(plain, errors="replace")
    if "\\" in plain:
        plain = _ESCAPE.sub(_unescape, plain)
    if "&" in plain:
        plain = _ENTITY.sub(_entity, plain)
    return None if plain == text else plain


def quoted(text: str) -> str | None:
    """Return what quoted-printable text says; None where it says the same."""
    plain = _QUOTED.sub(_quoted, _SOFT_BREAK.sub("", text))
    return None if plain == text else plain


def form(text: str) -> str | None:
    """Return what the fields of a form say, in which a plus sign is a space."""
    return unquote(text.replace("+", " "), errors="replace")


def utf7(text: str) -> str | None:
    """Return what UTF-7 says; None where it says the same."""
    plain = _UTF7.sub(_shifted, text)
    return None if plain == text else plain


def _entity(match: re.Match[str]) -> str:
    return html.unescape(match[0])


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3] or match[4]
    if code:
        number = int(code, 16)
        return chr(number) if number <= _LAST_CODE else match[0]
    return chr(int(match[5], 8)) if match[5] else _CONTROL.get(match[6], match[6])


def _quoted(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("=", "")).decode("utf-8", "replace")


def _shifted(match: re.Match[str]) -> str:
    return f"+{match[1]}-".encode().decode("utf-7", "replace")
