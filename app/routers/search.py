"""`POST /search`: documents by meaning."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request

from app.dependencies import Caller  # noqa: TC001 - likewise
from app.domain import Label
from app.gateway.hints import read_hints
from app.gateway.search import SearchGateway
from app.http_io import read_headers
from app.models_search import Found, SearchRequest, SearchResponse

router = APIRouter(tags=["search"])


def search_gateway(request: Request) -> SearchGateway:
    """Return the application's search."""
    return cast("SearchGateway", request.app.state.search)


def label_hint(request: Request) -> Label:
    """Return what `X-Sensitivity` says, public where it says nothing. Raises InvalidRequestError."""
    return read_hints(read_headers(request.scope), None).label or Label.PUBLIC


Search = Annotated[SearchGateway, Depends(search_gateway)]
LabelHint = Annotated[Label, Depends(label_hint)]


@router.post("/search")
async def search_documents(body: SearchRequest, caller: Caller, search: Search, hint: LabelHint) -> SearchResponse:
    """Find the stored documents that are nearest in meaning, of those that the caller's key is cleared for."""
    found = await search.find(body.query, body.limit, body.filter, caller, hint)
    return SearchResponse(results=[Found.model_validate(document) for document in found])
