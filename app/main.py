"""The composition root: configuration, lanes, services and routes become one ASGI application."""

from __future__ import annotations

import asyncio
import gc
import hmac
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware

from app.access import Access
from app.config.addresses import is_local, parse_base_url
from app.config.faults import ConfigError, suggestion
from app.config.settings import environment, load_settings
from app.dependencies import Guard
from app.domain import Hints, Label, LaneName, Tenant, Tier
from app.gateway.chat import IDLE, ChatGateway, ChatLimits
from app.gateway.explain import explain, to_wire
from app.gateway.search import SearchGateway
from app.limits import RateLimit
from app.middleware import BodyLimit, Gate, HotRoute, LoopbackGuard, RequestEdge
from app.models import ErrorResponse
from app.policy.assess import LABELS, Assessor
from app.policy.sensitivity.catalogue import PATTERNS
from app.policy.sensitivity.custom import Expression, Wanted, complaint
from app.policy.sensitivity.scanner import Scanner
from app.providers import translate
from app.providers.catalog import load_catalog
from app.providers.demo import DemoLane
from app.providers.deployments import load_configuration
from app.providers.egress import Egress
from app.providers.relay import RelayLane, post_json
from app.providers.wire import Wire
from app.routers import chat, documents, health, models, route, search
from app.routers.chat_openapi import CHAT_OPERATION
from app.routers.errors import add_error_handlers, refuse_method
from app.services.cache import MemoryCache, RedisCache
from app.services.embeddings import AbsentEmbedder, RemoteEmbedder, WordLlamaEmbedder
from app.services.quota import RedisQuota
from app.services.vector_store import ChromaStore
from app.utils import logging
from app.utils.monitoring import DEGRADED, FAULTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import ASGIApp

    from app.config.assembled import Assembled
    from app.config.settings import Settings
    from app.config.specs import GatewayFile
    from app.domain import Deployment
    from app.gateway.ports import Embedder

VERSION = "0.1.0"
_SUMMARY = "An OpenAI-compatible gateway that keeps confidential requests local."

_MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a whole answer is parsed in one go: more would stop the event loop for over a second

_REDIS_LOOK_S = 5.0

_SCAN_THREADS = 2  # a scan holds the interpreter for parts of its time: more would only take turns

log = logging.get_logger("main")


@dataclass(frozen=True, slots=True)
class Parts:
    """What lives as long as the process."""

    settings: Settings
    assembled: Assembled
    wire: Wire
    chat: ChatGateway
    search: SearchGateway
    store: ChromaStore
    cache: MemoryCache | RedisCache | None
    quota: RedisQuota | None
    guard: Guard
    scan_pool: ThreadPoolExecutor


def create_app(settings: Settings | None = None, env: Mapping[str, str] | None = None) -> ASGIApp:
    """Return the application for `settings` (the environment's by default). `env` is what `${NAME}` may name. Raises ConfigError."""
    return build_app(compose(settings if settings is not None else load_settings(), env if env is not None else environment()))


def worker_app() -> ASGIApp:
    """Return the application of one of several worker processes, which get their settings through the environment."""
    settings = load_settings()
    configure_logging(settings)
    return create_app(settings)


def configure_logging(settings: Settings) -> None:
    """Send events to standard output, readable where that is a terminal."""
    readable = settings.log_format == "text" or (settings.log_format == "auto" and sys.stdout.isatty())
    logging.configure(settings.log_level, readable=readable)
    logging.muzzle()


def build_app(parts: Parts) -> ASGIApp:
    """Put the routes and the layers of middleware.py around the parts."""
    settings = parts.settings
    api = _fastapi(parts)
    endpoint = chat.ChatEndpoint(parts.chat, parts.guard, settings.max_body_bytes, settings.body_idle_s)
    gated = Gate(BodyLimit(api, settings.max_body_bytes, settings.body_idle_s), parts.guard, health.OPEN_PATHS)
    app: ASGIApp = HotRoute(gated, path=chat.PATH, endpoint=endpoint)
    if settings.allowed_origins:
        app = CORSMiddleware(app, allow_origins=settings.allowed_origins, allow_methods=["GET", "POST", "DELETE"], allow_headers=["*"], expose_headers=["*"])
    if parts.guard.access.open and not settings.allow_anonymous:
        app = LoopbackGuard(app, settings.allowed_origins)
    return RequestEdge(app, partial(_holds_content, parts.chat.assessor))


