"""What a connection makes of bytes, cut anywhere; no socket is needed for that."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.wire_connection import Connection
from app.providers.wire_response import WireResponse
from tests.integration.wire.answers import ANSWERS, BROKEN, BROKEN_BODIES, Answer, by_length, chunked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass
class Home:
    made: list[Connection] = field(default_factory=list)
    back: list[Connection] = field(default_factory=list)
    gone: list[Connection] = field(default_factory=list)

    def greet(self, connection: Connection) -> None:
        self.made.append(connection)

    def put(self, connection: Connection) -> None:
        self.back.append(connection)

    def forget(self, connection: Connection) -> None:
        self.gone.append(connection)


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.unsent = 0
        self.reading = True
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Exchange:
    """One request on a connection of its own, and the answer that the test feeds it."""

    def __init__(self, *, method: str = "POST", body: bytes = b"{}", max_body_bytes: int = 1_000_000) -> None:
        self.home = Home()
        self.transport = FakeTransport()
        self.sock = socket.socket()
        self.connection = Connection(self.sock, self.home)
        self.sock.close()
        self.connection.connection_made(self.transport)
        self.response = self.send(method=method, body=body, max_body_bytes=max_body_bytes)

    def send(self, *, method: str = "POST", body: bytes = b"{}", max_body_bytes: int = 1_000_000) -> WireResponse:
        self.response = WireResponse(self.connection, idle_s=60.0, max_body_bytes=max_body_bytes)
        self.connection.send(self.response, f"{method} / HTTP/1.1\r\n\r\n".encode(), body, head_only=method == "HEAD")
        return self.response

    def feed(self, *segments: bytes) -> None:
        for segment in segments:
            if not self.transport.aborted:  # as a transport does
                self.connection.data_received(segment)

    def end(self, *, reset: bool = False) -> None:
        if not reset and not self.transport.aborted:
            self.connection.eof_received()
        self.connection.connection_lost(ConnectionResetError() if reset else None)

    @property
    def is_reusable(self) -> bool:
        return self.home.back == [self.connection] and not self.transport.aborted


async def outcome(response: WireResponse, *, streamed: bool = False) -> tuple[int, bytes] | Failure:
    """Return what the caller sees; everything has arrived, so that nothing may wait."""
    try:
        async with asyncio.timeout(5):
            await response.wait_for_head(asyncio.get_running_loop().time() + 60)
            body = b"".join([chunk async for chunk in response.chunks()]) if streamed else await response.read(60)
    except UpstreamError as error:
        return error.failure
    return response.status, body


async def receive(segments: Iterable[bytes], *, method: str = "POST", streamed: bool = False, reset: bool = False) -> tuple[int, bytes] | Failure:
    exchange = Exchange(method=method)
    exchange.feed(*segments)
    exchange.end(reset=reset)
    return await outcome(exchange.response, streamed=streamed)


def single_bytes(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


@pytest.mark.parametrize("streamed", [False, True], ids=["read", "chunks"])
@pytest.mark.parametrize("answer", ANSWERS, ids=str)
async def test_an_answer_is_the_same_wherever_it_is_cut(answer: Answer, streamed: bool) -> None:
    expected = (answer.status, answer.body)

    assert await receive([answer.raw], method=answer.method, streamed=streamed) == expected
    assert await receive(single_bytes(answer.raw), method=answer.method, streamed=streamed) == expected
    for cut in range(1, len(answer.raw)):
        assert await receive([answer.raw[:cut], answer.raw[cut:]], method=answer.method, streamed=streamed) == expected


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize("answer", ANSWERS, ids=str)
async def test_an_answer_that_stops_early_is_never_a_clean_end(answer: Answer, reset: bool) -> None:
    head = answer.raw.index(b"\r\n\r\n") + 4
    for cut in range(len(answer.raw)):
        got = await receive([answer.raw[:cut]] if cut else [], method=answer.method, streamed=True, reset=reset)

        if answer.until_close and not reset and cut >= head:
            assert got == (answer.status, answer.raw[head:cut])
        else:
            assert got is (Failure.BROKEN if cut else Failure.UNREACHABLE)


@pytest.mark.parametrize("answer", [answer for answer in ANSWERS if answer.until_close], ids=str)
async def test_a_reset_is_no_end_of_a_body_that_ends_with_the_connection(answer: Answer) -> None:
    assert await receive([answer.raw], reset=True) is Failure.BROKEN


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
async def test_a_connection_goes_back_exactly_when_both_sides_may_use_it_again(answer: Answer) -> None:
    exchange = Exchange(method=answer.method)

    exchange.feed(answer.raw)
    if answer.until_close:
        exchange.end()

    assert exchange.is_reusable == answer.reusable
    assert exchange.transport.aborted != answer.reusable


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
async def test_a_malformed_head_is_broken_and_closes(raw: bytes) -> None:
    for segments in ([raw], [raw[i : i + 1000] for i in range(0, len(raw), 1000)]):
        exchange = Exchange()
        exchange.feed(*segments)

        assert exchange.transport.aborted
        assert await outcome(exchange.response) is Failure.BROKEN


@pytest.mark.parametrize("streamed", [False, True], ids=["read", "chunks"])
@pytest.mark.parametrize("raw", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
async def test_a_malformed_body_is_broken_after_its_head(raw: bytes, streamed: bool) -> None:
    for segments in ([raw], [raw[i : i + 1000] for i in range(0, len(raw), 1000)]):
        exchange = Exchange()
        exchange.feed(*segments)
        exchange.end()

        assert exchange.response.status == 200
        assert await outcome(exchange.response, streamed=streamed) is Failure.BROKEN


async def test_headers_have_lower_case_names_and_repeated_ones_are_joined() -> None:
    exchange = Exchange()

    exchange.feed(by_length(b"", "X-One: 1", "x-two: a", "X-TWO: b", "X-Empty:", "X-Latin: caf\xe9"))

    headers = exchange.response.headers
    assert (headers["x-one"], headers["x-two"], headers["x-empty"], headers["x-latin"]) == ("1", "a, b", "", "café")


async def test_interim_headers_and_trailers_are_not_the_answers_headers() -> None:
    exchange = Exchange()

    exchange.feed(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + chunked(b"a", trailer="X-Trailer: 1\r\n"))

    assert dict(exchange.response.headers) == {"transfer-encoding": "chunked"}


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\0", b"H"])
@pytest.mark.parametrize("raw", [by_length(b"abc"), by_length(b""), chunked(b"abc")], ids=["length", "zero", "chunked"])
async def test_bytes_after_the_end_close_the_connection_and_leave_the_answer(raw: bytes, surplus: bytes) -> None:
    together, later = Exchange(), Exchange()

    together.feed(raw + surplus)
    later.feed(raw, surplus)

    assert together.transport.aborted
    assert later.transport.aborted
    assert await outcome(together.response) == await outcome(later.response) == (200, b"" if raw == by_length(b"") else b"abc")


async def test_one_connection_serves_many_exchanges_each_with_its_own_answer() -> None:
    exchange = Exchange()
    for number in range(5):
        exchange.feed(by_length(b"answer %d" % number) if number % 2 else chunked(b"answer", b" %d" % number))

        assert await outcome(exchange.response) == (200, b"answer %d" % number)
        exchange.send()


async def test_a_connection_that_was_held_back_reads_again_when_its_answer_is_whole() -> None:
    exchange = Exchange()
    raw = by_length(b"a" * 400_000)
    exchange.feed(raw[:300_000])
    held_back = not exchange.transport.reading
    exchange.feed(raw[300_000:])

    assert held_back
    assert exchange.transport.reading
    assert exchange.is_reusable


async def test_an_idle_connection_that_ends_is_forgotten() -> None:
    exchange = Exchange()
    exchange.feed(by_length(b"abc"))

    exchange.end()

    assert exchange.home.gone == [exchange.connection]
    assert not exchange.connection.is_open
    assert exchange.connection.lost.done()


async def test_an_answer_before_the_request_is_out_is_read_and_the_connection_closed() -> None:
    exchange = Exchange()
    exchange.transport.unsent = 1

    exchange.feed(by_length(b"too large", status="413 Content Too Large"))

    assert await outcome(exchange.response) == (413, b"too large")
    assert exchange.transport.aborted


async def test_an_error_after_a_large_body_closes_because_buffers_below_cannot_be_seen() -> None:
    refused, served = Exchange(body=b"a" * 100_000), Exchange(body=b"a" * 100_000)

    refused.feed(by_length(b"", status="413 Content Too Large"))
    served.feed(by_length(b""))

    assert refused.transport.aborted
    assert served.is_reusable


async def test_a_request_on_a_connection_that_was_lost_fails() -> None:
    exchange = Exchange()
    exchange.end()

    assert await outcome(exchange.send()) is Failure.UNREACHABLE


async def test_head_and_body_are_written_as_they_are() -> None:
    small, large = Exchange(body=b"abc"), Exchange(body=b"a" * 100_000)

    assert small.transport.written == b"POST / HTTP/1.1\r\n\r\nabc"
    assert large.transport.written == b"POST / HTTP/1.1\r\n\r\n" + b"a" * 100_000


async def test_a_head_of_exactly_the_limit_is_taken_even_with_a_large_body_in_the_same_read() -> None:
    head = by_length(b"", "X-Pad: ").replace(b": 0", b": 200000")
    padded = head.replace(b"X-Pad: ", b"X-Pad: " + b"a" * (65_536 - len(head)))
    one_more = padded.replace(b"X-Pad: ", b"X-Pad: a")

    assert await receive([padded + b"b" * 200_000]) == (200, b"b" * 200_000)
    assert await receive([one_more + b"b" * 200_000]) is Failure.BROKEN


async def test_many_small_chunks_are_no_endless_overhead() -> None:
    raw = chunked(*[b"a"] * 30_000, extension=";" + "x" * 20)

    assert await receive([raw[i : i + 5000] for i in range(0, len(raw), 5000)]) == (200, b"a" * 30_000)


class FakeLoop:
    """A clock that the test turns, and the timers that were set by it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> FakeTimer:
        self.timers.append(FakeTimer(when, callback))
        return self.timers[-1]

    def turn_to(self, now: float) -> None:
        self.now = now
        for timer in [timer for timer in self.timers if timer.when <= now]:
            self.timers.remove(timer)
            if not timer.cancelled:
                timer.callback()

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


