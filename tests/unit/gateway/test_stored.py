from __future__ import annotations

import asyncio
import time

import pytest

from app.domain import CacheState
from app.gateway import stored
from app.gateway.cache_control import CacheControl
from app.gateway.flights import Flights
from app.gateway.stored import MAX_STORED_BYTES, Place, StoredAnswer
from tests.unit.gateway.test_reply import FakeCache

ANSWER = StoredAnswer("d", 1.5, b"two\nlines", ("seed",))


def place(cache: FakeCache | None = None, key: bytes | None = b"key", flights: Flights[StoredAnswer] | None = None, **control: bool) -> Place:
    return Place(cache or FakeCache(), Flights() if flights is None else flights, key, CacheControl(**control), 60)


def test_what_is_stored_is_read_back() -> None:
    assert StoredAnswer.load(ANSWER.dump()) == ANSWER


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        ANSWER.dump().partition(b"\n")[0],
        ANSWER.dump().partition(b"\n")[0] + b"x",
        b"[]\nx",
        b"nonsense\nx",
        b'{"deployment": "d"}\nx',
        b'{"deployment": "d", "stored_at": null}\nx',
        b'{"deployment": "d", "stored_at": 1}\nx',
    ],
)
def test_anything_else_in_the_cache_is_a_miss(raw: bytes) -> None:
    assert StoredAnswer.load(raw) is None


@pytest.mark.parametrize("stored_at", ["1" * 400, "1e400", "-1", "1e18", "NaN", "Infinity", '"nan"', '"inf"'])
def test_a_time_that_is_none_is_a_miss(stored_at: str) -> None:
    assert StoredAnswer.load(f'{{"deployment": "d", "stored_at": {stored_at}, "dropped": []}}\nx'.encode()) is None


@pytest.mark.parametrize("names", ['"deployment": "a\\r\\nb", "dropped": []', '"deployment": "d", "dropped": ["a\\u0000"]'])
def test_names_that_no_header_can_carry_are_a_miss(names: str) -> None:
    assert StoredAnswer.load(f'{{"stored_at": 1, {names}}}\nx'.encode()) is None


def test_what_was_read_of_answers_is_bounded() -> None:
    for number in range(stored._MAX_READ + 1):
        assert StoredAnswer.load(StoredAnswer("d", number, b"body", ("seed",)).dump()) == StoredAnswer("d", number, b"body", ("seed",))
    long = StoredAnswer("d", 1, b"body", ("a" * 600,))

    assert StoredAnswer.load(long.dump()) == long
    assert len(stored._read) <= stored._MAX_READ
    assert max(map(len, stored._read)) <= stored._MAX_LINE_BYTES


async def test_without_a_key_nothing_is_found_or_kept() -> None:
    cache = FakeCache()
    nowhere = place(cache, key=None)
    await nowhere.keep(ANSWER)

    assert await nowhere.find(time.monotonic() + 1) is None
    assert (nowhere.state, nowhere.keeps, cache.stored) == (CacheState.BYPASS, False, {})


async def test_what_is_kept_is_found() -> None:
    cache = FakeCache()
    await place(cache).keep(ANSWER)
    again = place(cache)

    assert await again.find(None) == ANSWER
    assert again.state is CacheState.HIT


async def test_no_store_keeps_nothing_and_a_large_answer_is_not_kept() -> None:
    cache = FakeCache()
    await place(cache, no_store=True).keep(ANSWER)
    await place(cache).keep(StoredAnswer("d", 1.5, b"x" * (MAX_STORED_BYTES + 1)))

    assert cache.stored == {}


async def test_callers_that_join_get_what_lands() -> None:
    flights: Flights[StoredAnswer] = Flights()
    leader, follower = place(flights=flights), place(flights=flights)
    assert await leader.find(time.monotonic() + 1) is None
    joining = asyncio.ensure_future(follower.find(time.monotonic() + 1))
    await asyncio.sleep(0)

    leader.land(ANSWER)
    leader.abandon()

    assert await joining == ANSWER
    assert (leader.state, follower.state) == (CacheState.MISS, CacheState.JOINED)


async def test_a_leader_that_abandons_lets_the_next_one_lead() -> None:
    flights: Flights[StoredAnswer] = Flights()
    leader, follower = place(flights=flights), place(flights=flights)
    await leader.find(time.monotonic() + 1)
    joining = asyncio.ensure_future(follower.find(time.monotonic() + 1))
    await asyncio.sleep(0)

    leader.abandon()

    assert await joining is None
    assert follower.state is CacheState.MISS
    follower.abandon()
