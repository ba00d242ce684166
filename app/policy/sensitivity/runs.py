"""Runs: what long words of base64 and hex, and rows of character codes and of digits, say. Linear in the text, and run only where a trigger hit.

Sources: RFC 4648 (base64, base64url, base16), RFC 2045 (lines).
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from itertools import chain, groupby

from app.policy.sensitivity import checks

BLOB_CHARS = 20
BLOB_TRIGGER = r"(?:^|[^A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20}"  # once for each run: its end is BLOB_CHARS after the run's start
CODES_TRIGGER = (
    r"(?:(?:0x)?[0-9a-f]{2}[ ,:;-]{1,2}){7}(?:0x)?[0-9a-f]{2}|(?:1?[0-9]{2}[ ,:;-]{1,2}){7}[0-9]{2}|(?:[01]{8}[ ,:;-]{0,2}){7}[01]{8}"
    r"|(?:[\"'][0-9]{1,6}\\?[\"']: ?[0-9]{1,3},\s*\\?){7}[\"'][0-9]"
    r"|(?:^|[^0-9,\s\"'\\.])\s*\\?[\"']?(?:[0-9](?:\.0|\\?[\"'])?,\s*(?:\\?[\"'])?){11}[0-9]"  # once for each row
)
# RFC 7468, RFC 4880: the head of a public key or of a certificate, and what follows up to its body.
_PUBLIC = re.compile(r"-----BEGIN [A-Z0-9 ]{0,20}(?:PUBLIC KEY(?: BLOCK)?|CERTIFICATE)-----(?:\s{1,4}[A-Za-z-]{1,20}: [^\0\n]{0,100}){0,5}\s{0,4}\Z")
_ARMOR_CHARS = 400
OPAQUE_CHARS = 1024  # more than a public key or a signature, less than a picture or a document: bytes of that size that are no text hide something
_MAX_BLOB_CHARS = 1 << 24  # above what is scanned at all
_BLOB = re.compile(r"(?:[A-Za-z0-9+/_-]{20,}(?:(?:\\[rn]){1,2}(?=[A-Za-z0-9+/_-])|\r?\n[ \t]*(?=[A-Za-z0-9+/_-]))?)+[A-Za-z0-9+/_-]*={0,2}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){8,}")
_HEX_PREFIX = re.compile(r"0?[xX](?=[0-9A-Fa-f])")
# How base64 of a picture (PNG, JPEG, GIF, WebP), a sound (MP3, Ogg), a document or an archive (PDF, zip, gzip) begins.
_FILE = re.compile(r"(?:iVBORw0KGgo|/9j/[24]|R0lGOD[dl]h|UklGR|SUQz[AB]|T2dnU|JVBERi0|UEsDB|H4sI)[A-Za-z0-9+/]{40}")
_CODED = re.compile(r"[A-Z0-9]")  # base64 of 15 and more bytes of text has one, and hex of a text has a digit a byte
_SEPARATORS = re.compile(r"[/_-]")
_LINE_BREAKS = re.compile(r"\\[rn]|\s+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_PADDING = (b"", b"", b"==", b"=")  # by what is left of fours
_MAX_SKIPPED_LINES = 6
_MIN_READABLE = 0.95  # share of printable characters
_MIN_ASCII = 0.8
_SAMPLE_BYTES = 4096
_NOT_ASCII = bytes(range(128, 256))
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n\r")
_EACH = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"\d"))
_ZEROS = "AAAA"
_MIN_DIGITS = 8  # of hex: fewer different ones are a filler
_RANDOM_BITS = 5.2  # of each character: base64 of what is compressed or encrypted has 5.9, words that are strung together under 5

_HEX_CODES = re.compile(r"(?i)(?<![0-9a-z])(?:(?:0x)?[0-9a-f]{2}[ ,:;-]{1,2}\s?){7,}(?:0x)?[0-9a-f]{2}(?![0-9a-z])")
_DECIMAL_CODES = re.compile(r"(?<![\d.])(?:1?\d{2}[ ,:;-]{1,2}\s?){7,}1?\d{2}(?![\d.])")
_BINARY_CODES = re.compile(r"(?<!\d)(?:[01]{8}[ ,:;-]{0,2}\s?){7,}[01]{8}(?!\d)")
_KEYED_CODES = re.compile(r"(?:[\"']\d{1,6}\\?[\"']:\s?\d{1,3},\s{0,9}\\?){7,}[\"']\d{1,6}\\?[\"']:\s?\d{1,3}")  # JSON of a typed array of JavaScript
_DIGITS = re.compile(r"(?<![\w.])(?:\d(?:\.0|\\?[\"'])?,\s{0,9}(?:\\?[\"'])?){11,}\d(?:\.0)?(?![\w.])")
_DIGIT = re.compile(r"(\d)(?:\.0)?")
_CODES = (
    (_KEYED_CODES, re.compile(r":\s?(\d+)"), 10),
    (_HEX_CODES, re.compile(r"(?i)(?:0x)?([0-9a-f]{2})"), 16),
    (_DECIMAL_CODES, re.compile(r"\d+"), 10),
    (_BINARY_CODES, re.compile(r"[01]{8}"), 2),
)
_BYTE = 255


@dataclass(slots=True)  # not frozen: one is made for each word of twenty characters
class Run:
    """A run up to `end`, and what it says: None where it is bytes that are no text, which `hides` where they are many."""

    text: str | None = field(repr=False)
    end: int
    hides: bool = False


def blob(text: str, start: int, end: int) -> Run | None:
    """Return the run of base64 or hex characters at `start`; None where there is none. The caller goes on behind it, which keeps the time linear."""
    if text[start] in "nrt" and text[start - 1 : start] == "\\":  # the letter of an escaped line break, before the run
        start += 1
    match = _BLOB.match(text, start, min(end, start + _MAX_BLOB_CHARS))
    if match is None:
        return None
    run = match[0]
    if _CODED.search(run) is None:
        return Run(None, match.end())
    lines = _LINE_BREAKS.split(run) if "\n" in run or "\\" in run else [run]
    run = "".join(lines)
    plain = _said(run) or (_lines(lines) if len(lines) > 1 else None)
    return Run(plain, match.end(), hides=plain is None and _is_opaque(run) and not _is_public(text, start))


def codes(text: str) -> str | None:
    """Return what rows of character codes (hex, decimal or binary) and of single digits say; None where they say nothing."""
    rows = ((match[0], code, base) for row, code, base in _CODES for match in row.finditer(text))
    said = (_readable(bytes(number for number in (int(found, base) for found in code.findall(row)) if number <= _BYTE)) for row, code, base in rows)
    digits = ("".join(_DIGIT.findall(match[0])) for match in _DIGITS.finditer(text))
    return "\n".join(plain for plain in chain(said, digits) if plain) or None


def _is_opaque(run: str) -> bool:
    """Say whether a run is bytes, and not words that are strung together."""
    if len(run) < OPAQUE_CHARS:
        return _FILE.match(run) is not None
    sample = run[:_SAMPLE_BYTES]
    if _HEX.fullmatch(run):
        return len(set(sample)) >= _MIN_DIGITS
    return checks.entropy(sample) >= _RANDOM_BITS or (_ZEROS in sample and all(some.search(sample) for some in _EACH))


def _said(run: str) -> str | None:
    if _CODED.search(run) is None:
        return None
    prefix = _HEX_PREFIX.match(run)
    return _hex(run if prefix is None else run[prefix.end() :]) or _base64(run) or _segments(run)


def _lines(lines: list[str]) -> str | None:
    """Return what some lines of a run say that says nothing as a whole: long names may stand before them and after."""
    for skipped in range(1, min(len(lines), _MAX_SKIPPED_LINES)):
        plain = _said("".join(lines[skipped:]))
        if plain is not None:
            return plain
    groups = groupby(lines, key=lambda line: _said(line) is not None)
    return "\n".join(_said("".join(group)) or "" for is_said, group in groups if is_said) or None


def _is_public(text: str, start: int) -> bool:
    """Say whether a run is the body of a public key or of a certificate."""
    return _PUBLIC.search(text[max(0, start - _ARMOR_CHARS) : start]) is not None


def _segments(run: str) -> str | None:
    """Return what the parts of a path or of a name say: their separators are base64's own characters too."""
    parts = _SEPARATORS.split(run)
    said = [_hex(part) or _base64(part) for part in parts if len(part) >= BLOB_CHARS] if len(parts) > 1 else []
    return "\n".join(plain for plain in said if plain) or None


