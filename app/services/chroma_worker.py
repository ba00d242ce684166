"""The child process that holds Chroma, run as a module.

Chroma's embedded writes hold the interpreter lock for hundreds of milliseconds, and its HTTP client is synchronous without a time limit: neither may live
in the process that serves. Calls come on standard input and are answered on standard output, one at a time: 4 bytes of length, big-endian, then JSON. The
first frame says which store to open. The process ends when its input does, so it outlives no gateway, however that one died.

An answer is `{"ok": ...}` or `{"error": code, "fault": class}`; never an exception's text, which may hold content.
"""

from __future__ import annotations

import base64
import contextlib
import os
import queue
import signal
import struct
import sys
import threading
import time
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from app.config.addresses import is_within, parse_literal
from app.services.chroma_places import Folder, RefusedError, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

_COLLECTION = "sluice_documents"
_LABEL, _TENANT = "_label", "_tenant"
_LENGTH = struct.Struct(">I")
_IDLE_S = 0.5
_GRACE_S = 5.0
_PAGE = 2_000  # vectors compared at once


class Documents:
    """The one collection, opened when first needed."""

    def __init__(self, place: Folder | Server, embedder: str) -> None:
        self._place = place
        self._embedder = embedder
        self._client: Any = None
        self._collection: Any = None

    @property
    def scrub_due(self) -> bool:
        """Whether text that was deleted is still in the files."""
        return self._place.scrub_due

    def add(self, documents: Sequence[Mapping[str, Any]], max_label: int) -> None:
        """Store documents, each in the place of one of its id. All or none when an id belongs to a document above `max_label`: RefusedError `id_taken`."""
        ids = [document["id"] for document in documents]
        with self._opened() as collection:
            found = collection.get(ids=ids, include=["metadatas"])
            old = dict(zip(found["ids"], found["metadatas"], strict=True))
            if any(metadata.get(_LABEL, sys.maxsize) > max_label for metadata in old.values()):
                raise RefusedError("id_taken")
            self._place.wrote(dropped_text=bool(old))
            collection.upsert(
                ids=ids,
                embeddings=[_vector(document["vector"]) for document in documents],
                documents=[document["text"] for document in documents],
                metadatas=[_metadata(document, old.get(document["id"], {})) for document in documents],
            )

    def delete(self, document_id: str, max_label: int) -> bool:
        """Delete a document of at most `max_label`, and say whether there was one."""
        where = {_LABEL: {"$lte": max_label}}
        with self._opened() as collection:
            if not collection.get(ids=[document_id], where=where, include=[])["ids"]:
                return False
            self._place.wrote(dropped_text=True)
            collection.delete(ids=[document_id], where=where)
            return True

    def search(self, vector: str, limit: int, max_label: int, where: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the nearest documents of at most `max_label` whose metadata equals `where`, best first. The score is the cosine, below 0 as 0."""
        conditions: list[dict[str, Any]] = [{_LABEL: {"$lte": max_label}}, *({key: {"$eq": value}} for key, value in where.items())]
        condition = {"$and": conditions} if where else conditions[0]
        query = _vector(vector)
        with self._opened() as collection:
            found = collection.query(query_embeddings=[query], n_results=limit, where=condition, include=["distances"])
            scores = {row: 1.0 - distance for row, distance in zip(found["ids"][0], found["distances"][0], strict=True)}
            if len(scores) < limit and len(scores) < len(collection.get(where=condition, limit=limit, include=[])["ids"]):
                scores = _search_exactly(collection, query, condition, limit)
            if not scores:
                return []
            rows = collection.get(ids=list(scores), where=condition, include=["documents", "metadatas"])
        documents = [_found(*row, scores) for row in zip(rows["ids"], rows["documents"], rows["metadatas"], strict=True)]
        return sorted(documents, key=lambda document: (-scores[document["id"]], document["id"]))

    def scrub(self) -> None:
        """Remove deleted text from the files, where that is ours to do."""
        try:
            with self._opened() as collection:
                if self._place.scrub_due:  # another process may have done it meanwhile
                    self._place.scrub(collection)
        except Exception:  # noqa: BLE001 - store adapter, foreign code: the documents are served all the same, and the next delete tries again
            self._place.forget_scrub()

    def close(self) -> None:
        """Let go of Chroma; the next call opens it again."""
        client, self._client, self._collection = self._client, None, None
        if client is not None:
            with contextlib.suppress(Exception):  # it is given up either way
                self._place.close(client)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        with self._place.held() as changed:
            if changed:
                self.close()
            try:
                if self._collection is None:
                    self._client = self._place.client()
                    self._collection = self._open(self._client)
                yield self._collection
            except RefusedError:
                raise
            except Exception:
                self.close()  # whatever it was, the next call begins afresh
                raise

    def _open(self, client: Any) -> Any:
        collection = self._create(client)
        if (collection.metadata or {}).get("embedder") == self._embedder:
            return collection
        if collection.count():
            raise RefusedError("embedder_differs")
        client.delete_collection(_COLLECTION)
        return self._create(client)

    def _create(self, client: Any) -> Any:
        return client.get_or_create_collection(
            _COLLECTION,
            embedding_function=None,  # Chroma's own would download a model
            metadata={"embedder": self._embedder},
            configuration={"hnsw": {"space": "cosine"}},
        )


def serve(calls: BinaryIO, answers: BinaryIO) -> None:
    """Answer calls until there are no more."""
    inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(calls, inbox), daemon=True).start()
    documents: Documents | None = None
    while True:
        try:
            frame = inbox.get(timeout=_IDLE_S if documents is not None and documents.scrub_due else None)
        except queue.Empty:
            if documents is not None:
                documents.scrub()
            continue
        if frame is None:
            return
        call = orjson.loads(frame)
        if documents is None:
            documents, answer = _introduce(call)
        else:
            answer = _answer(documents, call)
        raw = orjson.dumps(answer)
        try:
            answers.write(_LENGTH.pack(len(raw)) + raw)
            answers.flush()
        except BrokenPipeError:  # nobody listens any more
            return


def _introduce(call: Mapping[str, Any]) -> tuple[Documents, dict[str, Any]]:
    place = Server(call["url"]) if "url" in call else Folder(Path(call["path"]))
    documents = Documents(place, call["embedder"])
    try:
        import chromadb  # noqa: F401, PLC0415 - now, while the caller waits for a start and not for a call
    except ImportError as exc:
        return documents, {"error": "not_installed", "fault": type(exc).__name__}
    return documents, {"ok": None}


def _answer(documents: Documents, call: dict[str, Any]) -> dict[str, Any]:
    operations: dict[str, Callable[..., Any]] = {"add": documents.add, "delete": documents.delete, "search": documents.search}
    operation = operations[call.pop("op")]
    try:
        try:
            return {"ok": operation(**call)}
        except RefusedError:
            raise
        except Exception as exc:
            if type(exc).__name__ != "NotFoundError":
                raise
            return {"ok": operation(**call)}  # another gateway made the collection anew: once more, with the new one
    except Exception as exc:  # noqa: BLE001 - store adapter, foreign code: the caller counts what it is told here
        refusal = _refusal(exc)
        return {"error": "broken", "fault": type(exc).__name__} if refusal is None else {"error": refusal.code, "fault": ""}


def _listen(calls: BinaryIO, inbox: queue.SimpleQueue[bytes | None]) -> None:
    while len(head := calls.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        inbox.put(calls.read(length))
    inbox.put(None)
    time.sleep(_GRACE_S)
    os._exit(0)  # a call that hangs must not outlive the gateway


def _vector(packed: str) -> Any:
    import numpy as np  # noqa: PLC0415 - Chroma has imported it; the module's own import stays light

    return np.frombuffer(base64.b64decode(packed), dtype="<f4")


def _search_exactly(collection: Any, query: Any, condition: Mapping[str, Any], limit: int) -> dict[str, float]:
    """Return the cosines of the nearest documents, all of them compared.

    Chroma's graph cannot always be walked to the few documents that a filter leaves (many equal vectors elsewhere cut it apart); what is stored must be found.
    """
    import numpy as np  # noqa: PLC0415 - see _vector

    best: list[tuple[float, str]] = []
    offset = 0
    while (page := collection.get(where=condition, include=["embeddings"], limit=_PAGE, offset=offset))["ids"]:
        vectors = np.asarray(page["embeddings"])
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        cosines = np.divide(vectors @ query, lengths, out=np.zeros(len(vectors), dtype=np.float64), where=lengths > 0)
        best = sorted([*best, *zip(cosines.tolist(), page["ids"], strict=True)], reverse=True)[:limit]
        offset += _PAGE
    return {row: cosine for cosine, row in best}


def _found(document_id: str, text: str, metadata: Mapping[str, Any], scores: Mapping[str, float]) -> dict[str, Any]:
    return {
        "id": document_id,
        "text": text,
        "metadata": {key: metadata[key] for key in sorted(metadata) if not key.startswith("_")},
        "label": metadata[_LABEL],
        "score": min(1.0, max(0.0, scores[document_id])),
    }


def _metadata(document: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored of a document. Chroma's upsert merges metadata with what was there, so what is gone is named with None."""
    gone = dict.fromkeys(old)
    return {**gone, **document["metadata"], _LABEL: document["label"], _TENANT: document["tenant"]}


def hold_to(host: str | None, port: int | None, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
    """Refuse, for the rest of this process, every look-up and connection that Python code makes, but those to `host` and `port`.

    With `networks`, also a peer outside of them, whatever name led there: RefusedError `peer_not_local`.
    """

    def audit(event: str, args: tuple[Any, ...]) -> None:
        peer = args[1] if event == "socket.connect" and isinstance(args[1], tuple) else None
        looked_up = event == "socket.getaddrinfo" and args[0] != host
        if looked_up or (peer is not None and peer[1] != port):
            raise PermissionError("not the address of the document store")
        if peer is not None and networks and not _is_local(str(peer[0]), networks):
            raise RefusedError("peer_not_local")

    sys.addaudithook(audit)


def _is_local(peer: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    literal = parse_literal(peer)
    return literal is not None and is_within(literal, networks)


def _refusal(exc: BaseException | None) -> RefusedError | None:
    """Return the refusal that an exception of a library's was made of."""
    while exc is not None and not isinstance(exc, RefusedError):
        exc = exc.__cause__ or exc.__context__
    return exc


def main() -> None:
    """Serve on the standard streams, which then belong to nobody else: a library that prints must not break a frame."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the gateway's: it ends this process when it has finished
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    host, port, *networks = sys.argv[1:] or (None, None)
    hold_to(host, int(port) if port else None, tuple(ip_network(network) for network in networks))
    serve(calls, answers)


if __name__ == "__main__":
    main()
