from __future__ import annotations

import math
import threading
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from app.domain import Window
from app.errors import RateLimitedError
from app.limits import BoundedWindows, RateLimit, client_address, limit_headers, limit_lines, refusal

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Remote:
    """A shared store that answers what it is told to."""

    def __init__(self, window: Window | None) -> None:
        self.window = window
        self.keys: list[str] = []

    async def hit(self, key: str) -> Window | None:
        self.keys.append(key)
        return self.window


def hit(limit: RateLimit, key: str = "198.51.100.1") -> Window:
    window = limit.hit_local(key)
    assert window is not None
    return window


def refused() -> float:
    return REGISTRY.get_sample_value("sluice_rate_limited_total") or 0


def test_hits_are_allowed_up_to_the_limit_and_counted_down() -> None:
    limit = RateLimit(3, clock=Clock())

    assert [hit(limit)[:3] for _ in range(4)] == [(True, 3, 2), (True, 3, 1), (True, 3, 0), (False, 3, 0)]


def test_each_hit_leaves_the_window_after_a_minute_and_frees_one_slot() -> None:
    clock = Clock()
    limit = RateLimit(2, clock=clock)
    hit(limit)
    clock.now += 20
    hit(limit)
    clock.now += 10
    over = hit(limit)
    clock.now += 29.5
    still_over = hit(limit)
    clock.now += 0.5
    free, next_over = hit(limit), hit(limit)

    assert (over.allowed, over.reset_s) == (False, 30)
    assert (still_over.allowed, still_over.reset_s) == (False, 0.5)
    assert (free.allowed, free.remaining) == (True, 0)
    assert (next_over.allowed, next_over.reset_s) == (False, 20)


def test_a_refused_hit_does_not_count() -> None:
    clock = Clock()
    limit = RateLimit(1, clock=clock)
    hit(limit)
    for _ in range(10):
        clock.now += 5
        hit(limit)
    clock.now += 10

    assert hit(limit).allowed


def test_keys_are_counted_apart_and_an_ipv6_host_by_its_network() -> None:
    limit = RateLimit(1, clock=Clock())
    keys = ["198.51.100.1", "198.51.100.2", "key:acme", "a/b", "2001:db8:0:1::1", "2001:db8:0:2::1", "::ffff:198.51.100.3", "::1"]

    assert [hit(limit, key).allowed for key in keys] == [True] * len(keys)
    assert not hit(limit, "2001:db8:0:1:ffff::9").allowed
    assert not hit(limit, "198.51.100.3").allowed


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 240), st.sampled_from("abc")), max_size=80))
def test_no_minute_ever_holds_more_than_the_limit_and_no_hit_is_refused_that_would_fit(per_minute: int, hits: list[tuple[int, str]]) -> None:
    clock = Clock()
    limit = RateLimit(per_minute, clock=clock)
    allowed: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for gap, key in hits:
        clock.now += gap / 8
        counting = [at for at in allowed[key] if at > clock.now - 60]
        window = hit(limit, key)

        assert window.allowed == (len(counting) < per_minute)
        if window.allowed:
            allowed[key].append(clock.now)
            counting.append(clock.now)
        assert window.remaining == per_minute - len(counting)
        assert window.reset_s == counting[0] + 60 - clock.now


def test_a_key_keeps_the_hits_that_still_count_when_others_come() -> None:
    clock = Clock()
    limit = RateLimit(2, clock=clock)
    hit(limit, "regular")
    clock.now += 30
    hit(limit, "regular")
    clock.now += 30
    hit(limit, "stranger")

    assert [hit(limit, "regular").allowed for _ in range(2)] == [True, False]


@given(st.integers(1, 4), st.lists(st.floats(0, 30), min_size=1, max_size=40))
def test_after_retry_after_there_is_a_free_slot(per_minute: int, gaps: list[float]) -> None:
    clock = Clock()
    limit = RateLimit(per_minute, clock=clock)
    for gap in gaps:
        clock.now += gap
        window = hit(limit)
        if not window.allowed:
            clock.now += int(refusal(window).headers["retry-after"]) + 1e-6  # below a clock's own steps
            assert hit(limit).allowed


