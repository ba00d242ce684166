from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Facts, Label, Tenant
from app.gateway.decided import DECIDING, Decision
from app.gateway.stored import StoredAnswer
from app.http_io import RequestIds
from app.limits import RateLimit
from app.shortcut import Known, Shortcut, Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.gateway.receipt import Receipt
    from app.gateway.stored import Head

PATH = "/v1/chat/completions"
KNOWN = Known(Tenant("t", "key:t"), "192.0.2.1")
HEADERS = {"host": "a", "authorization": "Bearer one", "content-length": "2"}
DECISION = Decision(cast("Any", None), cast("Any", None), Facts(Label.PUBLIC, "default", ()), "r", b"stored under", stream=False)
STORED = StoredAnswer("d", 1.0, b'{"answer": 1}').dump()


def piece(body: bytes = b"{}", *lines: str, method: str = "POST", length: str | None = None) -> bytes:
    announced = (f"content-length: {len(body)}",) if length is None else (length,)
    return "\r\n".join([f"{method} {PATH} HTTP/1.1", "host: a", *(lines or ("authorization: Bearer one",)), *announced, "", ""]).encode() + body


def stored(key: bytes) -> bytes | None:
    return STORED if key == DECISION.key else None


class Chat:
    """A gateway that has decided over one body, `{}`, of one tenant."""

    def __init__(self) -> None:
        self.replayed: list[tuple[Decision, str]] = []

    def recallable(self, tenant: Tenant, body: bytes) -> Decision | None:
        return DECISION if (tenant, body) == (KNOWN.tenant, b"{}") else None

    def note_replay(self, decision: Decision, stored: Head, _: Receipt, __: float) -> None:
        self.replayed.append((decision, stored.deployment))


def shortcut_of(chat: Chat | None = None, *, per_minute: int = 0, look: Callable[[bytes], bytes | None] | None = stored, **given: Any) -> Shortcut:
    admission: Any = SimpleNamespace(is_open=given.pop("is_open", True))
    limit = given.pop("limit", None) or RateLimit(per_minute)
    return Shortcut(cast("Any", chat or Chat()), limit, admission, look=look, ids=RequestIds(), path=PATH, **given)


def visit_of(shortcut: Shortcut, sent: bytes, peer: str = "192.0.2.1") -> Visit | None:
    return shortcut.visitor(peer)(sent)


def learned(shortcut: Shortcut, sent: bytes, headers: dict[str, str] | None = None, version: str = "1.1") -> bool:
    """Say whether a head is known again once its request was let in."""
    visit = visit_of(shortcut, sent)
    if visit is not None:
        shortcut.remember(visit[0], HEADERS if headers is None else headers, version, KNOWN)
    again = visit_of(shortcut, sent)
    return again is not None and again[1] == KNOWN


def test_a_head_is_known_again_however_long_its_body_is() -> None:
    shortcut = shortcut_of()
    assert learned(shortcut, piece())

    again = visit_of(shortcut, piece(b"x" * 1000))

    assert again is not None
    assert again[1:] == (KNOWN, b"x" * 1000)


@pytest.mark.parametrize(
    "other",
    [
        piece(b"{}", "authorization: Bearer two"),
        piece(b"{}", "authorization: Bearer one", "x-more: 1"),
    ],
)
def test_another_head_is_not_known(other: bytes) -> None:
    shortcut = shortcut_of()
    assert learned(shortcut, piece())

    visit = visit_of(shortcut, other)

    assert visit is not None
    assert visit[1] is None


@pytest.mark.parametrize("other", [piece(method="PUT"), piece().replace(b"HTTP/1.1", b"HTTP/1.0"), b"1" + piece(), piece()[1:], b"\r\n" + piece()])
def test_nothing_but_a_chat_request_is_looked_at(other: bytes) -> None:
    assert visit_of(shortcut_of(), other) is None


