"""One Redis behind a fuse: a call is bounded in time, and after a fault Redis is left alone for a while."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from app.services.redis_place import hold_to
from app.utils.logging import get_logger
from app.utils.monitoring import DEGRADED, FAULTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.services.redis_place import RedisPlace

T = TypeVar("T")

PAUSE_S = 1.0
MAX_PAUSE_S = 30.0
_MAX_CONNECTIONS = 32  # per part and process: a command takes about 0.1 ms, and callers beyond these queue within their own time

_log = get_logger("redis")


class RedisLostError(Exception):
    """Redis failed, took too long, or is left alone for now. The fault is counted already."""


class RedisLink:
    """A Redis client for one part of the gateway (`part` labels metrics and log).

    Any fault blows the fuse: `run` raises at once for a second, then a single call tries again while the others still go without; each try that fails
    doubles the pause, up to half a minute. Only the address in `url` is ever connected to, and with `place` only where it admits. Raises ValueError for a URL
    that is not Redis's.
    """

    def __init__(self, url: str, *, part: str, timeout_s: float, clock: Callable[[], float] = time.monotonic, place: RedisPlace | None = None) -> None:
        self.client = Redis.from_pool(_pool(url, timeout_s, place))
        self._part = part
        self._timeout_s = timeout_s
        self._clock = clock
        self._pause_s = 0.0  # 0 while Redis answers
        self._shut_until = 0.0
        self._trying = False
        DEGRADED.labels(part).set(0)

    @property
    def status(self) -> str:
        """`ok`, or `degraded` while the fuse is blown."""
        return "degraded" if self._pause_s else "ok"

    async def run(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what `ask` returns, within the time-out. Raises RedisLostError, and nothing else but a cancellation."""
        trial = self._admit()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await ask()
        except Exception as exc:  # a foreign client's faults have no common class; each is counted
            self._lost(exc, trial=trial)
            raise RedisLostError from exc
        finally:
            if trial:
                self._trying = False
        if trial:
            self._found()
        return answer

    async def ping(self) -> bool:
        """Say whether Redis answers; False at once while the fuse is blown."""
        try:
            await self.run(self.client.ping)
        except RedisLostError:
            return False
        return True

    async def aclose(self) -> None:
        """Close every connection, within the time-out."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self.client.aclose()
        except (RedisError, OSError, TimeoutError) as exc:
            FAULTS.labels(self._part).inc()
            _log.warning("redis_close_failed", part=self._part, error=type(exc).__name__)

    def _admit(self) -> bool:
        """Return whether this call is the one that tries again. Raises RedisLostError where the call has to go without."""
        if not self._pause_s:
            return False
        if self._trying or self._clock() < self._shut_until:
            raise RedisLostError
        self._trying = True
        return True

    def _lost(self, exc: Exception, *, trial: bool) -> None:
        FAULTS.labels(self._part).inc()
        if self._pause_s and not trial:
            return  # it was under way when another call blew the fuse
        self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S) if trial else PAUSE_S
        self._shut_until = self._clock() + self._pause_s
        DEGRADED.labels(self._part).set(1)
        _log.warning("redis_lost", part=self._part, error=type(exc).__name__, next_try_s=self._pause_s)

    def _found(self) -> None:
        self._pause_s = 0.0
        DEGRADED.labels(self._part).set(0)
        _log.info("redis_found", part=self._part)


def _pool(url: str, timeout_s: float, place: RedisPlace | None) -> BlockingConnectionPool:
    """Return a pool that tries nothing twice and lets no server send it elsewhere.

    redis-py by default retries ten times with growing pauses, and follows a server's notice of another address. RESP2 needs no greeting on connecting. The
    time-out around each call is `run`'s alone: redis-py's own, for a command and for a free connection, end at the same moment, and `asyncio.wait_for`,
    which it uses, loses a cancellation on Python 3.11, so that a call took twice the time.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_MAX_CONNECTIONS,
        timeout=None,
        socket_timeout=None,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    if place is not None:
        hold_to(pool, place)
    return pool
