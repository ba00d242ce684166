"""Answers by key: in process, or in Redis with the in-process cache behind it. Values are opaque, keys are keyed hashes."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from app.services.redis_link import RedisLink, RedisLostError
from app.utils.logging import get_logger
from app.utils.monitoring import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.services.redis_place import RedisPlace

_ENTRY_BYTES = 256  # what CPython adds to a key and a value: two bytes objects, a tuple, a float and a slot of the table
_MAX_SHARE = 8
_MAX_REDIS_VALUE_BYTES = 1 << 20  # 10 ms on a gigabit line; far larger ones would run into the time-out and look like a fault
_SEAL_BYTES = 32

_log = get_logger("cache")


_Entry = tuple[bytes, float]  # a value, and until when it serves


class MemoryCache:
    """Keeps the entries used last, within `max_bytes` (overhead included), for one event loop.

    A value larger than an eighth of `max_bytes` is not stored, so that one answer cannot push out all others.
    """

    status = "ok"

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """What the entries take, expired ones included until they are met."""
        return self._bytes

    async def get(self, key: bytes) -> bytes | None:
        """Return what is stored and not yet expired."""
        return self.look(key)

    def look(self, key: bytes) -> bytes | None:
        """Do what `get` does, for who does not wait."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires = entry
        if expires <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return value

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Store `value` for `ttl_s` seconds in place of what was there; a value too large, or no time at all, only takes out what was there."""
        if key in self._entries:
            self._drop(key)
        if ttl_s <= 0 or len(value) > self._max_bytes // _MAX_SHARE:
            return
        self._entries[key] = value, self._clock() + ttl_s
        self._bytes += _size(key, value)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    async def ping(self) -> bool:
        """Say that the cache works, as RedisCache does."""
        return True

    async def aclose(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry[0])


class RedisCache:
    """Shares answers between replicas; while Redis fails, `fallback` serves this process alone.

    No call takes longer than `timeout_s`, and while Redis is left alone (see RedisLink) none waits at all. A value over 1 MiB is not shared. Each value is
    sealed with `secret`, which replicas share: one that another wrote there, or moved from another key, is counted and taken for a miss. Raises ValueError
    for a URL that is not Redis's.
    """

    def __init__(
        self,
        url: str,
        fallback: MemoryCache,
        *,
        secret: bytes = b"",
        timeout_s: float = 0.25,
        prefix: str = "sluice:c:",
        clock: Callable[[], float] = time.monotonic,
        place: RedisPlace | None = None,
    ) -> None:
        self._link = RedisLink(url, part="cache", timeout_s=timeout_s, clock=clock, place=place)
        self._fallback = fallback
        self._secret = secret
        self._prefix = prefix

    @property
    def status(self) -> str:
        """`ok`, or `degraded` while the fallback serves."""
        return self._link.status

    async def get(self, key: bytes) -> bytes | None:
        """Return what is stored and not yet expired."""
        name = self._prefix + key.hex()
        try:
            value = await self._link.run(lambda: self._link.client.get(name))
        except RedisLostError:
            return await self._fallback.get(key)
        return self._unsealed(key, value) if isinstance(value, bytes) else None

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Store `value` for `ttl_s` seconds."""
        if ttl_s <= 0 or len(value) > _MAX_REDIS_VALUE_BYTES:
            return
        name = self._prefix + key.hex()
        sealed = self._seal(key, value) + value
        try:
            await self._link.run(lambda: self._link.client.set(name, sealed, px=max(1, round(ttl_s * 1000))))
        except RedisLostError:
            await self._fallback.put(key, value, ttl_s)

    async def ping(self) -> bool:
        """Say whether Redis answers; False at once while it is left alone."""
        return await self._link.ping()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._link.aclose()

    def _seal(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(self._secret, len(key).to_bytes(8, "big") + key + value, "sha256")

    def _unsealed(self, key: bytes, sealed: bytes) -> bytes | None:
        value = sealed[_SEAL_BYTES:]
        if hmac.compare_digest(sealed[:_SEAL_BYTES], self._seal(key, value)):
            return value
        FAULTS.labels("cache_seal").inc()
        _log.warning("cache_value_not_ours")
        return None


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + _ENTRY_BYTES
