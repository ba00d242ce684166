"""The head of an answer as the bytes that llhttp took: its headers are made of them where somebody reads them, which of a plain answer nobody does."""

from __future__ import annotations

_BLANK = " \t"


def read_headers(head: bytes) -> dict[str, str]:
    """Return the headers by lower-case name; the values of a repeated one are joined by commas (RFC 9110 5.3). `head` has no empty line at its end."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:  # llhttp takes no folded ones
        name, _, value = line.partition(":")
        name, value = name.lower(), value.lstrip(_BLANK).rstrip(" ")  # llhttp takes a tab behind it as a part of it
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
