"""Which deployments rest, shared between replicas through Redis: a deployment's name and a time for each, and nothing else.

Nobody waits for Redis: what begins to rest here is told in the background, and what others found is looked up once a second into each process's own memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

from app.services.redis_link import RedisLink, RedisLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.services.redis_place import RedisPlace

_KEEP_S: Final = 3600  # longer than any rest: what nobody renews is forgotten
_MAX_VALUE_BYTES: Final = 64


def _ignore(_: str, __: float) -> None:
    """Learn nothing."""


class RedisRests:
    """Tells and learns rests. `learn(name, seconds)` hears of those that other processes told; `names` are the deployments it wants to hear of.

    The clocks of replicas have to agree to within a second or so. Raises ValueError for a URL that is not Redis's.
    """

    def __init__(
        self,
        url: str,
        *,
        place: RedisPlace | None = None,
        timeout_s: float = 0.25,
        every_s: float = 1.0,
        key: str = "sluice:rests",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.learn: Callable[[str, float], None] = _ignore
        self.names: Callable[[], Sequence[str]] = tuple
        self._link = RedisLink(url, part="rests", timeout_s=timeout_s, place=place)
        self._every_s = every_s
        self._key = key
        self._clock = clock
        self._own = os.urandom(6).hex()
        self._to_tell: dict[str, float] = {}  # until when, Unix time
        self._wake = asyncio.Event()

    @property
    def status(self) -> str:
        """`ok`, or `degraded` while each process knows only what it found itself."""
        return self._link.status

    def tell(self, name: str, seconds: float) -> None:
        """Say that a deployment rests for so long from now on; it is written soon."""
        self._to_tell[name] = self._clock() + seconds
        self._wake.set()

    async def run(self) -> None:
        """Tell and learn until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._wake.wait()
            self._wake.clear()
            await self.exchange()

    async def exchange(self) -> None:
        """Tell what is new here and learn what others told, once. Never raises: without Redis nothing is told or learnt."""
        names = [*self.names()]
        to_tell, self._to_tell = self._to_tell, {}
        if not names and not to_tell:
            return
        try:
            found = await self._link.run(lambda: self._exchange(to_tell, names))
        except RedisLostError:
            return
        now = self._clock()
        for name, value in zip(names, found, strict=True):
            until = self._until(value)
            if until > now:
                self.learn(name, until - now)

    async def ping(self) -> bool:
        """Say whether Redis answers; False at once while it is left alone."""
        return await self._link.ping()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._link.aclose()

    async def _exchange(self, to_tell: dict[str, float], names: Sequence[str]) -> Sequence[bytes | None]:
        async with self._link.client.pipeline(transaction=False) as pipe:
            if to_tell:
                pipe.hset(self._key, mapping={name: f"{until:.3f} {self._own}" for name, until in to_tell.items()})
                pipe.expire(self._key, _KEEP_S)
            if names:
                pipe.hmget(self._key, list(names))
            answers = await pipe.execute()
        return answers[-1] if names else ()

    def _until(self, value: bytes | None) -> float:
        """Return until when a deployment rests that another process told of; 0 where none did, or where it is no time."""
        if value is None or len(value) > _MAX_VALUE_BYTES:
            return 0.0
        until, _, teller = value.decode("ascii", "replace").partition(" ")
        if teller == self._own:
            return 0.0
        try:
            return float(until)
        except ValueError:
            return 0.0