def compose(settings: Settings, env: Mapping[str, str]) -> Parts:
    """Build every part and wire them; nothing is connected yet. Raises ConfigError."""
    file, assembled = load_configuration(settings.gateway_config, {**env, **settings.variables()}, load_catalog())
    if assembled.needs_litellm:
        translate.load()
    wire = Wire(Egress(assembled.egress), max_body_bytes=_MAX_ANSWER_BYTES)
    scan_pool = ThreadPoolExecutor(_SCAN_THREADS, thread_name_prefix="scan")
    assessor = _assessor(settings, file)
    DEGRADED.labels("scanner").set(assessor.health is not None)
    secret = settings.gateway_secret.get_secret_value().encode() if settings.gateway_secret else os.urandom(32)
    cache = _cache(settings, secret)
    gateway = ChatGateway(
        table=assembled.table,
        assessor=assessor,
        lanes={LaneName.RELAY: RelayLane(wire), LaneName.TRANSLATE: translate.TranslateLane(wire), LaneName.DEMO: DemoLane()},
        cache=cache,
        secret=secret,
        limits=ChatLimits(settings.llm_timeout, settings.connect_timeout_s, settings.stream_idle_s, settings.stream_commit_s, settings.cache_ttl),
        scan_pool=scan_pool,
    )
    embedder = _embedder(file, assembled, wire, settings)
    store = _store(settings, assembled, embedder)
    quota = _quota(settings, secret)
    return Parts(
        settings=settings,
        assembled=assembled,
        wire=wire,
        chat=gateway,
        search=SearchGateway(store, embedder, partial(_label_of_text, assessor)),
        store=store,
        cache=cache,
        quota=quota,
        guard=Guard(Access(settings.api_keys), RateLimit(settings.rate_limit_per_minute, quota), settings.trusted_proxies),
        scan_pool=scan_pool,
    )


