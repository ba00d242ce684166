"""Decoding: what a text says once its URL-, JSON-, HTML-, base64- or hex-encoding is taken off. Linear in the text."""

from __future__ import annotations

import base64
import html
import re
from urllib.parse import unquote

_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([nrt\"'/\\]))")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});")
_BLOB = re.compile(r"(?:[A-Za-z0-9+/_-]{20,}(?:\r?\n[ \t]*(?=[A-Za-z0-9+/_-]))?)+[A-Za-z0-9+/_-]*={0,2}")
BLOB_CHARS = 20
BLOB_TRIGGER = r"(?:^|[^A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20}"  # once for each run: its end is BLOB_CHARS after the run's start
ESCAPE_TRIGGER = r"%[0-9a-f]{2}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|&#|&[a-z]{2,8};"
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){8,}")
_SEPARATORS = re.compile(r"[/_-]")
_LINE_BREAKS = re.compile(r"[\s]+")
_URL_SAFE = str.maketrans("-_", "+/")
_CONTROL = {"n": "\n", "r": "\r", "t": "\t"}
_MAX_BLOB_CHARS = 1 << 24  # above what is scanned at all
_UTF16 = ("utf-16-le", "utf-16-be")
_MIN_READABLE = 0.95
_MIN_ASCII = 0.8
_SAMPLE_BYTES = 4096
_NOT_ASCII = bytes(range(128, 256))


def escapes(text: str) -> str | None:
    """Return the text without its URL, JSON and HTML escapes; None where it has none. It is never longer."""
    plain = text
    if "%" in plain and _PERCENT.search(plain):
        plain = unquote(plain, errors="replace")
    if "\\" in plain:
        plain = _ESCAPE.sub(_unescape, plain)
    if "&" in plain:
        plain = _ENTITY.sub(_entity, plain)
    return None if plain == text else plain


def _entity(match: re.Match[str]) -> str:
    return html.unescape(match[0])


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _CONTROL.get(match[3], match[3])


def blob(text: str, start: int, end: int) -> tuple[str, int] | None:
    """Return what the run of base64 or hex characters at `start` says and where it ends; None where that is no text."""
    match = _BLOB.match(text, start, min(end, start + _MAX_BLOB_CHARS))
    if match is None:
        return None
    run = _LINE_BREAKS.sub("", match[0])
    plain = _hex(run) or _base64(run) or _segments(run)
    return (plain, match.end()) if plain else None


def _segments(run: str) -> str | None:
    """Return what the parts of a path or of a name say: their separators are base64's own characters too."""
    said = [_hex(part) or _base64(part) for part in _SEPARATORS.split(run) if len(part) >= BLOB_CHARS]
    return "\n".join(plain for plain in said if plain) or None


def _hex(run: str) -> str | None:
    return _readable(bytes.fromhex(run)) if len(run) % 2 == 0 and _HEX.fullmatch(run) else None


def _base64(run: str) -> str | None:
    run = run.rstrip("=").translate(_URL_SAFE)
    run = run[: len(run) - (len(run) % 4 == 1)]
    return _readable(base64.b64decode(run + "=" * (-len(run) % 4)))


def _readable(raw: bytes) -> str | None:
    """Return the bytes as text where they are one, nearly all printable: UTF-8, UTF-16 where every other byte is zero, else Windows' Latin letters."""
    zeros = raw.count(0)
    encodings = _UTF16 if zeros * 3 > len(raw) else ("utf-8", "cp1252")
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        printable = sum(map(str.isprintable, text)) + text.count("\n") + text.count("\r") + text.count("\t")
        if printable >= _MIN_READABLE * len(text) and (encoding != "cp1252" or _mostly_ascii(raw)):
            return text
    return None


def _mostly_ascii(raw: bytes) -> bool:
    """Say whether bytes look like words of a Latin alphabet, and not like a hash or a picture."""
    sample = raw[:_SAMPLE_BYTES]
    return len(sample.translate(None, _NOT_ASCII)) >= _MIN_ASCII * len(sample)
