"""`POST /documents` and `DELETE /documents/{id}`: what can be searched."""

from __future__ import annotations

from fastapi import APIRouter

from app.dependencies import Caller  # noqa: TC001 - FastAPI reads the annotations
from app.domain import Label
from app.gateway.search import NewDocument
from app.models_search import AddDocuments, AddedDocuments
from app.routers.search import LabelHint, Search  # noqa: TC001 - FastAPI reads the annotations

router = APIRouter(tags=["search"])


@router.post("/documents", status_code=201)
async def add_documents(body: AddDocuments, caller: Caller, search: Search, hint: LabelHint) -> AddedDocuments:
    """Store documents to be found by meaning. One with the id of a stored document takes its place."""
    documents = [
        NewDocument(text=item.text, metadata=item.metadata, label=max(hint, Label.parse(item.label or "public")), id=item.id) for item in body.documents
    ]
    return AddedDocuments(ids=await search.add(documents, caller))


@router.delete("/documents/{document_id}", status_code=204)
async def delete_document(document_id: str, caller: Caller, search: Search) -> None:
    """Delete a document; 404 where there is none that the caller's key is cleared for."""
    await search.delete(document_id, caller)