def test_a_peer_does_not_go_on_into_the_head() -> None:
    shortcut = shortcut_of()
    shortcut._line = b""
    visits = [visit_of(shortcut, b"1" + piece(), peer="127.0.0.1"), visit_of(shortcut, piece(), peer="127.0.0.11")]

    assert len({visit[0] for visit in visits if visit is not None}) == 2


def test_another_peer_is_not_known() -> None:
    shortcut = shortcut_of()
    assert learned(shortcut, piece())

    visit = visit_of(shortcut, piece(), "192.0.2.2")

    assert visit is not None
    assert visit[1] is None


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        piece()[:-1],
        piece() + b"x",
        piece() + piece(),
        piece()[:-4],
        piece(length="transfer-encoding: chunked"),
        piece(length="x-length: 2"),
        piece(b"{}", "content-length: 2", length="x-length: 2"),
        piece(length="content-length: +2"),
        piece(length="content-length: 2 "),
        piece(length="content-length: 0000000002"),
        piece(length="content-length: "),
        piece(b"{}", "long: " + "x" * 5000),
        piece(b"x" * 65_537),
    ],
)
def test_what_is_not_one_whole_request_with_its_length_is_read_like_any_other(sent: bytes) -> None:
    assert visit_of(shortcut_of(), sent) is None


LINES = st.sampled_from(["content-length: {}", "Content-Length: {}", "x-length: {}", "content-length: 2", "x: content-length: {}", "a: b", "length: 2", ""])


@given(st.lists(LINES, max_size=4), st.integers(0, 30), st.integers(0, 30))
def test_what_is_taken_for_a_length_is_what_the_parser_takes_for_it(lines: list[str], one: int, other: int) -> None:
    shortcut = shortcut_of()
    sent = [piece(b"x" * size, *(line.format(size) for line in lines), length="a: c" if lines else None) for size in (one, other)]
    visits = [visit_of(shortcut, each) for each in sent]
    if visits[0] is None or visits[1] is None or visits[0][0] != visits[1][0]:
        return
    shortcut.remember(visits[0][0], HEADERS, "1.1", KNOWN)

    told = [cast("Any", visit_of(shortcut, each))[2] for each in sent]
    first, second = (parsed(each) for each in sent)

    assert first in {None, (told[0], 1)}  # what is no HTTP never makes a request, and so is never remembered
    assert second == (None if first is None else (told[1], 1))


def parsed(sent: bytes) -> tuple[bytes, int] | None:
    """Return a request's body and how many requests there are, as httptools has it; None for what it refuses."""
    bodies: list[bytes] = []
    ends: list[None] = []
    try:
        httptools.HttpRequestParser(SimpleNamespace(on_body=bodies.append, on_message_complete=lambda: ends.append(None))).feed_data(sent)
    except httptools.HttpParserError:
        return None
    return b"".join(bodies), len(ends)


@pytest.mark.parametrize("name", sorted(DECIDING | {"expect", "origin", "transfer-encoding", "upgrade", "x-request-id"}))
def test_a_head_that_says_more_than_whose_it_is_is_not_remembered(name: str) -> None:
    assert not learned(shortcut_of(), piece(), {**HEADERS, name: "1"})


@pytest.mark.parametrize(
    ("headers", "version", "is_known"),
    [
        ({"connection": "Keep-Alive"}, "1.1", True),
        ({"connection": "close"}, "1.1", False),
        ({}, "1.0", False),
        ({"content-type": "application/json"}, "1.1", True),
        ({"content-type": "application/json; charset=utf-8"}, "1.1", False),
    ],
)
def test_a_head_is_remembered_where_it_is_like_the_most(headers: dict[str, str], version: str, is_known: bool) -> None:
    assert learned(shortcut_of(), piece(), {**HEADERS, **headers}, version) is is_known


def test_what_is_known_is_bounded_and_holds_nothing_of_a_head() -> None:
    shortcut = shortcut_of(max_known=3)

    for number in range(9):
        learned(shortcut, piece(b"{}", f"authorization: Bearer {number}"))

    assert len(shortcut) == 3
    assert "Bearer" not in repr(shortcut._known)
    assert {len(key) for key in shortcut._known} == {16}


