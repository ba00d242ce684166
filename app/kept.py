"""What the gateway keeps, in process and in Redis where there is one: cached answers, counts of limits, marks of conversations, and which deployments rest."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.config.faults import ConfigError
from app.domain import Label
from app.gateway.taint import Conversations
from app.services.cache import MemoryCache, RedisCache
from app.services.quota import RedisQuota
from app.services.redis_place import place_of
from app.services.rests import RedisRests
from app.services.taint import NOT_CLEARED, MemoryMarks, RedisMarks
from app.services.taint_file import WorkersMarks
from app.utils import logging, net
from app.utils.monitoring import shared_folder

if TYPE_CHECKING:
    from app.config.settings import Settings
    from app.domain import EgressPolicy
    from app.services.redis_place import RedisPlace

log = logging.get_logger("kept")


@dataclass(frozen=True, slots=True)
class Kept:
    """The stores, and the secret that everything in them is keyed with."""

    secret: bytes = field(repr=False)
    cache: MemoryCache | RedisCache | None
    quota: RedisQuota | None
    conversations: Conversations
    rests: RedisRests | None = None

    @property
    def stores(self) -> list[MemoryCache | RedisCache | RedisQuota | MemoryMarks | RedisMarks | WorkersMarks | RedisRests]:
        """Every store, to be looked after and closed."""
        marks = self.conversations.marks
        found = (self.cache, self.quota, marks if isinstance(marks, MemoryMarks | RedisMarks | WorkersMarks) else None, self.rests)
        return [store for store in found if store is not None]


def keep(settings: Settings, egress: EgressPolicy) -> Kept:
    """Make the stores; nothing is connected yet. Raises ConfigError.

    Without GATEWAY_SECRET, and so without Redis, nothing that is keyed outlives the process: a secret made at its start does.
    """
    secret = settings.gateway_secret.get_secret_value().encode() if settings.gateway_secret else os.urandom(32)
    if settings.redis_url is None:
        cache = MemoryCache(settings.cache_max_bytes) if settings.cache_ttl else None
        return Kept(secret, cache, None, _conversations(_own_marks(settings), secret))
    try:
        place = place_of(settings.redis_url, egress.local_networks, egress.trusted_hosts)
        return _shared(settings, settings.redis_url, place, secret)
    except ValueError:
        raise ConfigError("REDIS_URL must look like redis://127.0.0.1:6379/0") from None


def _shared(settings: Settings, url: str, place: RedisPlace, secret: bytes) -> Kept:
    if place.address is not None:
        net.announce("redis", [place.address.host])
    cache = quota = None
    if settings.cache_ttl:
        cache = RedisCache(url, MemoryCache(settings.cache_max_bytes), secret=_key(secret, b"cache values"), place=place)
    if settings.rate_limit_per_minute:
        quota = RedisQuota(url, settings.rate_limit_per_minute, secret=_key(secret, b"limits"), place=place)
    return Kept(secret, cache, quota, _conversations(_marks(settings, url, place, secret), secret), RedisRests(url, place=place))


def _marks(settings: Settings, url: str, place: RedisPlace, secret: bytes) -> MemoryMarks | RedisMarks:
    """Return where marks are kept: they are of confidential messages, so a Redis that is not cleared for these gets none."""
    if place.clearance < Label.CONFIDENTIAL:
        log.warning("marks_not_shared", reason=NOT_CLEARED)
        return MemoryMarks(settings.taint_ttl, status=NOT_CLEARED)
    return RedisMarks(url, MemoryMarks(settings.taint_ttl), secret=_key(secret, b"tenants"), place=place)


def _own_marks(settings: Settings) -> MemoryMarks | WorkersMarks:
    """Return where marks are kept without Redis: of one of several workers in their shared folder."""
    memory = MemoryMarks(settings.taint_ttl)
    folder = shared_folder()
    return memory if folder is None else WorkersMarks(folder / "marks", memory)


def _conversations(marks: MemoryMarks | RedisMarks | WorkersMarks, secret: bytes) -> Conversations:
    return Conversations(marks, _key(secret, b"conversations"))


def _key(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, purpose, "sha256")