@dataclass
class FakeTimer:
    when: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


def timed_exchange() -> tuple[Exchange, FakeLoop]:
    exchange, loop = Exchange(), FakeLoop()
    exchange.connection.loop = cast("asyncio.AbstractEventLoop", loop)
    return exchange, loop


async def wait(exchange: Exchange, deadline: float) -> asyncio.Task[None]:
    """Let the response's reader wait for the head until `deadline`."""
    waiting = asyncio.create_task(exchange.response.wait_for_head(deadline))
    await asyncio.sleep(0)
    return waiting


async def test_a_deadline_that_passes_closes_the_connection_and_fails_the_response() -> None:
    exchange, loop = timed_exchange()
    waiting = await wait(exchange, 10.0)

    loop.turn_to(9.9)
    before = exchange.transport.aborted
    loop.turn_to(10.0)

    assert not before
    assert exchange.transport.aborted
    with pytest.raises(UpstreamError) as raised:
        await waiting
    assert raised.value.failure is Failure.TIMEOUT


async def test_a_deadline_that_keeps_moving_never_passes_and_costs_one_timer_at_a_time() -> None:
    exchange, loop = timed_exchange()
    waiting = await wait(exchange, 10.0)
    for now in range(100):
        loop.turn_to(float(now))
        exchange.response.deadline = now + 10.0

    assert not exchange.transport.aborted
    assert len(loop.timers) == 1
    loop.turn_to(109.0)
    loop.turn_to(109.1)
    assert exchange.transport.aborted
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], UpstreamError)