def test_a_head_that_is_met_again_and_again_stays_known() -> None:
    shortcut = shortcut_of(max_known=3)
    heads = [piece(b"{}", f"authorization: Bearer {number}") for number in range(9)]

    for head in heads:
        learned(shortcut, head)
        visit_of(shortcut, heads[0])
    visits = [visit_of(shortcut, head) for head in heads]

    assert [number for number, visit in enumerate(visits) if visit is not None and visit[1]] == [0, 7, 8]


def test_an_answer_that_is_stored_is_told_with_what_decided_and_what_is_left() -> None:
    chat = Chat()

    answer = shortcut_of(chat, per_minute=5).answer(KNOWN, DECISION)

    assert answer is not None
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = dict(line.split(": ") for line in head.decode().split("\r\n"))
    assert json.loads(body) == {"answer": 1}
    assert (headers["content-type"], headers["content-length"]) == ("application/json", "13")
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("5", "4")
    assert headers["x-request-id"].startswith("req_")
    assert "server-timing" in headers
    assert chat.replayed == [(DECISION, "d")]


@pytest.mark.parametrize(
    ("given", "decision"),
    [
        ({}, DECISION._replace(stream=True)),
        ({"look": None}, DECISION),
        ({"look": lambda _: None}, DECISION),
        ({"look": lambda _: b"nonsense"}, DECISION),
        ({"is_open": False}, DECISION),
    ],
    ids=["a stream", "no cache in process", "not stored", "not ours", "full"],
)
def test_whatever_is_in_doubt_is_a_request_like_any_other(given: dict[str, Any], decision: Decision) -> None:
    chat = Chat()

    assert shortcut_of(chat, **given).answer(KNOWN, decision) is None
    assert chat.replayed == []


def test_a_decision_is_found_by_its_tenant_and_body() -> None:
    shortcut = shortcut_of()

    found = [shortcut.find(known, body) for known, body in ((KNOWN, b"{}"), (KNOWN, b"[]"), (KNOWN._replace(tenant=Tenant("u", "key:u")), b"{}"))]

    assert found == [DECISION, None, None]


def test_a_caller_over_its_limit_is_refused_elsewhere() -> None:
    shortcut = shortcut_of(per_minute=1)

    assert [shortcut.answer(KNOWN, DECISION) is None for _ in range(2)] == [False, True]


def test_each_caller_is_limited_by_the_address_that_it_was_known_by() -> None:
    shortcut = shortcut_of(per_minute=1)
    other = KNOWN._replace(client="192.0.2.2")

    assert [shortcut.answer(known, DECISION) is None for known in (KNOWN, other, KNOWN, other)] == [False, False, True, True]


@pytest.mark.parametrize("fails", ["note_replay", "account"])
@pytest.mark.parametrize("per_minute", [2, 0])
@pytest.mark.parametrize("client", ["192.0.2.1", "2001:db8::1"])
def test_a_fault_takes_nothing_of_the_callers_limit(monkeypatch: pytest.MonkeyPatch, fails: str, per_minute: int, client: str) -> None:
    chat = Chat()
    limit = RateLimit(per_minute)
    shortcut = shortcut_of(chat, limit=limit)
    limit.take(client)

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(*((chat, fails, fail) if fails == "note_replay" else (f"app.shortcut.{fails}", fail)))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            shortcut.answer(KNOWN._replace(client=client), DECISION)

    assert [window and (window.allowed, window.remaining) for window in (limit.take(client), limit.take(client))] == (
        [(True, 0), (False, 0)] if per_minute else [None, None]
    )


async def test_the_shortcut_needs_no_loop_of_its_own() -> None:
    answer = await asyncio.to_thread(shortcut_of().answer, KNOWN, DECISION)

    assert answer is not None
    assert b"x-ratelimit" not in answer
