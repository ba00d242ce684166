from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from app.domain import Label, Tenant
from app.gateway.search import FoundDocument
from app.models_search import SearchRequest
from app.routers.search import search_documents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.gateway.search import SearchGateway

TENANT = Tenant("owner", "key")


class Search:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def find(self, query: str, limit: int, where: Mapping[str, Any], tenant: Tenant, hint: Label) -> list[FoundDocument]:
        self.asked.append((query, limit, where, tenant, hint))
        return [FoundDocument(id="a", text="t", metadata={}, label=Label.PUBLIC, score=1.0)]


async def test_the_question_goes_to_the_gateway_as_it_was_put_and_the_answer_comes_back() -> None:
    search = Search()
    body = SearchRequest.model_validate({"query": "q", "limit": 3, "filter": {"n": 1}})
    answer = await search_documents(body, TENANT, cast("SearchGateway", search), Label.INTERNAL)

    assert search.asked == [("q", 3, {"n": 1}, TENANT, Label.INTERNAL)]
    assert answer.model_dump() == {"results": [{"id": "a", "text": "t", "metadata": {}, "label": "public", "score": 1.0}]}
