"""Whether the process lives, whether it can answer, what it counts, and what it is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from app.dependencies import Caller  # noqa: TC001 -- FastAPI reads the annotations
from app.models import About, Configuration, Health
from app.utils.monitoring import exposition

router = APIRouter(tags=["operations"])

OPEN_PATHS = ("/health", "/readyz")  # the only ones that ask for no key


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health(request: Request) -> Health:
    """Say that the process is alive, and how its parts are. Nothing is called."""
    return _health(request)


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": Health}})
async def readyz(request: Request, response: Response) -> Health:
    """Say whether a chat request can be answered: 200, also `degraded`, while any deployment can; else 503."""
    state = _health(request)
    if state.status == "unavailable":
        response.status_code = 503
    return state


@router.get("/metrics", response_class=Response)
async def metrics(caller: Caller) -> Response:  # noqa: ARG001 -- a caller is needed, whoever it is
    """Return Prometheus' text format, of all workers."""
    content, media_type = await asyncio.to_thread(exposition)
    return Response(content, media_type=media_type)


@router.get("/")
async def about(request: Request, caller: Caller) -> About:  # noqa: ARG001 -- a caller is needed, whoever it is
    """Say what answers here."""
    return About(version=request.app.version)


def _health(request: Request) -> Health:
    state: Any = request.app.state
    table = state.chat.table
    active = [name for name, deployment in table.deployments.items() if deployment.address is not None]
    failing = state.chat.vitals.failing(active)
    checks = {
        "process": "shutting down" if state.drain.begun else "ok",
        "cache": "off" if state.chat.cache is None else state.chat.cache.status,
        "limits": state.quota.status if state.quota is not None else "ok",
        "taint": state.chat.conversations.marks.status,
        "store": state.store.state,
        "scanner": state.chat.assessor.health or "ok",
        "tokens": state.chat.assessor.counting or "ok",
        "second_opinion": "off" if state.chat.second_opinion is None else state.chat.second_opinion.status,
        "deployments": _deployments(active, failing),
    }
    well = all(value in {"ok", "off", "idle", "ready"} for name, value in checks.items() if name != "deployments")
    status: Literal["ok", "degraded", "unavailable"] = "ok" if well and not failing else "degraded"
    if state.drain.begun or (active and len(failing) == len(active)):
        status = "unavailable"
    return Health(status=status, checks=checks, timestamp=datetime.now(UTC).isoformat(), configuration=Configuration(**state.reloader.served))


def _deployments(active: list[str], failing: list[str]) -> str:
    if not active:
        return "none active: the demo model answers"
    return f"{len(active)} active" + (f", failing when last asked: {', '.join(failing)}" if failing else "")
