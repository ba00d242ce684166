"""What a request's head holds, and what is refused before any connection is made. Exchanges are in tests/integration/wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.sections import LOCAL_NETWORKS
from app.domain import Address, EgressPolicy, Failure, Label
from app.errors import UpstreamError
from app.providers.egress import Egress
from app.providers.wire import Wire, _encode_head
from app.providers.wire_dial import Dialer

TARGET = Address("http", "127.0.0.1", 9)


def make_wire() -> Wire:
    return Wire(Egress(EgressPolicy({TARGET: Label.CONFIDENTIAL}, LOCAL_NETWORKS)))


def encode(*headers: tuple[str, str], target: Address = TARGET, method: str = "POST", path: str = "/v1", length: int = 2) -> bytes:
    return _encode_head(make_wire()._add_route(Label.PUBLIC, target), method, path, headers, length)


def test_the_head_holds_the_wires_own_headers_and_those_given() -> None:
    assert encode(("content-type", "application/json"), ("X-Team", "a b"), path="/v1/chat?x=1") == (
        b"POST /v1/chat?x=1 HTTP/1.1\r\nhost: 127.0.0.1:9\r\naccept-encoding: identity\r\n"
        b"content-type: application/json\r\nX-Team: a b\r\ncontent-length: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (Address("http", "ollama", 80), b"ollama"),
        (Address("https", "api.openai.com", 443), b"api.openai.com"),
        (Address("https", "api.openai.com", 80), b"api.openai.com:80"),
        (Address("http", "api.openai.com", 443), b"api.openai.com:443"),
        (Address("https", "API.OpenAI.com.", 443), b"api.openai.com"),
        (Address("http", "::1", 11434), b"[::1]:11434"),
        (Address("http", "fe80::1%eth0", 80), b"[fe80::1]"),
    ],
    ids=str,
)
def test_host_names_the_port_where_it_is_not_the_schemes_own(target: Address, host: bytes) -> None:
    assert b"\r\nhost: " + host + b"\r\n" in encode(target=target)


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Accept-Encoding", "CONNECTION", "TE", "Upgrade", "Expect"])
def test_headers_that_frame_the_message_are_the_wires_own(name: str) -> None:
    assert encode((name, "evil")) == encode()


@pytest.mark.parametrize(
    ("method", "length", "announced"),
    [("POST", 0, b"content-length: 0"), ("DELETE", 0, b"content-length: 0"), ("GET", 0, None), ("HEAD", 0, None), ("GET", 3, b"content-length: 3")],
)
def test_a_length_is_announced_where_there_could_be_a_body(method: str, length: int, announced: bytes | None) -> None:
    head = encode(method=method, length=length)

    assert (b"content-length" not in head) if announced is None else (b"\r\n" + announced + b"\r\n" in head)


@pytest.mark.parametrize(
    "header",
    [
        ("x", "a\r\nx-evil: 1"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x\r\nx-evil", "1"),
        ("x y", "1"),
        ("x:", "1"),
        ("", "1"),
        ("x\n", "1"),
        ("ключ", "1"),
        ("x", "€"),
        ("x", "\ud800"),
    ],
)
async def test_a_header_that_would_break_out_of_its_place_is_refused_unsent(header: tuple[str, str]) -> None:
    with pytest.raises(UpstreamError) as caught:
        await make_wire().request(Label.PUBLIC, TARGET, path="/", headers=[header], body=b"", connect_s=1, timeout_s=1, idle_s=1)

    assert (caught.value.failure, caught.value.sent) == (Failure.OPERATOR, False)
    assert header[1] not in str(caught.value.remedy) or header[1] == "1"


@pytest.mark.parametrize("path", ["", "v1", "/a b", "/a\r\nx: 1", "/\0", "/é", "http://elsewhere/", "/a\n", "*"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        encode(path=path)

    assert caught.value.failure is Failure.OPERATOR


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=20)), max_size=4), st.text(max_size=10))
def test_a_head_is_one_head_whatever_it_is_given(headers: list[tuple[str, str]], path: str) -> None:
    try:
        head = encode(*headers, path=f"/{path}")
    except UpstreamError:
        return

    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1
    assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n") <= len(headers) + 5
    assert b"\0" not in head


async def test_an_address_that_is_not_cleared_is_refused_before_anything_else() -> None:
    with pytest.raises(UpstreamError) as caught:
        await make_wire().request(Label.PUBLIC, Address("http", "elsewhere.example", 80), path="/", headers=[], body=b"", connect_s=1, timeout_s=1, idle_s=1)

    assert (caught.value.failure, caught.value.sent) == (Failure.NOT_CLEARED, False)


async def test_a_new_connection_that_ended_before_anything_was_written_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        is_open = False
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    ended = Ended()

    async def dial(*_: object) -> Ended:
        return ended

    monkeypatch.setattr(Dialer, "dial", dial)
    with pytest.raises(UpstreamError) as caught:
        await make_wire().request(Label.PUBLIC, TARGET, path="/", headers=[], body=b"", connect_s=1, timeout_s=1, idle_s=1)

    assert (caught.value.failure, caught.value.sent, ended.aborted) == (Failure.UNREACHABLE, False, True)
