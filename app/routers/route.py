"""POST /v1/route: how a chat request would be routed, and why. Nobody is called but for a second opinion, where one is configured."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from app.dependencies import Caller  # noqa: TC001 -- FastAPI reads the annotations
from app.gateway.explain import explain, to_wire
from app.gateway.snapshot import ask
from app.http_io import read_headers
from app.routers.chat import read_request
from app.routers.chat_openapi import CHAT_BODY

router = APIRouter(prefix="/v1/route", tags=["chat"])


@router.post("", openapi_extra={"requestBody": CHAT_BODY})
async def explain_route(request: Request, caller: Caller) -> dict[str, Any]:
    """Take the body of a chat request, with its headers, and answer with facts, findings, every rule tried, and the plan with its reasons."""
    chat_request = read_request(await request.body(), read_headers(request.scope), caller)
    chat = request.app.state.chat
    terms = chat.terms
    asked, snapshot = ask(terms.table, chat_request), chat.snapshot(terms, chat_request)
    reading = chat.reading(terms, chat_request)
    facts = await reading.facts(await reading.recall(), snapshot.cuts)
    return to_wire(await reading.weigh(facts, explain, terms.table, facts, chat_request.body, asked, snapshot))
