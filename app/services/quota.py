"""A rate limit whose counts replicas share through Redis."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from app.domain import Window as Window  # noqa: PLC0414 - who counts hits finds the figures here
from app.services.redis_link import RedisLink, RedisLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.services.redis_place import RedisPlace


class RedisQuota:
    """At most `per_minute` hits of a key in any sixty seconds, over all replicas. Their clocks have to agree to within a second or so.

    `hit` answers None while Redis fails (see RedisLink), at once or within `timeout_s`: the caller then counts in process. Redis sees a hash of each
    key, keyed by `secret`, which replicas share. Raises ValueError for a URL that is not Redis's.
    """

    def __init__(
        self,
        url: str,
        per_minute: int,
        *,
        secret: bytes = b"",
        timeout_s: float = 0.25,
        prefix: str = "sluice:l",
        clock: Callable[[], float] = time.monotonic,
        place: RedisPlace | None = None,
    ) -> None:
        self._link = RedisLink(url, part="limits", timeout_s=timeout_s, clock=clock, place=place)
        # The address is the pool's: the URI only names the dialect here.
        storage = RedisStorage("async+redis://", implementation="redispy", key_prefix=prefix, connection_pool=self._link.client.connection_pool)  # type: ignore[arg-type] # the options' type forgets the pool that their documentation names
        self._windows = MovingWindowRateLimiter(storage)
        self._item = RateLimitItemPerMinute(per_minute)
        self._hash_key = hashlib.sha256(secret).digest()

    @property
    def status(self) -> str:
        """`ok`, or `degraded` while each process counts for itself."""
        return self._link.status

    async def hit(self, key: str) -> Window | None:
        """Count one hit of `key`, unless it is over the limit; None when Redis cannot say. Takes two round trips."""
        name = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=self._hash_key, digest_size=16).hexdigest()
        try:
            return await self._link.run(lambda: self._hit(name))
        except RedisLostError:
            return None

    async def ping(self) -> bool:
        """Say whether Redis answers; False at once while it is left alone."""
        return await self._link.ping()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._link.aclose()

    async def _hit(self, name: str) -> Window:
        allowed = await self._windows.hit(self._item, name)
        reset_time, remaining = await self._windows.get_window_stats(self._item, name)
        period_s = self._item.get_expiry()
        reset_s = min(max(0.0, reset_time - time.time()), period_s)  # the hits carry the clocks of the replicas that made them
        return Window(allowed, self._item.amount, max(0, remaining) if allowed else 0, reset_s)
