"""`POST /search`: documents by meaning."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request

from app.dependencies import Caller  # noqa: TC001 - likewise
from app.gateway.search import SearchGateway
from app.models_search import Found, SearchRequest, SearchResponse

router = APIRouter(tags=["search"])


def search_gateway(request: Request) -> SearchGateway:
    """Return the application's search."""
    return cast("SearchGateway", request.app.state.search)


Search = Annotated[SearchGateway, Depends(search_gateway)]


@router.post("/search")
async def search_documents(body: SearchRequest, caller: Caller, search: Search) -> SearchResponse:
    """Find the stored documents that are nearest in meaning, of those that the caller's key is cleared for."""
    found = await search.find(body.query, body.limit, body.filter, caller)
    return SearchResponse(results=[Found.model_validate(document) for document in found])
