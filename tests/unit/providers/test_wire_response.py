"""How a response is read, held back, given up and cut short; the connection is a fake that counts what it is asked."""

from __future__ import annotations

import asyncio
import gzip
import math
import os
import threading
import weakref

import pytest

from app.domain import Failure
from app.errors import UpstreamError
from app.providers import wire_response
from app.providers.wire_encoding import Decoder, decode_whole
from app.providers.wire_response import HIGH_WATER_BYTES, WireResponse


class FakeLine:
    """A connection under the test's hand."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.paused = False
        self.aborts = 0
        self.timer_at = math.inf

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborts += 1

    def set_timer(self, at: float) -> None:
        self.timer_at = at


def make(*, max_body_bytes: int = 1_000_000, **headers: str) -> tuple[WireResponse, FakeLine]:
    line = FakeLine()
    response = WireResponse(line, idle_s=5.0, max_body_bytes=max_body_bytes)
    response.begin(
        200,
        "\r\n".join(["HTTP/1.1 200 OK", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]).encode(),
        encoded="content_encoding" in headers,
    )
    return response, line


def arrive(response: WireResponse, *parts: bytes) -> None:
    for part in parts:
        response.feed(part)


async def turn() -> None:
    """Let tasks run up to where they wait."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_read_waits_for_the_end_and_returns_the_whole() -> None:
    response, line = make()
    reading = asyncio.create_task(response.read(60))
    await turn()
    arrive(response, b"a", b"b")
    await turn()
    waiting = not reading.done()
    arrive(response, b"c")
    response.finish()

    assert waiting
    assert await reading == b"abc"
    assert line.aborts == 0


async def test_read_asks_for_a_deadline_over_the_whole_body() -> None:
    response, line = make()
    now = line.loop.time()
    reading = asyncio.create_task(response.read(60))
    await turn()
    first = response.deadline
    arrive(response, b"a")
    await turn()

    assert first is not None
    assert 60 <= first - now < 61
    assert response.deadline == first
    response.finish()
    await reading


async def test_chunks_come_as_they_arrive_joined_where_the_reader_was_behind() -> None:
    response, _ = make()
    chunks = response.chunks()
    arrive(response, b"a", b"b")
    first = await anext(chunks)
    second = asyncio.ensure_future(anext(chunks))
    await turn()
    arrive(response, b"c")

    assert (first, await second) == (b"ab", b"c")
    response.finish()
    assert [chunk async for chunk in chunks] == []


async def test_the_idle_deadline_runs_only_while_the_reader_waits() -> None:
    response, line = make()
    chunks = response.chunks()
    arrive(response, b"a")
    await anext(chunks)
    unhurried = response.waits
    waiting = asyncio.ensure_future(anext(chunks))
    await turn()
    hurried, deadline = response.waits, response.deadline
    arrive(response, b"b")

    assert (unhurried, hurried, response.waits) == (False, True, False)
    assert deadline is not None
    assert 4 < deadline - line.loop.time() <= 5
    assert await waiting == b"b"


async def test_a_reader_that_is_behind_holds_the_connection_back_until_it_takes() -> None:
    response, line = make()
    arrive(response, b"a" * HIGH_WATER_BYTES)
    at_the_mark = line.paused
    arrive(response, b"a")
    above = line.paused
    await anext(response.chunks())

    assert (at_the_mark, above, line.paused) == (False, True, False)


async def test_whoever_reads_the_whole_is_not_held_back() -> None:
    response, line = make(max_body_bytes=HIGH_WATER_BYTES * 10)
    arrive(response, b"a" * HIGH_WATER_BYTES * 2)
    before = line.paused
    reading = asyncio.create_task(response.read(60))
    await turn()
    arrive(response, b"a" * HIGH_WATER_BYTES * 2)

    assert before
    assert not line.paused
    response.finish()
    assert len(await reading) == HIGH_WATER_BYTES * 4