def _fastapi(parts: Parts) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if parts.cache is not None:
            await parts.cache.ping()  # so that a Redis that is down shows at once
        watch = asyncio.create_task(_look_for_redis(parts))
        gc.collect()
        gc.freeze()  # what start-up made stays for good: the collector need not walk it again and again
        try:
            yield
        finally:
            watch.cancel()
            await _close(parts)

    api = FastAPI(title="Sluice", version=VERSION, summary=_SUMMARY, lifespan=lifespan, redirect_slashes=False)
    api.state.started_at = time.time()
    api.state.guard = parts.guard
    api.state.chat = parts.chat
    api.state.search = parts.search
    api.state.store = parts.store
    api.state.quota = parts.quota
    for router in (health.router, models.router, route.router, search.router, documents.router):
        api.include_router(router, responses={"4XX": {"model": ErrorResponse}})
    api.add_api_route(chat.PATH, refuse_method, methods=["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    add_error_handlers(api)
    api.openapi = partial(_describe, api)  # type: ignore[method-assign] # FastAPI's documented way to extend the description
    return api


def _describe(api: FastAPI) -> dict[str, Any]:
    if api.openapi_schema is None:
        described = get_openapi(title=api.title, version=api.version, summary=api.summary, routes=api.routes)
        described["paths"] = {chat.PATH: {"post": CHAT_OPERATION}, **described["paths"]}
        api.openapi_schema = described
    return api.openapi_schema


async def _close(parts: Parts) -> None:
    """Close every part; one that fails keeps none of the others open."""
    closing = [parts.store.close(), parts.wire.aclose(), *(part.aclose() for part in (parts.cache, parts.quota) if part is not None)]
    for outcome in await asyncio.gather(*closing, return_exceptions=True):
        if isinstance(outcome, BaseException):
            FAULTS.labels("close").inc()
            log.fault("close_failed", outcome)
    parts.scan_pool.shutdown(wait=False, cancel_futures=True)


def _assessor(settings: Settings, file: GatewayFile) -> Assessor:
    """Return the assessor that the file describes. Raises ConfigError."""
    check_scan(file)
    scan = file.scan
    tiers = {tier: scan.labels.get(tier, label) for tier, label in LABELS.items()}
    patterns = tuple(Expression(spec.kind, spec.regex, spec.tier) for spec in scan.patterns)
    wanted = Wanted(patterns, scan.words, scan.allow_values, scan.allow_domains)
    return Assessor(
        scanner=Scanner(wanted=wanted if wanted != Wanted() else None),
        max_scan_bytes=settings.max_scan_bytes,
        allow_unscannable=scan.allow,
        default_label=scan.default,
        labels=tiers,
        kind_labels={key: label for key, label in scan.labels.items() if key not in tiers},
        on_fault=_count_scan_fault,
    )


def check_scan(file: GatewayFile) -> None:
    """Refuse patterns that the scanner cannot take, and labels of kinds that nothing finds. Raises ConfigError."""
    scan = file.scan
    own = {*(spec.kind for spec in scan.patterns), *(kind for kind, _ in scan.words)}
    known = [*Tier, *sorted({pattern.kind for pattern in PATTERNS} | own)]
    faults = [
        file.fault(scan.label_lines[key], f'labels names "{key}", which is no tier and no kind that anything finds{suggestion(key, known)}')
        for key in scan.labels
        if key not in known
    ]
    complaints = [(spec.line, complaint(spec.regex)) for spec in scan.patterns]
    faults += [file.fault(line, f"regex {sentence}") for line, sentence in complaints if sentence is not None]
    if faults:
        raise ConfigError(faults)


async def _look_for_redis(parts: Parts) -> None:
    """Ask a Redis that was lost whether it is back, also while nobody else asks."""
    stores = [store for store in (parts.cache, parts.quota) if store is not None]
    while True:
        await asyncio.sleep(_REDIS_LOOK_S)
        for store in stores:
            if store.status != "ok":
                await store.ping()


def _cache(settings: Settings, secret: bytes) -> MemoryCache | RedisCache | None:
    if settings.cache_ttl == 0:
        return None
    memory = MemoryCache(settings.cache_max_bytes)
    if settings.redis_url is None:
        return memory
    try:
        return RedisCache(settings.redis_url, memory, secret=hmac.digest(secret, b"cache values", "sha256"))
    except ValueError:
        raise ConfigError("REDIS_URL must look like redis://127.0.0.1:6379/0") from None


def _quota(settings: Settings, secret: bytes) -> RedisQuota | None:
    if settings.redis_url is None or settings.rate_limit_per_minute == 0:
        return None
    try:
        return RedisQuota(settings.redis_url, settings.rate_limit_per_minute, secret=hmac.digest(secret, b"limits", "sha256"))
    except ValueError:
        raise ConfigError("REDIS_URL must look like redis://127.0.0.1:6379/0") from None


def _embedder(file: GatewayFile, assembled: Assembled, wire: Wire, settings: Settings) -> Embedder:
    named = file.search.embedder
    if named is None:
        return WordLlamaEmbedder()
    if assembled.embedder is None:
        return AbsentEmbedder(named.name, assembled.table.inactive.get(named.name, "it is not configured"))

    async def send(label: Label, deployment: Deployment, path: str, body: bytes) -> bytes:
        return await post_json(wire, label, deployment, path, body, connect_s=settings.connect_timeout_s, timeout_s=settings.llm_timeout)

    return RemoteEmbedder(assembled.embedder, send)


def _store(settings: Settings, assembled: Assembled, embedder: Embedder) -> ChromaStore:
    """Return the collection; one on a server elsewhere than on this machine or a private network holds nothing confidential."""
    if settings.chroma_url is None:
        return ChromaStore.embedded(settings.chroma_path, embedder=embedder.name, clearance=assembled.search_clearance)
    try:
        local = is_local(parse_base_url(settings.chroma_url).address, assembled.egress.local_networks)
        clearance = min(assembled.search_clearance, Label.CONFIDENTIAL if local else Label.INTERNAL)
        return ChromaStore.server(settings.chroma_url, embedder=embedder.name, clearance=clearance, local_networks=assembled.egress.local_networks)
    except ValueError as exc:
        raise ConfigError(f"CHROMA_URL cannot be used: {exc}") from None


def explain_offline(settings: Settings, file: GatewayFile, assembled: Assembled, raw: bytes) -> dict[str, Any]:
    """Return what POST /v1/route would answer to the body `raw`. Raises GatewayError."""
    request = chat.read_request(raw, {}, Tenant("command line", "command line"))
    assessor = _assessor(settings, file)
    facts = assessor.assess(request.body, request.hints)
    return to_wire(explain(assembled.table, facts, request.body, request.asked, IDLE))


def _holds_content(assessor: Assessor, text: str) -> bool:
    """Say whether a text that would go to the log is more than a name."""
    return _label_of_text(assessor, text) > Label.PUBLIC


def _label_of_text(assessor: Assessor, text: str) -> Label:
    return assessor.assess({"messages": [{"role": "user", "content": text}]}, Hints()).label


def _count_scan_fault(exc: BaseException) -> None:
    FAULTS.labels("assess").inc()
    log.fault("scan_failed", exc)
