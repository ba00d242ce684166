"""The gateway's own rate limit: slowapi's moving window, whose key is a client address or a tenant's key id.

slowapi is called directly. Its decorator and middleware do not see the routes served outside FastAPI's stack, and its Redis store blocks the event loop.
"""

from __future__ import annotations

import ipaddress
import math
import time
from array import array
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limits.storage import MovingWindowSupport, Storage
from slowapi import Limiter
from slowapi.util import get_remote_address

from app.domain import Window
from app.errors import RateLimitedError
from app.utils.monitoring import RATE_LIMITED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from app.gateway.ports import Quota

_MINUTE_S = 60
_STRETCH = 256

MAX_KEYS = 50_000  # about 20 MB; beyond them the key that was quiet longest starts anew

_MAX_HOPS = 32
_LIMIT, _REMAINING, _RESET = b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"
_LINES = b"%b: %%d\r\n%b: %%d\r\n%b: %%b\r\n" % (_LIMIT, _REMAINING, _RESET)
_UNKNOWN = "unknown"


class RateLimit:
    """At most `per_minute` hits of a key in any sixty seconds; 0 or less switches it off.

    `hit_local` counts in this process and never waits: call it where `shared` is False. Where it is True, await `hit`, which asks the store that the
    replicas share and counts in process while that cannot say. Both return None when the limit is off. For one event loop.
    """

    def __init__(self, per_minute: int, remote: Quota | None = None, *, clock: Callable[[], float] = time.monotonic, max_keys: int = MAX_KEYS) -> None:
        self.off = per_minute <= 0
        self.shared = remote is not None and not self.off
        self._remote = remote
        self._clock = clock
        self._limit = max(1, per_minute)
        limiter = Limiter(
            key_func=get_remote_address,  # asked for, never called
            strategy="moving-window",
            storage_uri=f"{BoundedWindows.STORAGE_SCHEME[0]}://",
            storage_options={"clock": clock, "max_keys": max_keys},
        )
        store = limiter.limiter.storage
        assert isinstance(store, BoundedWindows)  # noqa: S101 -- it was asked for by its scheme
        self._store = store

    async def hit(self, key: str) -> Window | None:
        """Count one hit of `key` over all replicas, unless it is over the limit."""
        if self._remote is None or self.off:
            return self.hit_local(key)
        window = await self._remote.hit(_bucket(key))
        if window is None:
            return self.hit_local(key)
        if not window.allowed:
            RATE_LIMITED.inc()
        return window

    def hit_local(self, key: str) -> Window | None:
        """Count one hit of `key` in this process, unless it is over the limit."""
        window = self.take(key)
        if window is not None and not window.allowed:
            RATE_LIMITED.inc()
        return window

    def take(self, key: str) -> Window | None:
        """Do what `hit_local` does, but tell no metric of a refusal: whoever calls asks again."""
        if self.off:
            return None
        limit = self._limit
        allowed = self._store.take(_bucket(key) if ":" in key else key, limit, _MINUTE_S)  # all that the strategy does, through a wrapper of the library's
        oldest, count, now = self._store.last  # what `get_window_stats` would look up anew, for three times the cost of the hit
        left_s = oldest + _MINUTE_S - now
        return Window(allowed, limit, limit - count, left_s if left_s > 0 else 0.0)

    def give_back(self, key: str) -> None:
        """Undo the hit of `key` that `take` has just allowed."""
        if not self.off:
            self._store.give_back(_bucket(key))


@dataclass(slots=True)
class _Hits:
    """The times of one key's hits, ascending; those before `start` have left the window."""

    times: array[float]
    start: int = 0

    def count(self, horizon: float) -> int:
        """Return how many are later than `horizon`, and let go of the others, a stretch at a time: to move what is behind them costs as much as there is."""
        times = self.times
        if self.start == len(times) or times[self.start] > horizon:
            return len(times) - self.start
        self.start = bisect_right(times, horizon, self.start)
        if self.start >= _STRETCH and self.start * 2 >= len(times):
            del times[: self.start]
            self.start = 0
        return len(times) - self.start