async def test_a_body_over_the_bound_is_broken_as_soon_as_it_is_over() -> None:
    response, line = make(max_body_bytes=10)
    reading = asyncio.create_task(response.read(60))
    await turn()
    arrive(response, b"a" * 10)
    await turn()
    waiting = not reading.done()
    arrive(response, b"a")

    assert waiting
    with pytest.raises(UpstreamError) as caught:
        await reading
    assert (caught.value.failure, line.aborts) == (Failure.BROKEN, 1)


@pytest.mark.parametrize("whole", [False, True])
async def test_a_body_that_is_over_the_bound_before_it_is_read_is_broken(whole: bool) -> None:
    response, line = make(max_body_bytes=10)
    arrive(response, b"a" * 11)
    if whole:
        response.finish()

    with pytest.raises(UpstreamError) as caught:
        await response.read(60)

    assert (caught.value.failure, line.aborts) == (Failure.BROKEN, 0 if whole else 1)


async def test_a_body_that_goes_over_the_bound_with_its_last_bytes_is_broken() -> None:
    response, _ = make(max_body_bytes=10)
    reading = asyncio.create_task(response.read(60))
    await turn()
    response.feed(b"a" * 11)
    response.finish()

    with pytest.raises(UpstreamError) as caught:
        await reading
    assert caught.value.failure is Failure.BROKEN


async def test_a_stream_is_not_bounded_because_it_is_not_held() -> None:
    response, _ = make(max_body_bytes=10)
    chunks = response.chunks()
    for _ in range(5):
        arrive(response, b"a" * 8)
        assert await anext(chunks) == b"a" * 8


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_a_compressed_body_becomes_is_bounded(streamed: bool) -> None:
    response, _ = make(max_body_bytes=1000, content_encoding="gzip")
    arrive(response, gzip.compress(b"a" * 100_000))
    response.finish()

    with pytest.raises(UpstreamError) as caught:
        _ = [chunk async for chunk in response.chunks()] if streamed else await response.read(60)

    assert caught.value.failure is Failure.BROKEN


async def test_a_stream_in_an_unknown_encoding_closes_its_connection() -> None:
    response, line = make(content_encoding="br")

    with pytest.raises(UpstreamError):
        await anext(response.chunks())

    assert line.aborts == 1


async def test_what_arrived_before_a_failure_is_passed_on_first() -> None:
    response, _ = make()
    arrive(response, b"a")
    response.fail(Failure.BROKEN)
    chunks = response.chunks()

    assert await anext(chunks) == b"a"
    with pytest.raises(UpstreamError) as caught:
        await anext(chunks)
    assert caught.value.failure is Failure.BROKEN


@pytest.mark.parametrize("failure", [Failure.BROKEN, Failure.TIMEOUT])
async def test_a_failure_wakes_who_waits_and_stays(failure: Failure) -> None:
    response, _ = make()
    reading = asyncio.create_task(response.read(60))
    await turn()
    response.fail(failure)

    for attempt in (reading, response.read(60)):
        with pytest.raises(UpstreamError) as caught:
            await attempt
        assert caught.value.failure is failure


async def test_closing_aborts_once() -> None:
    response, line = make()

    response.close()
    response.close()

    assert line.aborts == 1


async def test_closing_what_was_read_whole_does_nothing() -> None:
    response, line = make()
    arrive(response, b"abc")
    response.finish()
    body = await response.read(60)
    response.close()

    assert (body, line.aborts) == (b"abc", 0)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_closed_response_has_no_clean_end(streamed: bool, whole: bool) -> None:
    response, _ = make()
    arrive(response, b"abc")
    if whole:
        response.finish()
    response.close()

    with pytest.raises(UpstreamError) as caught:
        _ = [chunk async for chunk in response.chunks()] if streamed else await response.read(60)

    assert caught.value.failure is Failure.BROKEN


