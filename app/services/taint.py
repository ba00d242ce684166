"""Marks that tenants' conversations leave behind: in process, and shared through Redis where there is one. A mark is a keyed hash; no text comes here."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from app.services.redis_link import RedisLink, RedisLostError
from app.utils.monitoring import DEGRADED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.services.redis_place import RedisPlace

PER_TENANT = 50_000  # two or three a turn
IN_ALL = 100_000  # about 200 bytes each
_TENANTS = 10_000
NOT_CLEARED = "in process: REDIS_URL is not cleared for confidential"


class MemoryMarks:
    """Marks of one process: the least recently used go first, of a tenant and, over all, of the tenant that was quiet for longest."""

    def __init__(self, ttl_s: float, *, per_tenant: int = PER_TENANT, in_all: int = IN_ALL, status: str = "ok", clock: Callable[[], float] = time.time) -> None:
        self.ttl_s = ttl_s
        self.per_tenant = per_tenant
        self.status = status
        self._in_all = in_all
        self._clock = clock
        self._tenants: OrderedDict[str, OrderedDict[bytes, float]] = OrderedDict()
        self._count = 0
        DEGRADED.labels("taint").set(status != "ok")

    def __len__(self) -> int:
        return self._count

    def may_hold(self, tenant: str) -> bool:
        """Say whether the tenant left anything behind here."""
        return tenant in self._tenants

    async def known(self, tenant: str, marks: Sequence[bytes]) -> frozenset[bytes]:
        """Return those of `marks` that are kept and have not expired."""
        return self.find(tenant, marks)

    async def add(self, tenant: str, marks: Sequence[bytes]) -> None:
        """Keep these marks, anew where they are kept already."""
        self.keep(tenant, marks)

    async def ping(self) -> bool:
        """Say that the marks can be asked for, as RedisMarks does."""
        return True

    async def aclose(self) -> None:
        """Forget everything."""
        self._tenants.clear()
        self._count = 0

    def find(self, tenant: str, marks: Sequence[bytes]) -> frozenset[bytes]:
        """Return what `known` does."""
        kept = self._tenants.get(tenant)
        if kept is None:
            return frozenset()
        now = self._clock()
        return frozenset(mark for mark in marks if kept.get(mark, 0.0) > now)

    def keep(self, tenant: str, marks: Sequence[bytes]) -> None:
        """Do what `add` does."""
        if not marks:
            return
        kept = self._tenants.setdefault(tenant, OrderedDict())
        self._tenants.move_to_end(tenant)
        expires = self._clock() + self.ttl_s
        before = len(kept)
        for mark in marks:
            kept[mark] = expires
            kept.move_to_end(mark)
        while len(kept) > self.per_tenant or next(iter(kept.values())) <= expires - self.ttl_s:
            kept.popitem(last=False)
        self._count += len(kept) - before
        while self._count > self._in_all or len(self._tenants) > _TENANTS:
            self._drop_one()

    def all_of(self, tenant: str) -> list[bytes]:
        """Return every mark of a tenant."""
        return list(self._tenants.get(tenant, ()))

    def tenants(self) -> list[str]:
        """Return whose marks are kept."""
        return list(self._tenants)

    def _drop_one(self) -> None:
        tenant, kept = next(iter(self._tenants.items()))
        kept.popitem(last=False)
        self._count -= 1
        if not kept:
            del self._tenants[tenant]


class RedisMarks:
    """Shares marks between replicas: one sorted set a tenant, of marks by when they expire. Each process keeps its own in `memory` too.

    So a Redis that fails costs what other replicas know and nothing else; once it is back, it is given what this process kept meanwhile. A call takes one
    round trip, at most `timeout_s`, and none while Redis is left alone (see RedisLink). Tenants are hashed with `secret`. Needs Redis 6.2. Raises ValueError
    for a URL that is not Redis's.
    """

    def __init__(
        self,
        url: str,
        memory: MemoryMarks,
        *,
        secret: bytes,
        place: RedisPlace | None = None,
        timeout_s: float = 0.25,
        prefix: str = "sluice:t:",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._link = RedisLink(url, part="taint", timeout_s=timeout_s, clock=clock, place=place)
        self._memory = memory
        self._secret = secret
        self._prefix = prefix
        self._now = now
        self._behind: set[str] = set()  # tenants whose marks Redis may lack

    @property
    def status(self) -> str:
        """`ok`, or `degraded` while this process's own memory serves."""
        return self._link.status

    def may_hold(self, tenant: str) -> bool:  # noqa: ARG002 -- the port's signature
        """Say that another replica may have kept something."""
        return True

    async def known(self, tenant: str, marks: Sequence[bytes]) -> frozenset[bytes]:
        """Return those of `marks` that this process or Redis keeps."""
        own = self._memory.find(tenant, marks)
        asked = [mark for mark in marks if mark not in own]
        if not asked:
            return own
        try:
            scores = await self._link.run(lambda: self._look_up(tenant, asked))
        except RedisLostError:
            self._behind.update(self._memory.tenants())
            return own
        now = self._now()
        return own | {mark for mark, score in zip(asked, scores, strict=True) if score is not None and score > now}

    async def add(self, tenant: str, marks: Sequence[bytes]) -> None:
        """Keep these marks here and in Redis."""
        self._memory.keep(tenant, marks)
        try:
            await self._link.run(lambda: self._write(tenant, marks))
        except RedisLostError:
            self._behind.update(self._memory.tenants())

    async def ping(self) -> bool:
        """Say whether Redis answers; False at once while it is left alone."""
        return await self._link.ping()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._link.aclose()

    async def _look_up(self, tenant: str, marks: list[bytes]) -> list[float | None]:
        if tenant in self._behind:
            await self._write(tenant, ())
        scores: list[float | None] = await self._link.client.zmscore(self._name(tenant), marks)  # type: ignore[arg-type] # the library's annotation has str alone
        return scores

    async def _write(self, tenant: str, marks: Sequence[bytes]) -> None:
        whole = marks
        if tenant in self._behind:
            self._behind.discard(tenant)  # before the round trip: what is lost meanwhile marks the tenant anew
            whole = self._memory.all_of(tenant)
        if not whole:
            return
        name, now, ttl_s = self._name(tenant), self._now(), self._memory.ttl_s
        try:
            async with self._link.client.pipeline(transaction=False) as pipe:
                pipe.zadd(name, dict.fromkeys(whole, now + ttl_s))
                pipe.zremrangebyscore(name, "-inf", now)
                pipe.zremrangebyrank(name, 0, -self._memory.per_tenant - 1)
                pipe.pexpire(name, max(1, round(ttl_s * 1000)))
                await pipe.execute()
        except BaseException:
            self._behind.add(tenant)  # also where the caller left: it may not have arrived
            raise

    def _name(self, tenant: str) -> str:
        return self._prefix + hmac.digest(self._secret, tenant.encode("utf-8", "surrogatepass"), "sha256")[:16].hex()