def test_a_refusal_that_is_told_elsewhere_is_not_counted_here() -> None:
    limit = RateLimit(1, clock=Clock())
    before = refused()

    taken = [limit.take("a"), limit.take("a")]

    assert [window is not None and window.allowed for window in taken] == [True, False]
    assert refused() == before
    assert RateLimit(0).take("a") is None


def test_a_hit_that_is_given_back_was_never_taken() -> None:
    clock = Clock()
    limit = RateLimit(2, clock=clock)
    hit(limit)
    clock.now += 10
    limit.take("198.51.100.1")
    limit.give_back("198.51.100.1")
    clock.now += 10

    assert hit(limit)[1:] == (2, 0, 40)


@pytest.mark.parametrize("reset_s", [0.0, 0.12, 1.5, 59.9994, 60.0])
def test_lines_say_what_headers_say(reset_s: float) -> None:
    window = Window(allowed=True, limit=3, remaining=2, reset_s=reset_s)

    assert limit_lines(window) == b"".join(b"%b: %b\r\n" % header for header in limit_headers(window))


async def test_a_limit_of_zero_is_off() -> None:
    limit = RateLimit(0, Remote(Window(allowed=False, limit=1, remaining=0, reset_s=1)))

    assert limit.hit_local("198.51.100.1") is None
    assert await limit.hit("198.51.100.1") is None
    assert limit.off
    assert not limit.shared


async def test_where_replicas_share_the_store_says() -> None:
    remote = Remote(Window(allowed=False, limit=7, remaining=0, reset_s=3))
    limit = RateLimit(60, remote)
    before = refused()
    window = await limit.hit("2001:db8::1")

    assert limit.shared
    assert window == remote.window
    assert remote.keys == ["20010db800000000/64"]
    assert refused() == before + 1


async def test_while_the_store_cannot_say_this_process_counts() -> None:
    limit = RateLimit(2, Remote(None))
    windows = [await limit.hit("198.51.100.1") for _ in range(3)]

    assert [window.allowed for window in windows if window is not None] == [True, True, False]


async def test_without_a_store_the_process_counts_and_refusals_are_counted_once() -> None:
    limit = RateLimit(1)
    before = refused()
    windows = [await limit.hit("198.51.100.1") for _ in range(3)]

    assert not limit.shared
    assert [window.allowed for window in windows if window is not None] == [True, False, False]
    assert refused() == before + 2


def test_counting_starts_no_thread() -> None:
    before = threading.active_count()
    limit = RateLimit(100)
    for number in range(50):
        hit(limit, f"198.51.100.{number}")

    assert threading.active_count() == before


def test_any_number_of_addresses_takes_a_bounded_table_and_the_one_met_last_is_still_counted() -> None:
    store = BoundedWindows(max_keys=100, clock=Clock())
    sizes = set()
    for number in range(2_000):
        store.acquire_entry(f"stranger {number}", 1, 60)
        if number % 50 == 0:
            store.acquire_entry("regular", 1, 60)
        sizes.add(len(store))

    assert max(sizes) == 100
    assert not store.acquire_entry("regular", 1, 60)


def test_hits_that_left_the_window_take_no_memory() -> None:
    clock = Clock()
    limit = RateLimit(1_000_000, clock=clock)
    for _ in range(3000):
        clock.now += 0.5
        window = hit(limit)

    assert window.remaining == 1_000_000 - 120
    assert len(next(iter(limit._store._hits.values())).times) < 1000


def test_keys_whose_hits_have_left_the_window_are_forgotten_as_others_come() -> None:
    clock = Clock()
    store = BoundedWindows(clock=clock)
    for number in range(100):
        store.acquire_entry(f"early {number}", 1, 60)
    clock.now += 60
    for number in range(60):
        store.acquire_entry(f"late {number}", 1, 60)

    assert len(store) == 60


def test_hits_that_have_left_the_window_are_not_told() -> None:
    clock = Clock()
    store = BoundedWindows(clock=clock)
    store.acquire_entry("a", 1, 60)
    clock.now += 60

    assert store.get_moving_window("a", 1, 60) == (1060, 0)


def test_a_key_can_be_cleared_and_so_can_all() -> None:
    store = BoundedWindows(clock=Clock())
    for key in ("a", "b", "c"):
        store.acquire_entry(key, 1, 60)
    store.clear("a")

    assert store.acquire_entry("a", 1, 60)
    assert store.get_moving_window("b", 1, 60) == (1000, 1)
    assert store.reset() == 3
    assert store.get_moving_window("b", 1, 60) == (1000, 0)
    assert store.check()


