"""Search from start to finish: label what comes in, embed it, store or find it. Holds no state but its bound on uploads."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.domain import Label
from app.errors import InvalidRequestError, LabelNotClearedError, NotFoundError, UnavailableError
from app.gateway.slots import FullError, Slots
from app.utils.monitoring import OVERLOADED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from app.domain import Tenant
    from app.gateway.ports import Embedder, VectorStore

_QUEUE = "documents"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HEAVY = 2  # uploads being scanned and embedded at once; more would starve the threads that chat needs
_UPLOADS = 16  # held in memory and waiting, up to MAX_BODY_BYTES each
_WAIT_S = 60.0  # for a turn; an upload of 1,000 documents takes seconds


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document as its owner gives it. `label` can only raise what is found in it."""

    text: str = field(repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    label: Label | None = None
    id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A document that was found; `score` in 0..1."""

    id: str = field(repr=False)
    text: str = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    label: Label
    score: float


class SearchGateway:
    """Documents shared by all callers, each caller seeing those up to the clearance of their key.

    `label_items` takes a tenant and its items, each a text with all that is kept with it, and labels each; any fault in it must come out as confidential.
    What is labelled above the clearance of the embedder or the store is refused before either hears of it. Tenants take turns with uploads, by the text
    that they bring.
    """

    def __init__(self, store: VectorStore, embedder: Embedder, label_items: Callable[[Tenant, Sequence[Sequence[str]]], Awaitable[Sequence[Label]]]) -> None:
        self._store = store
        self._embedder = embedder
        self._label_items = label_items
        self._turns = Slots(_HEAVY, places=_UPLOADS - _HEAVY, sharing=True)

    async def add(self, documents: Sequence[NewDocument], tenant: Tenant) -> list[str]:
        """Store documents and return their ids, in order; one with the id of a stored document takes its place.

        Stores all or none. A document above the caller's own clearance is refused: its owner could neither find nor delete it. An id that belongs to a
        document above that clearance is refused too (ConflictError): ids are the callers' to choose and must stay unique, so that it is taken shows, and
        nothing else of what it names.
        """
        _refuse_repeated_ids(documents)
        items = [_scalars(document.text, document.metadata, document.id) for document in documents]
        try:
            await self._turns.take(tenant.key_id, _WAIT_S, cost=float(sum(len(line) for lines in items for line in lines) or 1))
        except FullError:
            OVERLOADED.labels(_QUEUE).inc()
            raise UnavailableError("Too many documents are being added. Try again in a moment.", code="search_busy", headers={"retry-after": "2"}) from None
        try:
            labels, vectors = await self._read(documents, items, tenant)
        finally:
            self._turns.give(tenant.key_id)
        ids = [document.id or f"doc_{uuid.uuid4().hex}" for document in documents]
        rows = [
            {"id": new_id, "text": document.text, "metadata": dict(document.metadata), "label": label, "tenant": tenant.key_id, "vector": vector}
            for new_id, document, label, vector in zip(ids, documents, labels, vectors, strict=True)
        ]
        await self._store.add(rows, max_label=tenant.clearance)
        return ids

    async def delete(self, document_id: str, tenant: Tenant) -> None:
        """Delete a document. Raises NotFoundError where there is none that the caller may see."""
        can_exist = _ID.fullmatch(document_id) is not None and await self._label(tenant, [document_id]) <= self._bound
        if not can_exist or not await self._store.delete(document_id, max_label=tenant.clearance):
            raise NotFoundError("There is no document of that id.", code="document_not_found", param="id")

    async def find(self, query: str, limit: int, where: Mapping[str, Any], tenant: Tenant, hint: Label = Label.PUBLIC) -> list[FoundDocument]:
        """Return up to `limit` documents that are nearest in meaning and whose metadata equals `where`, best first. `hint` can raise the query's label."""
        label = max(hint, await self._label(tenant, _scalars(query, where)))
        self._check_clearance(label, "query")
        (vector,) = await self._embedder.embed([query], label)
        found = await self._store.search(vector, limit=limit, max_label=tenant.clearance, where=where or None)
        return [FoundDocument(**document) for document in found]

    async def _read(self, documents: Sequence[NewDocument], items: Sequence[Sequence[str]], tenant: Tenant) -> tuple[list[Label], list[list[float]]]:
        """Return the label and the vector of each document. Raises LabelNotClearedError before the embedder hears of any."""
        found = await self._label_items(tenant, items)
        labels = [max(label, document.label or Label.PUBLIC) for label, document in zip(found, documents, strict=True)]
        for index, label in enumerate(labels):
            self._check_clearance(label, f"documents[{index}]", tenant)
        return labels, await self._embedder.embed([document.text for document in documents], max(labels))

    @property
    def _bound(self) -> Label:
        return min(self._embedder.clearance, self._store.clearance)

    async def _label(self, tenant: Tenant, lines: Sequence[str]) -> Label:
        (label,) = await self._label_items(tenant, [lines])
        return label

    def _check_clearance(self, label: Label, param: str, tenant: Tenant | None = None) -> None:
        if label > self._bound:
            message = f"{param} is {label}, and the document store or its embedder is cleared for {self._bound}. Use a local embedder and store for it."
            raise LabelNotClearedError(message, param=param)
        if tenant is not None and label > tenant.clearance:
            message = f"{param} is {label}, and your key is cleared for {tenant.clearance}: you could not find it again. Use a key with that clearance."
            raise LabelNotClearedError(message, param=param)


def _refuse_repeated_ids(documents: Sequence[NewDocument]) -> None:
    seen: set[str] = set()
    for index, document in enumerate(documents):
        if document.id in seen:
            raise InvalidRequestError("Two documents of the request have the same id.", param=f"documents[{index}].id", code="duplicate_id")
        if document.id is not None:
            seen.add(document.id)


def _scalars(text: str, metadata: Mapping[str, Any], document_id: str | None = None) -> list[str]:
    """Return everything that is stored or compared: a value in the metadata is as sensitive as one in the text."""
    lines = [text, *(str(scalar) for entry in metadata.items() for scalar in entry)]
    return lines if document_id is None else [*lines, document_id]