async def test_closing_wakes_a_reader_in_another_task() -> None:
    response, line = make()
    reading = asyncio.create_task(response.read(60))
    await turn()

    response.close()

    with pytest.raises(UpstreamError):
        await reading
    assert line.aborts == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelling_a_reader_aborts_the_connection_at_once(streamed: bool) -> None:
    response, line = make()
    reading = asyncio.ensure_future(anext(response.chunks()) if streamed else response.read(60))
    await turn()

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert line.aborts == 1


async def test_cancelling_after_the_end_arrived_leaves_the_connection_to_its_pool() -> None:
    response, line = make()
    reading = asyncio.ensure_future(response.read(60))
    await turn()

    response.finish()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert line.aborts == 0


async def test_a_stream_that_is_left_in_the_middle_is_closed_by_close() -> None:
    response, line = make()
    arrive(response, b"abc")
    async for _ in response.chunks():
        break

    response.close()

    assert line.aborts == 1


async def test_the_start_of_a_body_is_read_and_the_rest_given_up() -> None:
    response, line = make()
    arrive(response, b"a" * 70)

    assert await response.read_start(60, 64) == b"a" * 64
    assert line.aborts == 1


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_body_within_the_limit_is_read_to_its_end_and_its_connection_kept(encoding: str) -> None:
    response, line = make(content_encoding=encoding)
    arrive(response, gzip.compress(b"abc") if encoding == "gzip" else b"abc")
    response.finish()

    assert await response.read_start(60, 64) == b"abc"
    assert line.aborts == 0


async def test_a_start_that_never_comes_is_a_time_out() -> None:
    response, line = make()

    with pytest.raises(UpstreamError) as caught:
        await response.read_start(0.01, 64)

    assert (caught.value.failure, line.aborts) == (Failure.TIMEOUT, 1)


async def test_a_large_compressed_body_is_decoded_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def decode(decoder: Decoder, body: bytes) -> bytes:
        threads.append(threading.current_thread().name)
        return decode_whole(decoder, body)

    monkeypatch.setattr(wire_response, "decode_whole", decode)
    plain = os.urandom(100_000)
    for body in (plain, b"small"):
        response, _ = make(content_encoding="gzip")
        arrive(response, gzip.compress(body))
        response.finish()
        assert await response.read(60) == body

    assert [name == threading.main_thread().name for name in threads] == [False, True]


@pytest.mark.parametrize("taken", [True, False])
async def test_what_arrives_while_the_reader_waits_is_offered_first_and_wakes_nobody_where_it_is_taken(*, taken: bool) -> None:
    offered: list[bytes] = []

    def take(data: bytes) -> bool:
        offered.append(data)
        return taken

    response, line = make()
    response.offer(take)
    arrive(response, b"early")  # nobody waits yet
    chunks = response.chunks()
    first = await anext(chunks)
    waiting = asyncio.ensure_future(anext(chunks, None))
    await turn()
    response.deadline = 0.0
    arrive(response, b"a")
    hurried, deadline = response.waits, response.deadline
    arrive(response, b"b")

    assert first == b"early"
    assert offered == ([b"a", b"b"] if taken else [b"a"])
    assert hurried is taken
    assert (deadline - line.loop.time() > 4) is taken
    response.finish()
    assert await waiting == (None if taken else b"ab")


async def test_a_compressed_body_is_not_offered() -> None:
    response, _ = make(content_encoding="gzip")
    response.offer(lambda _: True)
    chunks = response.chunks()
    waiting = asyncio.ensure_future(anext(chunks))
    await turn()
    arrive(response, gzip.compress(b"said"))
    response.finish()

    assert await waiting == b"said"


@pytest.mark.parametrize("end", ["finish", "close"])
@pytest.mark.parametrize("late", [False, True])
async def test_a_response_that_is_over_holds_nobody_who_took_its_parts_or_would_have(end: str, *, late: bool) -> None:
    class Taker:
        def take(self, data: bytes) -> bool:
            return bool(data)

    response, _ = make()
    taker = Taker()
    gone = weakref.ref(taker)
    if late:
        arrive(response, b"all")
        getattr(response, end)()
    response.offer(taker.take)
    del taker

    getattr(response, end)()

    assert gone() is None