async def test_a_nearer_deadline_replaces_the_timer() -> None:
    exchange, loop = timed_exchange()
    await wait(exchange, 300.0)
    waiting = await wait(exchange, 60.0)

    loop.turn_to(60.0)

    assert exchange.transport.aborted
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], UpstreamError)


async def test_a_deadline_does_not_pass_while_nobody_waits_and_is_set_anew_by_who_waits_next() -> None:
    exchange, loop = timed_exchange()
    waiting = await wait(exchange, 10.0)
    exchange.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
    await waiting

    loop.turn_to(20.0)

    assert not exchange.transport.aborted
    assert loop.timers == []
    reading = asyncio.create_task(exchange.response.read(10.0))
    await asyncio.sleep(0)
    loop.turn_to(30.0)
    assert exchange.transport.aborted
    assert isinstance((await asyncio.gather(reading, return_exceptions=True))[0], UpstreamError)


async def test_the_end_of_an_exchange_takes_its_deadline_back() -> None:
    exchange, loop = timed_exchange()
    waiting = await wait(exchange, 10.0)
    exchange.feed(by_length(b"abc"))
    await waiting

    loop.turn_to(20.0)

    assert exchange.is_reusable


async def test_a_closed_connection_leaves_no_timer_behind() -> None:
    exchange, loop = timed_exchange()
    waiting = await wait(exchange, 10.0)

    exchange.response.close()

    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], UpstreamError)

    assert all(timer.cancelled for timer in loop.timers)


HEADS = st.sampled_from([answer.raw for answer in ANSWERS] + [raw for raw in (*BROKEN.values(), *BROKEN_BODIES.values()) if len(raw) < 5000])


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """Return an answer with some of its bytes changed, left out, repeated or put in."""
    data = draw(HEADS)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        until = draw(st.integers(at, min(len(data), at + 8)))
        data = data[:at] + draw(st.one_of(st.binary(max_size=6), st.sampled_from([b"\r\n", b"\r\n\r\n", b"0", b":", data[at:until] * 2]))) + data[until:]
    return data


@given(
    st.one_of(mangled(), st.binary(max_size=200)), st.lists(st.integers(1, 400), max_size=5), st.booleans(), st.booleans(), st.sampled_from(["POST", "HEAD"])
)
async def test_any_bytes_are_an_answer_or_a_failure_and_never_wait(data: bytes, cuts: list[int], streamed: bool, reset: bool, method: str) -> None:
    edges = [0, *sorted(set(cuts)), len(data)]
    segments = [part for start, end in pairwise(edges) if (part := data[start:end])]

    got = await receive(segments, method=method, streamed=streamed, reset=reset)

    assert got in (Failure.BROKEN, Failure.UNREACHABLE) or cast("tuple[int, bytes]", got)[0] in range(200, 600)


@given(mangled(), st.lists(st.integers(1, 400), max_size=5))
async def test_what_an_answer_is_does_not_depend_on_its_cuts(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    segments = [part for start, end in pairwise(edges) if (part := data[start:end])]

    assert await receive(segments) == await receive([data] if data else [])