class BoundedWindows(Storage, MovingWindowSupport):
    """The moving windows of one process, as a store of the `limits` library (which slowapi finds by its scheme).

    The library's own in-process store keeps every key for ever and walks all of them in a thread that it starts anew every few milliseconds. This one drops
    keys whose hits have left the window as it goes, two a hit, so that it holds those of the last minute or so, and never more than `max_keys`.
    """

    STORAGE_SCHEME = ["bounded-windows"]  # noqa: RUF012 - the library's own declaration

    def __init__(
        self,
        uri: str | None = None,
        wrap_exceptions: bool = False,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_keys: int = MAX_KEYS,
        **_: Any,
    ) -> None:
        super().__init__(uri, wrap_exceptions)
        self._clock = clock
        self._max_keys = max_keys
        self._hits: OrderedDict[str, _Hits] = OrderedDict()  # the key met longest ago first
        self.last = (0.0, 0, 0.0)  # of the last hit: the time of the oldest that counts, how many count, and when it was

    def __len__(self) -> int:
        return len(self._hits)

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """None of its own."""
        return ()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Add `amount` hits when `limit` leaves room for them."""
        return self.take(key, limit, expiry, amount)

    def take(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Do what `acquire_entry` does."""
        now = self._clock()
        horizon = now - expiry
        hits = self._hits.pop(key, None)
        if self._hits:
            self._forget(horizon)
        if hits is None:
            hits = _Hits(array("d"))
        self._hits[key] = hits
        count = hits.count(horizon)
        allowed = count + amount <= limit
        if allowed:
            if amount == 1:
                hits.times.append(now)
            else:
                hits.times.extend([now] * amount)
            count += amount
        self.last = (hits.times[hits.start] if count else now, count, now)
        return allowed

    def give_back(self, key: str) -> None:
        """Undo the newest hit of a key that `take` has just allowed."""
        self._hits[key].times.pop()

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002 - the library's signature
        """Return the time of the oldest hit that counts, and how many count."""
        now = self._clock()
        hits = self._hits.get(key)
        count = hits.count(now - expiry) if hits is not None else 0
        return (hits.times[hits.start] if hits is not None and count else now), count

    def _forget(self, horizon: float) -> None:
        """Make room for one key, and drop up to two whose hits are all older than `horizon`."""
        for _ in range(2):
            key = next(iter(self._hits), None)
            if key is None:
                return
            times = self._hits[key].times
            if len(self._hits) < self._max_keys and times and times[-1] > horizon:
                return
            del self._hits[key]

    def clear(self, key: str) -> None:
        """Forget one key."""
        self._hits.pop(key, None)

    def reset(self) -> int | None:
        """Forget every key, and return how many there were."""
        count = len(self._hits)
        self._hits.clear()
        return count

    def check(self) -> bool:
        """Say that the store works."""
        return True

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Belongs to other strategies."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """Belongs to other strategies."""
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        """Belongs to other strategies."""
        raise NotImplementedError


def refusal(window: Window) -> RateLimitedError:
    """Return the error for a hit that was not allowed, with `retry-after` in whole seconds, after which a slot is free."""
    wait_s = max(1, math.ceil(window.reset_s))
    message = f"Rate limit reached: {window.limit} requests a minute. Try again in {wait_s} s."
    return RateLimitedError(message, headers={"retry-after": str(wait_s)})


def limit_headers(window: Window) -> list[tuple[bytes, bytes]]:
    """Return OpenAI's `x-ratelimit-*-requests` headers (its guide "Rate limits"); the reset is when the oldest hit leaves the window."""
    return [(_LIMIT, b"%d" % window.limit), (_REMAINING, b"%d" % window.remaining), (_RESET, _duration(window.reset_s))]


def limit_lines(window: Window) -> bytes:
    """Return `limit_headers` as lines of an answer's head."""
    return _LINES % (window.limit, window.remaining, _duration(window.reset_s))


def client_address(peer: str | None, forwarded_for: str | None, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return who is asking: the peer, or behind trusted proxies the rightmost address of X-Forwarded-For (all its lines, joined by commas) that is not one.

    An entry that is no address ends the walk, and the nearest trusted hop stands for the caller: what stands further left anybody may have written. When every
    entry is trusted, it is the leftmost. IPv4-mapped addresses are unmapped. A peer that is no address is returned as it is, `unknown` where there is none.
    """
    if not peer:
        return _UNKNOWN
    client = _address(peer)
    if client is None:
        return peer
    hops = [hop for hop in (forwarded_for or "").split(",")[-_MAX_HOPS:] if hop.strip()]
    while hops and any(client in network for network in trusted):
        hop = _address(hops.pop())
        if hop is None:
            break
        client = hop
    return str(client)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`, quoted or not; None for anything else."""
    text = text.strip().strip('"')
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        if (rest and not rest.startswith(":")) or ":" not in host:
            return None
    elif text.count(":") == 1:
        host, port = text.split(":")
    if port and not (port.isascii() and port.isdigit()):
        return None
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _bucket(key: str) -> str:
    """Return what is counted: the /64 of an IPv6 address, for a host has all of one to choose from; any other key itself."""
    if ":" not in key:
        return key
    try:
        address = ipaddress.IPv6Address(key)
    except ValueError:
        return key
    return str(address.ipv4_mapped or f"{int(address) >> 64:x}/64")


def _duration(seconds: float) -> bytes:
    """Write a time as Go does (`time.Duration.String`), and so OpenAI: `120ms`, `1.5s`, `6m0s`; rounded up to a millisecond."""
    milliseconds = math.ceil(seconds * 1000)
    if 0 < milliseconds < 1000:
        return b"%dms" % milliseconds
    minutes, rest = divmod(milliseconds, 60_000)
    return b"%dm%gs" % (minutes, rest / 1000) if minutes else b"%gs" % (rest / 1000)
