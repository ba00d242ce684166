"""A request's place in the cache: look up, join an identical call in flight, keep the answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import jiter
import orjson

from app.domain import CacheState
from app.gateway.flights import Landed

if TYPE_CHECKING:
    from app.gateway.cache_control import CacheControl
    from app.gateway.flights import Flights, Lead
    from app.gateway.ports import Cache

MAX_STORED_BYTES = 4 * 1024 * 1024
_BYPASS, _HIT, _MISS, _JOINED = CacheState.BYPASS, CacheState.HIT, CacheState.MISS, CacheState.JOINED
_YEAR_9999 = 253_370_764_800


@dataclass(slots=True)
class StoredAnswer:
    """An answer in the cache: who gave it, when (seconds since the epoch), what it could not take, and its bytes as they went to the caller.

    Nobody writes to one; to make a frozen one takes three times as long.
    """

    deployment: Final[str]
    stored_at: Final[float]
    body: Final[bytes] = field(repr=False)
    dropped: Final[tuple[str, ...]] = ()

    def dump(self) -> bytes:
        """Return one JSON line of what is known of the answer, then its bytes."""
        return b"%b\n%b" % (orjson.dumps({"deployment": self.deployment, "stored_at": self.stored_at, "dropped": self.dropped}), self.body)

    @classmethod
    def load(cls, raw: bytes) -> StoredAnswer | None:
        """Return what `dump` wrote, or None for anything else."""
        known = read_head(raw)
        return None if known is None else cls(known.deployment, known.stored_at, raw[known.body_at :], known.dropped)

    def age_s(self) -> float:
        """Return the seconds since the answer was stored."""
        return time.time() - self.stored_at


class Head(NamedTuple):
    """What is known of a stored answer, and where in what `dump` wrote its bytes begin."""

    deployment: str
    stored_at: float
    dropped: tuple[str, ...]
    body_at: int


_MAX_READ = 1024  # lines, of names and a time; 1 MB in all
_MAX_LINE_BYTES = 512
_read: dict[bytes, Head] = {}  # by their lines: an answer that was asked for once often is again


def read_head(raw: bytes) -> Head | None:
    """Return what is known of the answer that `dump` wrote, or None for anything else."""
    line = raw[: raw.find(b"\n") + 1]
    return _read.get(line) or _read_line(line)


def _read_line(line: bytes) -> Head | None:
    """Return what a line says; None where its time is none that `datetime` can write, or its names may not stand in a header."""
    try:
        known = jiter.from_json(line)
        head = Head(str(known["deployment"]), float(known["stored_at"]), tuple(str(name) for name in known["dropped"]), len(line))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    if not 0 <= head.stored_at < _YEAR_9999 or not head.deployment.isprintable() or not all(name.isprintable() for name in head.dropped):
        return None
    if len(line) <= _MAX_LINE_BYTES:
        if len(_read) >= _MAX_READ:
            _read.clear()
        _read[line] = head
    return head


class Place:
    """Where one request's answer is looked for and kept. Without a key it is nowhere: the request may not be cached."""

    __slots__ = ("_cache", "_control", "_flights", "_key", "_lead", "_ttl_s", "state")

    def __init__(self, cache: Cache | None, flights: Flights[StoredAnswer], key: bytes | None, control: CacheControl, ttl_s: float) -> None:
        self.state = _BYPASS
        self._cache = cache if key is not None else None
        self._flights = flights
        self._key = key or b""
        self._control = control
        self._ttl_s = ttl_s
        self._lead: Lead[StoredAnswer] | None = None

    @property
    def keeps(self) -> bool:
        """Whether an answer would be kept."""
        return self._cache is not None and not self._control.no_store

    @property
    def may_be_given(self) -> bool:
        """Whether an answer would be kept, or given to those that joined."""
        return self._cache is not None

    async def find(self, join_until: float | None) -> StoredAnswer | None:
        """Return a stored answer, or the one that an identical call in flight brings before `join_until` (time.monotonic; None: none is joined)."""
        if self._cache is None or self._control.no_cache:
            return None
        raw = await self._cache.get(self._key)
        stored = None if raw is None else StoredAnswer.load(raw)
        if stored is not None and stored.age_s() <= self._control.max_age_s:
            self.state = _HIT
            return stored
        self.state = _MISS
        if join_until is None:
            return None
        self._lead = self._flights.lead(self._key)
        return await self._join(join_until) if self._lead is None else None

    async def _join(self, join_until: float) -> StoredAnswer | None:
        seat = await self._flights.board(self._key, wait_s=max(0.0, join_until - time.monotonic()))
        if isinstance(seat, Landed):
            self.state = _JOINED
            return seat.value
        self._lead = seat
        return None

    def land(self, answer: StoredAnswer) -> None:
        """Give the answer to those that joined."""
        lead, self._lead = self._lead, None
        if lead is not None:
            lead.land(answer)

    def abandon(self) -> None:
        """Say that no answer will come. Does nothing after `land`."""
        if self._lead is not None:
            self._lead.abandon()

    async def keep(self, answer: StoredAnswer) -> None:
        """Store the answer."""
        if self._cache is not None and not self._control.no_store and len(answer.body) <= MAX_STORED_BYTES:
            await self._cache.put(self._key, answer.dump(), self._ttl_s)
