"""The composition: configuration becomes the parts that live as long as the process; main.py puts the routes around them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from app.access import Access
from app.assessing import second_opinion_of
from app.config.addresses import is_local, parse_base_url
from app.config.faults import ConfigError
from app.dependencies import Guard
from app.domain import Call, Label, LaneName
from app.gateway.admission import Admission
from app.gateway.chat import ChatGateway
from app.gateway.labelling import Labeller
from app.gateway.room import Room, RoomLane
from app.gateway.scans import Scans
from app.gateway.search import SearchGateway
from app.http_io import RequestIds
from app.kept import Kept, keep
from app.limits import RateLimit
from app.loading import load
from app.providers import translate
from app.providers.demo import DemoLane
from app.providers.egress import Egress
from app.providers.relay import RelayLane, post_json
from app.providers.residence import Residence
from app.providers.wire import Wire
from app.reload import Policy, Reloader, announce, make_policy
from app.routers.chat import PATH
from app.services.cache import MemoryCache
from app.services.embeddings import AbsentEmbedder, RemoteEmbedder, WordLlamaEmbedder
from app.services.places import check_places
from app.services.vector_store import ChromaStore
from app.shortcut import Shortcut
from app.utils import logging
from app.utils.monitoring import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.config.assembled import Assembled
    from app.config.settings import Settings
    from app.config.specs import GatewayFile
    from app.domain import Deployment, EgressPolicy
    from app.gateway.ports import Embedder
    from app.loading import Loaded
    from app.services.rests import RedisRests

_MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a whole answer is parsed in one go: more would stop the event loop for over a second

_REDIS_LOOK_S = 5.0

_SCAN_THREADS = 2  # a scan holds the interpreter for parts of its time: more would only take turns

log = logging.get_logger("parts")


@dataclass(frozen=True, slots=True)
class Parts:
    """What lives as long as the process."""

    settings: Settings
    assembled: Assembled
    wire: Wire
    chat: ChatGateway
    search: SearchGateway
    store: ChromaStore
    kept: Kept
    guard: Guard
    admission: Admission
    shortcut: Shortcut
    scan_pool: ThreadPoolExecutor
    reloader: Reloader


def compose(settings: Settings, env: Mapping[str, str], *, loaded: Loaded | None = None, read: Callable[[], Loaded] | None = None) -> Parts:
    """Build every part and wire them; nothing is connected yet. Raises ConfigError.

    `loaded` is the configuration where a supervisor has read it; `read` reads it anew for a reload (from the same `env`, unless it says otherwise).
    """
    read = read or partial(load, settings.gateway_config, {**env, **settings.variables()})
    loaded = loaded or read()
    file, assembled = loaded.file, loaded.assembled
    policy = make_policy(settings, loaded, _store_clearance(settings, assembled))
    wire = Wire(Egress(assembled.egress), max_body_bytes=_MAX_ANSWER_BYTES)
    scan_pool = ThreadPoolExecutor(_SCAN_THREADS, thread_name_prefix="scan")
    announce(policy)
    if policy.assessor.counting is not None:
        log.warning("tokens_estimated", why=policy.assessor.counting)
    kept = keep(settings, assembled.egress)
    residence = Residence(wire)
    room = Room(places=settings.room_queue, wait_s=settings.room_wait_s)
    gateway = ChatGateway(
        table=assembled.table,
        assessor=policy.assessor,
        lanes={
            LaneName.RELAY: RoomLane(RelayLane(wire, residence), room),
            LaneName.TRANSLATE: RoomLane(translate.TranslateLane(wire, residence), room),
            LaneName.DEMO: DemoLane(),
        },
        cache=kept.cache,
        secret=kept.secret,
        limits=policy.limits,
        scans=Scans(scan_pool, _SCAN_THREADS),
        conversations=kept.conversations,
        second_opinion=second_opinion_of(file, assembled.second_opinion, wire, kept.secret, settings.connect_timeout_s),
    )
    if kept.rests is not None:
        _share_rests(kept.rests, gateway)
    embedder = _embedder(file, assembled, wire, residence, settings)
    store = _store(settings, assembled, embedder, policy.store_clearance)
    guard = Guard(Access(settings.api_keys), RateLimit(settings.rate_limit_per_minute, kept.quota), settings.trusted_proxies)
    admission = Admission(settings.max_in_flight, places=settings.max_queued, wait_s=settings.queue_wait_s, max_bytes=settings.max_body_bytes)
    return Parts(
        settings=settings,
        assembled=assembled,
        wire=wire,
        chat=gateway,
        search=SearchGateway(store, embedder, Labeller(gateway).labels),
        store=store,
        kept=kept,
        guard=guard,
        admission=admission,
        shortcut=Shortcut(gateway, guard.limit, admission, look=_looker(kept, guard.limit), ids=RequestIds(), path=PATH),
        scan_pool=scan_pool,
        reloader=Reloader(policy, chat=gateway, wire=wire, store=store, read=read, make=lambda new: _remake(settings, assembled.egress, new)),
    )


def _remake(settings: Settings, started: EgressPolicy, loaded: Loaded) -> Policy:
    check_places(settings, started, loaded.assembled.egress)
    return make_policy(settings, loaded, _store_clearance(settings, loaded.assembled))


def _looker(kept: Kept, limit: RateLimit) -> Callable[[bytes], bytes | None] | None:
    """Return what looks an answer up without waiting, where nothing that replicas share has to be asked first."""
    return kept.cache.look if isinstance(kept.cache, MemoryCache) and not limit.shared else None


async def close(parts: Parts) -> None:
    """Close every part; one that fails keeps none of the others open."""
    closing = [parts.store.close(), parts.wire.aclose(), *(store.aclose() for store in parts.kept.stores)]
    for outcome in await asyncio.gather(*closing, return_exceptions=True):
        if isinstance(outcome, BaseException):
            FAULTS.labels("close").inc()
            log.fault("close_failed", outcome)
    parts.scan_pool.shutdown(wait=False, cancel_futures=True)


def _share_rests(rests: RedisRests, gateway: ChatGateway) -> None:
    """Let replicas know which deployments rest."""

    def learn(name: str, seconds: float) -> None:
        deployment = gateway.table.deployments.get(name)
        if deployment is not None:
            gateway.vitals.learn(deployment, seconds)

    rests.names = lambda: tuple(gateway.table.deployments)
    rests.learn = learn
    gateway.vitals.rests = rests


async def look_for_redis(parts: Parts) -> None:
    """Share with the other replicas which deployments rest, and ask a Redis that was lost whether it is back, also while nobody else asks."""
    if parts.kept.rests is None:
        await _look(parts)
    else:
        await asyncio.gather(_look(parts), parts.kept.rests.run())


async def _look(parts: Parts) -> None:
    while True:
        await asyncio.sleep(_REDIS_LOOK_S)
        for store in parts.kept.stores:
            if store.status != "ok":
                await store.ping()


def _embedder(file: GatewayFile, assembled: Assembled, wire: Wire, residence: Residence, settings: Settings) -> Embedder:
    named = file.search.embedder
    if named is None:
        return WordLlamaEmbedder()
    if assembled.embedder is None:
        return AbsentEmbedder(named.name, assembled.table.inactive.get(named.name, "it is not configured"))

    async def send(label: Label, deployment: Deployment, path: str, body: bytes) -> bytes:
        connect_s, timeout_s = settings.connect_timeout_s, settings.llm_timeout
        await residence.check(Call(deployment, label, {}, stream=False, connect_s=connect_s, timeout_s=timeout_s))
        return await post_json(wire, label, deployment, path, body, connect_s=connect_s, timeout_s=timeout_s)

    return RemoteEmbedder(assembled.embedder, send, settings.llm_timeout)


def _store_clearance(settings: Settings, assembled: Assembled) -> Label:
    """Return what the collection may hold: on a server elsewhere than on this machine or a private network nothing confidential. Raises ConfigError."""
    if settings.chroma_url is None:
        return assembled.search_clearance
    try:
        local = is_local(parse_base_url(settings.chroma_url).address, assembled.egress.local_networks)
    except ValueError as exc:
        raise ConfigError(f"CHROMA_URL cannot be used: {exc}") from None
    return min(assembled.search_clearance, Label.CONFIDENTIAL if local else Label.INTERNAL)


def _store(settings: Settings, assembled: Assembled, embedder: Embedder, clearance: Label) -> ChromaStore:
    if settings.chroma_url is None:
        return ChromaStore.embedded(settings.chroma_path, embedder=embedder.name, clearance=clearance)
    try:
        return ChromaStore.server(settings.chroma_url, embedder=embedder.name, clearance=clearance, local_networks=assembled.egress.local_networks)
    except ValueError as exc:
        raise ConfigError(f"CHROMA_URL cannot be used: {exc}") from None
