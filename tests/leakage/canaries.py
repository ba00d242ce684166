"""Made-up values of every kind that the scanner knows, in the encodings that callers use, and how they would look in a sink."""

from __future__ import annotations

import base64
import html
import json
import textwrap
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Canary:
    """`text` is what a caller writes: `value` alone, or beside the words by which it is known."""

    kind: str
    text: str
    value: str


def _canary(kind: str, text: str, value: str | None = None) -> Canary:
    return Canary(kind, text, text if value is None else value)


CANARIES = {
    canary.kind: canary
    for canary in (
        _canary("email", "henrietta.quackenbush@corvid-logistics.net"),
        _canary("phone", "+49 30 90182745"),
        _canary("payment_card", "5274 5763 9425 9961"),
        _canary("iban", "DE54 3704 0044 0532 9417 26"),
        _canary("ssn", "536-22-7481"),
        _canary("ip_address", "84.17.32.219"),
        _canary("mac_address", "3c:22:fb:9a:47:7e"),
        _canary("wallet", "0x52908400098527886E0F7030069857D2E4169EE7"),
        _canary("api_key", "sk-proj-" + "Zq7Rt2Lw9Xk4Vb6N" * 3),
        _canary("secret", "db_password = kV9$wq2Lr#x7Tz", "kV9$wq2Lr#x7Tz"),
        _canary("private_key", "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq3zKfVw9Ty2mXc", "MIIEpAIBAAKCAQEA7bq3zKfVw9Ty2mXc"),
        _canary("service_account", '{"type": "service_account", "project_id": "corvid-7781", "private_key_id": "9c1f0b7e"}', "corvid-7781"),
        _canary("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJxdWFja2VuYnVzaCJ9.4pcPyMD09olPSyXnrXCjTwXyr4BsezdI1AVTmud2fU4"),
        _canary("connection_string", "postgres://ledger:w4lnut-tr33@db.corvid-logistics.net:5432/books"),
        _canary("date_of_birth", "Date of birth: 12/05/1983", "12/05/1983"),
        _canary("passport", "her passport number is XG9382049", "XG9382049"),
        _canary("driving_licence", "driver's license number D245-938-19-203", "D245-938-19-203"),
        _canary("national_id", "PESEL 44051401359", "44051401359"),
        _canary("tax_id", "tax ID 94-2841935", "94-2841935"),
        _canary("bank_account", "bank account 8721938475", "8721938475"),
        _canary("medical_record", "patient ID PHX-839221", "PHX-839221"),
        _canary("insurance", "insurance policy #88291-LK", "88291-LK"),
        _canary("customer_number", "employee ID 127854", "127854"),
        _canary("person_name", "ask Sarah Johnson about it", "Sarah Johnson"),
        _canary("address", "He lives at 4711 Elm Street now", "4711 Elm Street"),
    )
}

_LOOK_ALIKES = str.maketrans(
    "aeopcxyABEKMHOPCTX", "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425"
)  # Cyrillic

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "url": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "url, where it must": lambda text: urllib.parse.quote(text, safe=""),
    "JSON": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "HTML": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML, where it must": lambda text: html.escape(text).replace("@", "&commat;"),
    "base64": lambda text: base64.b64encode(_long(text)).decode(),
    "base64, for URLs": lambda text: base64.urlsafe_b64encode(_long(text)).decode().rstrip("="),
    "base64, wrapped": lambda text: "\n".join(textwrap.wrap(base64.b64encode(_long(text)).decode(), 24)),
    "base64, twice": lambda text: base64.b64encode(base64.b64encode(_long(text))).decode(),
    "hex": lambda text: _long(text).hex(),
    "base64 of UTF-16": lambda text: base64.b64encode(_long(text).decode().encode("utf-16-le")).decode(),
    "hex, marked": lambda text: f"0x{_long(text).hex()}",
    "codes in hex": lambda text: _long(text).hex(" "),
    "codes in decimal": lambda text: ", ".join(map(str, _long(text))),
    "codes in binary": lambda text: " ".join(f"{byte:08b}" for byte in _long(text)),
    "form": lambda text: f"q={urllib.parse.quote_plus(_long(text))}",
    "quoted-printable": lambda text: "".join(f"={byte:02X}" for byte in text.encode()),
    "UTF-7": lambda text: f"+{base64.b64encode(text.encode('utf-16-be')).decode().rstrip('=')}-",
    "backslash x": lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
    "backslash u, braced": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
    "octal": lambda text: "".join(f"\\{ord(char):03o}" for char in text),
    "tags": lambda text: "".join(chr(ord(char) + 0xE0000) if " " <= char <= "~" else char for char in text),
    "keycaps": lambda text: "".join(f"{char}\ufe0f\u20e3" if char.isdigit() else char for char in text),
    "mathematical": lambda text: "".join(map(_mathematical, text)),
    "Arabic digits": lambda text: "".join(chr(0x660 + int(char)) if char.isdigit() else char for char in text),
    "look-alikes": lambda text: text.translate(_LOOK_ALIKES),
    "odd spaces and hyphens": lambda text: text.replace(" ", "\u00a0").replace("-", "\u2011"),
    "zero width": "\u200b".join,
    "full width": lambda text: "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text),
}


def _mathematical(char: str) -> str:
    """Return a letter or digit in the bold of mathematics (U+1D400 to U+1D7FF)."""
    start = 0x1D41A if "a" <= char <= "z" else 0x1D400 if "A" <= char <= "Z" else 0x1D7CE if char.isdigit() else None
    return char if start is None else chr(start + ord(char) - ord("a" if char.islower() else "A" if char.isupper() else "0"))


def _long(text: str) -> bytes:
    """Return the text in a sentence, as it would stand in a file: a run of base64 under twenty characters is taken for a word."""
    return f"Please note: {text} . Thanks!".encode()


def forms(canary: Canary) -> list[bytes]:
    """Return how the value would look in a sink: plain, in JSON, without its separators, and cut."""
    plain = canary.value
    bare = "".join(char for char in plain if char.isalnum())
    return sorted({form.encode() for form in (plain, json.dumps(plain)[1:-1], bare, plain[: max(6, len(plain) // 2)]) if len(form) >= 6})


def seen(canary: Canary, held: bytes) -> int:
    """Return how many bytes of the value are in `held`: the longest form that is."""
    return max((len(form) for form in forms(canary) if form in held), default=0)
