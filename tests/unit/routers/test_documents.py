from __future__ import annotations

from typing import TYPE_CHECKING, cast

from app.domain import Label, Tenant
from app.gateway.search import NewDocument
from app.models_search import AddDocuments
from app.routers.documents import add_documents, delete_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.gateway.search import SearchGateway

TENANT = Tenant("owner", "key")


class Search:
    def __init__(self) -> None:
        self.added: list[NewDocument] = []
        self.deleted: list[str] = []

    async def add(self, documents: Sequence[NewDocument], tenant: Tenant) -> list[str]:
        assert tenant is TENANT
        self.added.extend(documents)
        return [document.id or "new" for document in documents]

    async def delete(self, document_id: str, tenant: Tenant) -> None:
        assert tenant is TENANT
        self.deleted.append(document_id)


async def test_documents_reach_the_gateway_with_all_they_say() -> None:
    search = Search()
    body = AddDocuments.model_validate({"documents": [{"text": "a"}, {"text": "b", "metadata": {"n": 1}, "label": "internal", "id": "x"}]})
    answer = await add_documents(body, TENANT, cast("SearchGateway", search), Label.PUBLIC)

    assert search.added == [NewDocument("a", label=Label.PUBLIC), NewDocument("b", {"n": 1}, Label.INTERNAL, "x")]
    assert answer.ids == ["new", "x"]


async def test_a_delete_names_its_document() -> None:
    search = Search()
    await delete_document("x", TENANT, cast("SearchGateway", search))

    assert search.deleted == ["x"]