@pytest.mark.parametrize(("reset_s", "wait"), [(0, "1"), (0.2, "1"), (1, "1"), (1.001, "2"), (59.5, "60")])
def test_a_refusal_says_the_limit_and_the_whole_seconds_to_wait(reset_s: float, wait: str) -> None:
    error = refusal(Window(allowed=False, limit=60, remaining=0, reset_s=reset_s))

    assert isinstance(error, RateLimitedError)
    assert error.message == f"Rate limit reached: 60 requests a minute. Try again in {wait} s."
    assert error.headers == {"retry-after": wait}
    assert error.status == 429


@pytest.mark.parametrize(
    ("reset_s", "text"),
    [
        (0, b"0s"),
        (0.0001, b"1ms"),
        (0.12, b"120ms"),
        (0.9995, b"1s"),
        (1, b"1s"),
        (8.64, b"8.64s"),
        (10, b"10s"),
        (59.9999, b"1m0s"),
        (60, b"1m0s"),
        (90.5, b"1m30.5s"),
        (360, b"6m0s"),
    ],
)
def test_the_headers_are_openais(reset_s: float, text: bytes) -> None:
    assert limit_headers(Window(allowed=True, limit=60, remaining=59, reset_s=reset_s)) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", text),
    ]


@given(st.floats(0, 7200))
def test_a_duration_reads_back_to_the_millisecond_and_is_never_too_short(reset_s: float) -> None:
    text = limit_headers(Window(allowed=True, limit=1, remaining=0, reset_s=reset_s))[2][1].decode()
    if text.endswith("ms"):
        seconds = int(text[:-2]) / 1000
    else:
        minutes, _, rest = text[:-1].rpartition("m")
        seconds = int(minutes or 0) * 60 + float(rest)

    assert math.ceil(reset_s * 1000) == round(seconds * 1000)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        # nobody is believed but a trusted proxy
        ("198.51.100.1", None, "198.51.100.1"),
        ("198.51.100.1", "203.0.113.7", "198.51.100.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        # what stands left of the first stranger is the stranger's own word
        ("10.0.0.1", "192.0.2.66, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "192.0.2.66, 203.0.113.7, 10.0.0.2,10.0.0.3", "203.0.113.7"),
        ("10.0.0.1", "10.9.9.9, 10.0.0.2", "10.9.9.9"),
        # what is no address ends the walk
        ("10.0.0.1", "203.0.113.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "203.0.113.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, 010.0.0.2", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, 1.2.3.4:http", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, [2001:db8::1]x", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, [192.0.2.1]", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, [", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, 3221226219", "10.0.0.1"),
        # blank entries are none
        ("10.0.0.1", "203.0.113.7, , ", "203.0.113.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        # ports, brackets, quotes, scopes, and IPv4 in IPv6's clothes
        ("10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.1", "[2001:DB8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", '"[2001:db8::1]"', "2001:db8::1"),
        ("10.0.0.1", "2001:db8:0:0::1", "2001:db8::1"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("fd00::1", "203.0.113.7", "203.0.113.7"),
        # peers that have no address
        (None, "203.0.113.7", "unknown"),
        ("", "203.0.113.7", "unknown"),
        ("testclient", "203.0.113.7", "testclient"),
    ],
)
def test_the_client_is_the_nearest_address_that_no_trusted_proxy_has(peer: str | None, forwarded_for: str | None, client: str) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == client


@given(st.text(max_size=60), st.lists(st.ip_addresses(network="10.0.0.0/8").map(str), max_size=3))
def test_whatever_a_caller_writes_the_address_that_the_nearest_proxy_saw_stands(written: str, proxies: list[str]) -> None:
    forwarded_for = ",".join([written, "203.0.113.7", *proxies])

    assert client_address("10.0.0.1", forwarded_for, PROXIES) == "203.0.113.7"


def test_a_very_long_list_is_walked_for_its_nearest_hops_alone() -> None:
    assert client_address("10.0.0.1", ",".join(["203.0.113.7"] + ["10.0.0.2"] * 100_000), PROXIES) == "10.0.0.2"
