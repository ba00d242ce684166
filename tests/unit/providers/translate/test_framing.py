from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.translate import framing
from app.providers.translate.framing import Framing, JsonLines, Lines, ServerSentEvents, parse_object


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def lines_of(data: bytes, size: int) -> list[bytes]:
    lines = Lines()
    return [line for part in cut(data, size) for line in lines.feed(part)] + lines.flush()


def events_of(framed: Framing, data: bytes, size: int) -> list[tuple[str, dict[str, object]]]:
    return [event for part in cut(data, size) for event in framed.feed(part)] + list(framed.flush())


@pytest.mark.parametrize("size", range(1, 12))
def test_lines_end_at_cr_lf_and_crlf_wherever_the_bytes_are_cut(size: int) -> None:
    assert lines_of(b"a\r\nb\rc\n\nd\r\r\ne", size) == [b"a", b"b", b"c", b"", b"d", b"", b"e"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_nothing_else_ends_a_line(separator: str) -> None:
    text = f"a{separator}b".encode()

    assert lines_of(text + b"\n", 1) == [text]


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\xe2\x80\xa8", b"bc"])), st.integers(1, 5))
def test_the_cuts_never_change_the_lines(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)

    assert lines_of(data, size) == lines_of(data, len(data) + 1)


def test_a_line_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "LINE_LIMIT_BYTES", 10)
    lines = Lines()
    lines.feed(b"123456")

    with pytest.raises(UpstreamError) as caught:
        lines.feed(b"7890ab")

    assert caught.value.failure is Failure.BROKEN


SSE = (
    b'\xef\xbb\xbf: a comment\r\nevent: one\r\ndata: {"a":\r\ndata: "\xe2\x80\xa8\xc3\xa9"}\r\nid: 7\r\n\r\n\r\n'
    b'data:{"b": 2}\n\n'
    b"data: [DONE]\n\n"
    b'event: last\ndata: {"c": 3}'
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 1000])
def test_server_sent_events_are_read_whatever_the_cuts(size: int) -> None:
    assert events_of(ServerSentEvents(), SSE, size) == [("one", {"a": "\u2028é"}), ("", {"b": 2}), ("last", {"c": 3})]


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20))), st.integers(1, 40), st.sampled_from([b"\n", b"\r", b"\r\n"]))
def test_what_is_written_as_events_is_read_back(objects: list[dict[str, str]], size: int, end: bytes) -> None:
    data = b"".join(b"data: " + json.dumps(item, ensure_ascii=False).encode("utf-8", "surrogatepass") + end * 2 for item in objects)

    assert [item for _, item in events_of(ServerSentEvents(), data, size)] == objects


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_json_lines_are_read_whatever_the_cuts(size: int) -> None:
    assert events_of(JsonLines(), b'{"a": "\xe2\x80\xa8"}\n\n{"b": 1}\r\n{"c": 2}', size) == [("", {"a": "\u2028"}), ("", {"b": 1}), ("", {"c": 2})]


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"null", b"\xff", b'{"a": NaN}'])
def test_what_is_no_json_object_is_a_broken_upstream(data: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        parse_object(data)

    assert caught.value.failure is Failure.BROKEN
    assert caught.value.__cause__ is None