def _hex(run: str) -> str | None:
    return _readable(bytes.fromhex(run)) if len(run) % 2 == 0 and _HEX.fullmatch(run) else None


def _base64(run: str) -> str | None:
    raw = run.rstrip("=").encode("ascii").translate(_URL_SAFE)
    return _readable(binascii.a2b_base64(raw[: len(raw) - (len(raw) % 4 == 1)] + _PADDING[len(raw) % 4]))


def _readable(raw: bytes) -> str | None:
    """Return the bytes as text where they are one, nearly all printable: UTF-8, UTF-16 where every other byte is zero, else Windows' Latin letters."""
    if raw.count(0) * 3 > len(raw):
        plain = _decoded(raw, "utf-16-be" if raw[::2].count(0) > raw[1::2].count(0) else "utf-16-le")
        return plain if plain is not None and _is_printable(plain.encode()) else None
    if not _is_printable(raw):
        return None
    plain = _decoded(raw, "utf-8")
    return _decoded(raw, "cp1252") if plain is None and _mostly_ascii(raw) else plain


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_printable(raw: bytes) -> bool:
    return len(raw.translate(None, _CONTROLS)) >= _MIN_READABLE * len(raw)


def _mostly_ascii(raw: bytes) -> bool:
    """Say whether bytes look like words of a Latin alphabet, and not like a hash or a picture."""
    sample = raw[:_SAMPLE_BYTES]
    return len(sample.translate(None, _NOT_ASCII)) >= _MIN_ASCII * len(sample)
