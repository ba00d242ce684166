"""What is read of a head's bytes."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from app.providers.wire_head import read_headers


class Heard:
    """What llhttp makes of the same head."""

    def __init__(self, head: bytes) -> None:
        self.fields: list[tuple[str, str]] = []
        self.whole = False
        httptools.HttpResponseParser(self).feed_data(head + b"\r\n\r\n")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" ")))

    def on_headers_complete(self) -> None:
        self.whole = True


def test_names_are_in_lower_case_values_without_blanks_around_and_repeated_ones_joined() -> None:
    read = read_headers(b"HTTP/1.1 200 OK\r\nX-One:1\r\nx-two: a \r\nX-TWO:\tb\r\nX-Empty:\r\nX-Latin: caf\xe9\r\nX-Url: a:b")

    assert read == {"x-one": "1", "x-two": "a, b", "x-empty": "", "x-latin": "caf\xe9", "x-url": "a:b"}


def test_llhttp_takes_no_folded_line() -> None:
    with pytest.raises(httptools.HttpParserError):
        Heard(b"HTTP/1.1 200 OK\r\nX-One: a\r\n b")


def test_a_head_without_headers_has_none() -> None:
    assert read_headers(b"HTTP/1.1 200 OK") == {}


FIELD = st.tuples(st.sampled_from(["A", "b", "Content-Type", "X-a"]), st.text("ab:, \t\x7f\xe9\x01", max_size=6))


@given(st.lists(FIELD, max_size=5))
def test_what_llhttp_takes_is_read_as_llhttp_reads_it(fields: list[tuple[str, str]]) -> None:
    head = "\r\n".join(["HTTP/1.1 200 OK", *(f"{name}:{value}" for name, value in fields)]).encode("latin-1")
    try:
        heard = Heard(head)
    except httptools.HttpParserError:
        reject()
    joined: dict[str, str] = {}
    for name, value in heard.fields:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value

    assert heard.whole
    assert read_headers(head) == joined
