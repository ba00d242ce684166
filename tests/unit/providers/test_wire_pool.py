"""Which idle connection serves next, and which are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from app.providers.wire_pool import Pool

if TYPE_CHECKING:
    from app.providers.wire_connection import Connection


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now


class FakeConnection:
    def __init__(self, clock: Clock) -> None:
        self.loop = clock
        self.idle_since = 0.0
        self.is_open = True

    def is_fresh(self, now: float, max_idle_s: float) -> bool:
        return self.is_open and now - self.idle_since <= max_idle_s

    def abort(self) -> None:
        self.is_open = False


def make(count: int, *, max_idle: int = 10, max_idle_s: float = 55.0) -> tuple[Pool, Clock, list[Connection]]:
    clock = Clock()
    pool = Pool(set(), max_idle=max_idle, max_idle_s=max_idle_s)
    connections = [cast("Connection", FakeConnection(clock)) for _ in range(count)]
    for connection in connections:
        pool.put(connection)
    return pool, clock, connections


def test_an_empty_pool_has_none() -> None:
    assert make(0)[0].take(100.0) is None


def test_the_connection_used_last_serves_next() -> None:
    pool, _, (first, second) = make(2)

    assert [pool.take(100.0), pool.take(100.0), pool.take(100.0)] == [second, first, None]


def test_a_connection_that_went_stale_is_closed_and_the_next_one_taken() -> None:
    pool, _, (first, second) = make(2)
    second.abort()

    assert pool.take(100.0) is first


def test_connections_that_were_idle_for_too_long_are_closed() -> None:
    pool, _, (first, second) = make(2)

    assert pool.take(155.1) is None
    assert not first.is_open
    assert not second.is_open


def test_an_expired_connection_goes_when_another_comes_back() -> None:
    pool, clock, (old, young) = make(2)
    used = pool.take(100.0)
    clock.now = 160.0

    assert used is young
    pool.put(young)

    assert not old.is_open
    assert pool.take(160.0) is young


def test_over_the_bound_the_oldest_is_closed() -> None:
    pool, _, (first, second, third) = make(3, max_idle=2)

    assert not first.is_open
    assert [pool.take(100.0), pool.take(100.0), pool.take(100.0)] == [third, second, None]


def test_a_lost_connection_is_not_offered_again() -> None:
    pool, _, (first, second) = make(2)

    pool.forget(second)

    assert [pool.take(100.0), pool.take(100.0)] == [first, None]


def test_live_holds_what_was_made_until_it_is_lost() -> None:
    live: set[Connection] = set()
    pool = Pool(live, max_idle=2, max_idle_s=1.0)
    connection = cast("Connection", FakeConnection(Clock()))

    pool.greet(connection)
    seen = set(live)
    pool.forget(connection)

    assert (seen, live) == ({connection}, set())


def test_closing_closes_what_is_idle_and_what_comes_back_later() -> None:
    pool, _, (idle, busy) = make(2)
    pool.take(100.0)

    pool.close()
    pool.put(busy)

    assert not idle.is_open
    assert not busy.is_open
    assert pool.take(100.0) is None
