from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from app.services.cache import MemoryCache, RedisCache
from tests.unit.services.kept import Clock

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_value_is_found_until_its_time_is_over() -> None:
    clock = Clock()
    cache = MemoryCache(10_000, clock)
    await cache.put(b"k", b"v", 60)
    clock.now += 59.9
    fresh = await cache.get(b"k")
    clock.now += 0.1
    stale = await cache.get(b"k")

    assert fresh == b"v"
    assert stale is None
    assert (len(cache), cache.size_bytes) == (0, 0)


async def test_a_put_takes_the_place_and_the_time_of_the_one_before() -> None:
    clock = Clock()
    cache = MemoryCache(10_000, clock)
    await cache.put(b"k", b"old", 10)
    await cache.put(b"k", b"new", 100)
    clock.now += 50

    assert await cache.get(b"k") == b"new"
    assert len(cache) == 1


async def test_what_was_used_longest_ago_goes_first() -> None:
    cache = MemoryCache(3_000)
    for name in (b"a", b"b", b"c", b"d", b"e"):
        await cache.put(name, bytes(300), 60)
    await cache.get(b"a")
    await cache.put(b"f", bytes(300), 60)

    assert [name for name in (b"a", b"b", b"c", b"d", b"e", b"f") if await cache.get(name) is not None] == [b"a", b"c", b"d", b"e", b"f"]


async def test_a_value_over_an_eighth_of_the_cache_is_not_stored_and_takes_out_the_one_before() -> None:
    cache = MemoryCache(8_000)
    await cache.put(b"fits", bytes(1_000), 60)
    await cache.put(b"k", b"old", 60)
    await cache.put(b"k", bytes(1_001), 60)

    assert await cache.get(b"fits") == bytes(1_000)
    assert await cache.get(b"k") is None


@pytest.mark.parametrize("ttl_s", [0, -1])
async def test_no_time_means_not_stored(ttl_s: float) -> None:
    cache = MemoryCache(10_000)
    await cache.put(b"k", b"old", 60)
    await cache.put(b"k", b"new", ttl_s)

    assert await cache.get(b"k") is None


async def test_a_cache_of_no_bytes_stores_nothing() -> None:
    cache = MemoryCache(0)
    await cache.put(b"k", b"", 60)

    assert await cache.get(b"k") is None


async def test_the_in_process_cache_is_always_ok_and_closing_empties_it() -> None:
    cache = MemoryCache(10_000)
    await cache.put(b"k", b"v", 60)
    answers, status = await cache.ping(), cache.status
    await cache.aclose()

    assert answers
    assert status == "ok"
    assert (await cache.get(b"k"), cache.size_bytes) == (None, 0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 7), st.integers(0, 600), st.integers(-1, 20)),
        st.tuples(st.just("get"), st.integers(0, 7), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.just(0), st.just(0), st.integers(1, 10)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(0, 4_000))
async def test_the_cache_never_outgrows_its_bound_and_never_answers_what_was_not_put_or_is_over(steps: list[tuple[str, int, int, int]], max_bytes: int) -> None:
    clock = Clock()
    cache = MemoryCache(max_bytes, clock)
    put: dict[bytes, tuple[bytes, float]] = {}
    for number, (what, name, size, seconds) in enumerate(steps):
        key = b"%d" % name
        if what == "wait":
            clock.now += seconds
        elif what == "put":
            value = b"%d" % number + bytes(size)
            await cache.put(key, value, seconds)
            put[key] = (value, clock.now + seconds)
        else:
            found = await cache.get(key)
            value, expires = put.get(key, (b"", 0.0))
            assert found is None or (found == value and clock.now < expires)

        assert cache.size_bytes <= max_bytes
        assert (cache.size_bytes == 0) == (len(cache) == 0)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=80))
async def test_with_room_for_eight_the_last_eight_used_are_there(uses: list[int]) -> None:
    cache = MemoryCache(8 * (1 + 100 + 256))
    last: list[int] = []
    for name in uses:
        key = bytes([name])
        if await cache.get(key) is None:
            await cache.put(key, bytes(100), 60)
        last = [*(other for other in last if other != name), name]

    assert {name for name in range(21) if await cache.get(bytes([name])) is not None} == set(last[-8:])


async def test_without_redis_the_fallback_serves_and_the_fault_is_counted(tmp_path: Path) -> None:
    faults = REGISTRY.get_sample_value("sluice_faults_total", {"part": "cache"}) or 0
    fallback = MemoryCache(10_000)
    cache = RedisCache(f"unix://{tmp_path}/none.sock", fallback)
    before = cache.status
    await cache.put(b"k", b"v", 60)
    found = await cache.get(b"k")

    assert before == "ok"
    assert found == b"v"
    assert cache.status == "degraded"
    assert not await cache.ping()
    assert await fallback.get(b"k") == b"v"
    assert REGISTRY.get_sample_value("sluice_degraded", {"part": "cache"}) == 1
    assert REGISTRY.get_sample_value("sluice_faults_total", {"part": "cache"}) == faults + 1
    await cache.aclose()


def test_a_url_that_is_not_redis_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="scheme") as caught:
        RedisCache("http://user:hunter2@localhost", MemoryCache(0))

    assert "hunter2" not in str(caught.value)
