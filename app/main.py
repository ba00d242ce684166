"""The composition root: the parts and the routes become one ASGI application."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from app import VERSION
from app.admin import AdminGate
from app.assessing import assessor_of, label_of_text
from app.config.settings import environment, load_settings
from app.domain import Label, Tenant
from app.gateway.explain import explain, to_wire
from app.gateway.snapshot import Stays, ask, take_snapshot
from app.gateway.vitals import Vitals
from app.middleware import BodyLimit, Gate, HotRoute, LoopbackGuard, RequestEdge
from app.models import ErrorResponse
from app.parts import close, compose, look_for_redis
from app.policy.counting import may_take_long
from app.reload import on_hangup
from app.routers import admin, chat, documents, health, models, route, search
from app.routers.description import describe
from app.routers.errors import add_error_handlers, refuse_method
from app.shutdown import Drain, telling_of_the_cut
from app.supervisor import Control
from app.utils import logging, monitoring, net

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from multiprocessing.connection import Connection

    from starlette.types import ASGIApp

    from app.config.assembled import Assembled
    from app.config.settings import Settings
    from app.config.specs import GatewayFile
    from app.gateway.chat import ChatGateway
    from app.loading import Loaded
    from app.parts import Parts

# So many objects live at once where some two hundred requests are under way. The collector's own number is 700: it would walk all that are under way every
# twenty requests. A request leaves it no garbage, so that what waits until then is little.
_YOUNG_OBJECTS = 10_000
_UNASKED = "not asked here: the gateway has somebody read what is of this label once more, which can raise the label (POST /v1/route asks)"
_SUMMARY = "An OpenAI-compatible gateway that keeps confidential requests local."


def create_app(settings: Settings | None = None, env: Mapping[str, str] | None = None) -> ASGIApp:
    """Return the application for `settings` (the environment's by default). `env` is what `${NAME}` may name. Raises ConfigError."""
    return build_app(compose(settings if settings is not None else load_settings(), env if env is not None else environment()))


def worker_app(pipe: Connection, loaded: Loaded) -> ASGIApp:
    """Return the application of one of several worker processes, which get their settings through the environment and the rest from their supervisor."""
    settings = load_settings()
    configure_logging(settings)
    net.spread()
    parts = compose(settings, environment(), loaded=loaded)
    return build_app(parts, Control(pipe, parts.reloader))


def configure_logging(settings: Settings) -> None:
    """Send events to standard output, readable where that is a terminal, and there in colour unless NO_COLOR is set."""
    terminal = sys.stdout.isatty()
    readable = settings.log_format == "text" or (settings.log_format == "auto" and terminal)
    logging.configure(settings.log_level, readable=readable, colour=terminal and not os.environ.get("NO_COLOR"), may_hold=True)
    logging.muzzle()


def build_app(parts: Parts, control: Control | None = None) -> ASGIApp:
    """Put the routes and the layers of middleware.py around the parts."""
    settings = parts.settings
    api = _fastapi(parts, control)
    endpoint = chat.ChatEndpoint(parts.chat, parts.guard, parts.admission, settings.max_body_bytes, settings.body_idle_s, parts.shortcut)
    limited = BodyLimit(api, settings.max_body_bytes, settings.body_idle_s)
    gated: ASGIApp = Gate(limited, parts.guard, parts.admission, health.OPEN_PATHS)
    if settings.admin_api_key is not None:
        gated = AdminGate(limited, gated, parts.guard, settings.admin_api_key.get_secret_value())
    app: ASGIApp = HotRoute(gated, path=chat.PATH, endpoint=endpoint)
    if settings.allowed_origins:
        app = CORSMiddleware(app, allow_origins=settings.allowed_origins, allow_methods=["GET", "POST", "DELETE"], allow_headers=["*"], expose_headers=["*"])
    if parts.guard.access.open and not settings.allow_anonymous:
        app = LoopbackGuard(app, settings.allowed_origins)
    return RequestEdge(app, partial(_holds_content, parts.chat), parts.shortcut.ids, api.state.paths, known=endpoint)


def _fastapi(parts: Parts, control: Control | None) -> FastAPI:
    reload = parts.reloader.reload if control is None else control.reload
    drain = Drain(parts.settings.drain_delay_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        await asyncio.gather(*(store.ping() for store in parts.kept.stores))  # so that a Redis that is down shows at once
        watch = asyncio.create_task(look_for_redis(parts))
        gc.collect()
        gc.freeze()  # what start-up made stays for good: the collector need not walk it again and again
        gc.set_threshold(_YOUNG_OBJECTS)
        logging.hold_back(asyncio.get_running_loop())
        monitoring.hold_back(asyncio.get_running_loop())
        if control is not None:
            control.listen(drain.hurry)
        try:
            with drain.watching(), on_hangup(reload), telling_of_the_cut():
                yield {"drain": drain, "shortcut": parts.shortcut}  # for http_protocol, which uvicorn hands them to
        finally:
            if control is not None:
                control.close()
            logging.hold_back(None)
            monitoring.hold_back(None)
            watch.cancel()
            await close(parts)

    api = FastAPI(title="Sluice", version=VERSION, summary=_SUMMARY, lifespan=lifespan, redirect_slashes=False)
    api.state.started_at = time.time()
    api.state.guard = parts.guard
    api.state.chat = parts.chat
    api.state.search = parts.search
    api.state.store = parts.store
    api.state.quota = parts.kept.quota
    api.state.drain = drain
    api.state.reloader = parts.reloader
    api.state.reload = reload
    routers = [health.router, models.router, route.router, search.router, documents.router]
    if parts.settings.admin_api_key is not None:
        routers.append(admin.router)
    for router in routers:
        api.include_router(router, responses={"4XX": {"model": ErrorResponse}})
    api.add_api_route(chat.PATH, refuse_method, methods=["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    api.state.paths = {chat.PATH, *(route.path for router in routers for route in router.routes if isinstance(route, Route))}
    add_error_handlers(api)
    api.openapi = partial(describe, api, keyed=bool(parts.settings.api_keys))  # type: ignore[method-assign] # FastAPI's documented way to extend the description
    return api


def explain_offline(settings: Settings, file: GatewayFile, assembled: Assembled, raw: bytes) -> dict[str, Any]:
    """Return what POST /v1/route would answer to the body `raw`, but for a second opinion, which is asked of nobody. Raises GatewayError."""
    request = chat.read_request(raw, {}, Tenant("command line", "command line"))
    assessor = assessor_of(settings, file)
    facts = assessor.assess(request.body, request.hints)
    table, tenant = assembled.table, request.tenant
    snapshot = take_snapshot(table, Vitals(), Stays(), b"", tenant, request.body)
    with facts.measures.loading() if may_take_long(table, facts) else nullcontext():  # as Reading.weigh does
        explained = explain(table, facts, request.body, ask(table, request), snapshot)
    opinion = file.scan.second_opinion
    unasked = {"second_opinion": _UNASKED} if opinion is not None and facts.label in opinion.labels else {}
    return to_wire(explained) | unasked


def _holds_content(gateway: ChatGateway, text: str) -> bool:
    """Say whether a text that would go to the log is more than a name."""
    return label_of_text(gateway.assessor, text) > Label.PUBLIC
