from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Label, Tenant
from app.errors import ConflictError, InvalidRequestError, LabelNotClearedError, NotFoundError, UnavailableError
from app.gateway.search import NewDocument, SearchGateway

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OWNER = Tenant("owner", "key-1")
INTERN = Tenant("intern", "key-2", Label.INTERNAL)


def assess(text: str) -> Label:
    if "SECRET" in text:
        return Label.CONFIDENTIAL
    return Label.INTERNAL if "inhouse" in text else Label.PUBLIC


async def labels(_tenant: Tenant, items: Sequence[Sequence[str]]) -> list[Label]:
    return [assess("\n".join(lines)) for lines in items]


class Embedder:
    name = "fake"

    def __init__(self, clearance: Label = Label.CONFIDENTIAL) -> None:
        self.clearance = clearance
        self.calls: list[tuple[list[str], Label]] = []
        self.gate: asyncio.Event | None = None

    async def embed(self, texts: Sequence[str], label: Label) -> list[list[float]]:
        self.calls.append((list(texts), label))
        if self.gate is not None:
            await self.gate.wait()
        return [[1.0]] * len(texts)


class Store:
    def __init__(self, clearance: Label = Label.CONFIDENTIAL) -> None:
        self.clearance = clearance
        self.rows: dict[str, dict[str, Any]] = {}
        self.calls = 0

    async def add(self, documents: Sequence[Mapping[str, Any]], *, max_label: Label) -> None:
        self.calls += 1
        if any(self.rows[row["id"]]["label"] > max_label for row in documents if row["id"] in self.rows):
            raise ConflictError("taken")
        self.rows.update({row["id"]: dict(row) for row in documents})

    async def delete(self, document_id: str, *, max_label: Label) -> bool:
        self.calls += 1
        if document_id not in self.rows or self.rows[document_id]["label"] > max_label:
            return False
        del self.rows[document_id]
        return True

    async def search(self, vector: Sequence[float], *, limit: int, max_label: Label, where: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        del vector
        self.calls += 1
        matching = [
            row for row in self.rows.values() if row["label"] <= max_label and all(row["metadata"].get(key) == value for key, value in (where or {}).items())
        ]
        return [{**{key: row[key] for key in ("id", "text", "metadata", "label")}, "score": 1.0} for row in matching[:limit]]


def gateway(store: Store | None = None, embedder: Embedder | None = None) -> tuple[SearchGateway, Store, Embedder]:
    store, embedder = store or Store(), embedder or Embedder()
    return SearchGateway(store, embedder, labels), store, embedder


async def test_ids_come_back_in_order_and_are_generated_where_none_was_given() -> None:
    search, store, _ = gateway()
    first, second, third = await search.add([NewDocument("a"), NewDocument("b", id="mine"), NewDocument("c")], OWNER)

    assert second == "mine"
    assert first != third
    assert list(store.rows) == [first, "mine", third]
    assert store.rows["mine"]["tenant"] == "key-1"


@given(found=st.sampled_from(["a", "inhouse", "SECRET"]), given_label=st.sampled_from([None, *Label]))
def test_a_given_label_can_only_raise_what_is_found(found: str, given_label: Label | None) -> None:
    search, store, _ = gateway()
    asyncio.run(search.add([NewDocument(found, label=given_label, id="d")], OWNER))

    assert store.rows["d"]["label"] == max(assess(found), given_label or Label.PUBLIC)


@pytest.mark.parametrize("document", [NewDocument("a", {"note": "SECRET"}), NewDocument("a", {"SECRET": 1}), NewDocument("a", id="SECRET")])
async def test_what_stands_in_metadata_or_id_counts_like_the_text(document: NewDocument) -> None:
    search, store, _ = gateway()
    (new_id,) = await search.add([document], OWNER)

    assert store.rows[new_id]["label"] is Label.CONFIDENTIAL


async def test_a_document_above_its_owners_clearance_is_refused_and_none_is_stored() -> None:
    search, store, embedder = gateway()
    with pytest.raises(LabelNotClearedError) as caught:
        await search.add([NewDocument("a"), NewDocument("SECRET")], INTERN)

    assert caught.value.param == "documents[1]"
    assert "SECRET" not in caught.value.message
    assert (store.rows, embedder.calls) == ({}, [])


@pytest.mark.parametrize("part", ["embedder", "store"])
async def test_nothing_above_the_clearance_of_embedder_or_store_reaches_either(part: str) -> None:
    store = Store(Label.INTERNAL if part == "store" else Label.CONFIDENTIAL)
    search, _, embedder = gateway(store, Embedder(Label.INTERNAL if part == "embedder" else Label.CONFIDENTIAL))
    for attempt in (
        search.add([NewDocument("SECRET")], OWNER),
        search.add([NewDocument("a", label=Label.CONFIDENTIAL)], OWNER),
        search.find("SECRET", 5, {}, OWNER),
        search.find("a", 5, {"note": "SECRET"}, OWNER),
    ):
        with pytest.raises(LabelNotClearedError):
            await attempt
    with pytest.raises(NotFoundError):
        await search.delete("SECRET", OWNER)

    assert (store.calls, embedder.calls) == (0, [])


async def test_the_embedder_is_asked_under_the_highest_label_of_what_it_gets() -> None:
    search, _, embedder = gateway()
    await search.add([NewDocument("a"), NewDocument("inhouse")], OWNER)
    await search.find("SECRET", 5, {}, OWNER)

    assert embedder.calls == [(["a", "inhouse"], Label.INTERNAL), (["SECRET"], Label.CONFIDENTIAL)]


async def test_a_caller_finds_what_their_key_is_cleared_for_and_no_more() -> None:
    search, _, _ = gateway()
    await search.add([NewDocument("a", id="1"), NewDocument("inhouse", id="2"), NewDocument("SECRET", id="3")], OWNER)

    assert [found.id for found in await search.find("q", 5, {}, INTERN)] == ["1", "2"]
    assert [found.id for found in await search.find("q", 5, {}, OWNER)] == ["1", "2", "3"]


async def test_a_document_above_the_callers_clearance_can_be_neither_deleted_nor_replaced() -> None:
    search, store, _ = gateway()
    await search.add([NewDocument("SECRET", id="x")], OWNER)
    with pytest.raises(NotFoundError) as hidden:
        await search.delete("x", INTERN)
    with pytest.raises(NotFoundError) as absent:
        await search.delete("y", INTERN)
    with pytest.raises(ConflictError):
        await search.add([NewDocument("a", id="x")], INTERN)

    assert hidden.value.body() == absent.value.body()
    assert store.rows["x"]["text"] == "SECRET"


async def test_an_id_that_no_document_can_have_is_not_found_without_asking_the_store() -> None:
    search, store, _ = gateway()
    for impossible in ("", "a b", "a\n", "x" * 129, "é"):
        with pytest.raises(NotFoundError):
            await search.delete(impossible, OWNER)

    assert store.calls == 0


async def test_one_id_twice_in_a_request_is_refused() -> None:
    search, _, _ = gateway()
    with pytest.raises(InvalidRequestError) as caught:
        await search.add([NewDocument("a", id="x"), NewDocument("b"), NewDocument("c", id="x")], OWNER)

    assert caught.value.param == "documents[2].id"


async def test_tenants_take_turns_with_uploads() -> None:
    search, store, embedder = gateway()
    embedder.gate = asyncio.Event()
    many = [asyncio.create_task(search.add([NewDocument("a", id=f"many-{number}")], OWNER)) for number in range(8)]
    await asyncio.sleep(0)
    one = asyncio.create_task(search.add([NewDocument("a", id="one")], INTERN))
    await asyncio.sleep(0)
    embedder.gate.set()
    await asyncio.gather(*many, one)

    assert list(store.rows).index("one") <= 2


async def test_a_full_line_makes_room_for_a_tenant_that_has_nothing_in_it() -> None:
    search, _, embedder = gateway()
    embedder.gate = asyncio.Event()
    many = [asyncio.create_task(search.add([NewDocument("a")], OWNER)) for _ in range(16)]
    await asyncio.sleep(0)
    one = asyncio.create_task(search.add([NewDocument("a")], INTERN))
    await asyncio.sleep(0)
    embedder.gate.set()
    outcomes = await asyncio.gather(*many, return_exceptions=True)

    assert len(await one) == 1
    assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [UnavailableError]


async def test_an_upload_that_is_given_up_leaves_its_turn() -> None:
    search, _, embedder = gateway()
    embedder.gate = asyncio.Event()
    gone = [asyncio.create_task(search.add([NewDocument("a")], OWNER)) for _ in range(16)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    embedder.gate.set()

    assert len(await search.add([NewDocument("a")], OWNER)) == 1


async def test_more_uploads_than_memory_should_hold_are_refused_and_searches_are_not() -> None:
    search, _, embedder = gateway()
    embedder.gate = asyncio.Event()
    uploads = [asyncio.create_task(search.add([NewDocument("a")], OWNER)) for _ in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError) as caught:
        await search.add([NewDocument("a")], OWNER)
    embedder.gate.set()
    await asyncio.gather(*uploads)
    await search.find("q", 5, {}, OWNER)

    assert caught.value.code == "search_busy"
    assert len(await search.add([NewDocument("a")], OWNER)) == 1


def test_documents_are_quiet_about_their_content() -> None:
    assert "SECRET" not in repr(NewDocument("SECRET", {"SECRET": "SECRET"}, id="SECRET"))
