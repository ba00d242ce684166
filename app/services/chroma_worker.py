"""The child process that holds Chroma. It stands alone (nothing of the gateway is imported) and is run as a file.

Chroma's embedded writes hold the interpreter lock for hundreds of milliseconds, and its HTTP client is synchronous without a time limit: neither may live
in the process that serves. Calls come on standard input and are answered on standard output, one at a time: 4 bytes of length, big-endian, then JSON. The
first frame says which store to open. The process ends when its input does, so it outlives no gateway, however that one died.

An answer is `{"ok": ...}` or `{"error": code, "fault": class}`; never an exception's text, which may hold content.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import queue
import signal
import sqlite3
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_COLLECTION = "sluice_documents"
_LABEL, _TENANT = "_label", "_tenant"
_LENGTH = struct.Struct(">I")
_STATE = struct.Struct("<Q?")  # how often the folder was written to, and whether deleted text is still in its files
_LOCK_WAIT_S = 8.0
_IDLE_S = 0.5
_GRACE_S = 5.0
_SCRUB_LIMIT_BYTES = 512 << 20  # a vacuum rewrites the file: about 100 MB/s on a small machine


class RefusedError(Exception):
    """A call that is answered with `code`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Folder:
    """A folder that embedded Chroma keeps, shared safely with other processes.

    Chroma itself supports one process a folder. So every call holds an exclusive lock on one file, and who finds that another has written meanwhile opens
    Chroma anew (10 ms) instead of trusting what it has in memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._seen: int | None = None
        self._state = (0, False)

    def client(self) -> Any:
        """Open Chroma."""
        import chromadb  # noqa: PLC0415 - half a second that only the child may spend
        from chromadb.config import Settings  # noqa: PLC0415 - likewise

        settings = Settings(anonymized_telemetry=False, _env_file=None)
        return chromadb.PersistentClient(str(self._path), settings=settings)

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Keep every other process out; yields whether one of them has written since the last time (or the folder is a new one)."""
        self._acquire()
        try:
            raw = os.pread(self._fd, _STATE.size, 0)
            self._state = _STATE.unpack(raw) if len(raw) == _STATE.size else (0, False)
            changed = self._seen != self._state[0]
            self._seen = self._state[0]
            yield changed
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def wrote(self, *, dropped_text: bool) -> None:
        """Tell the others, before the write, that what they have in memory is old; `dropped_text` that a scrub is due."""
        self._save(self._state[0] + 1, self._state[1] or dropped_text)

    @property
    def scrub_due(self) -> bool:
        """Whether text that was deleted is still in the files."""
        return self._state[1]

    def scrub(self, collection: Any) -> None:
        """Remove deleted and replaced text from the files. To be called while held.

        Chroma keeps it in three places: free pages of the database, the full-text index, and the write-ahead queue, where the metadata half of an entry
        is dead once the metadata segment has applied it. What remains are the vectors of up to `sync_threshold` (1,000) writes.
        """
        file = self._path / "chroma.sqlite3"
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=_LOCK_WAIT_S)) as database:
            database.execute(
                "UPDATE embeddings_queue SET metadata = NULL WHERE metadata IS NOT NULL AND topic LIKE '%' || :collection AND seq_id <= (SELECT seq_id"
                " FROM max_seq_id JOIN segments ON segment_id = segments.id WHERE scope = 'METADATA' AND collection = :collection)",
                {"collection": str(collection.id)},
            )
            if file.stat().st_size <= _SCRUB_LIMIT_BYTES:
                database.execute("INSERT INTO embedding_fulltext_search(embedding_fulltext_search) VALUES ('optimize')")
                database.execute("VACUUM")
        self._save(self._state[0], due=False)

    def forget_scrub(self) -> None:
        """Give a scrub up that fails: it is due again after the next delete."""
        self._state = (self._state[0], False)

    def _save(self, generation: int, due: bool) -> None:
        os.pwrite(self._fd, _STATE.pack(generation, due), 0)
        self._state, self._seen = (generation, due), generation

    def _acquire(self) -> None:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            self._open()
            if _try_lock(self._fd):
                if os.fstat(self._fd).st_nlink:
                    return
                fcntl.flock(self._fd, fcntl.LOCK_UN)  # the folder was removed under us: begin again in a new one
                os.close(self._fd)
                self._fd, self._seen = -1, None
            if time.monotonic() > deadline:
                raise RefusedError("locked")
            time.sleep(0.002)

    def _open(self) -> None:
        if self._fd >= 0 and os.fstat(self._fd).st_nlink:
            return
        if self._fd >= 0:
            os.close(self._fd)
            self._seen = None
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["SQLITE_TMPDIR"] = str(self._path)  # a vacuum's working copy holds documents: it stays where they are allowed
        self._fd = os.open(self._path / ".sluice-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


class Server:
    """A Chroma server; it does its own locking."""

    scrub_due = False

    def __init__(self, url: str) -> None:
        self._url = url

    def client(self) -> Any:
        """Connect."""
        import chromadb  # noqa: PLC0415 - half a second that only the child may spend
        from chromadb.config import Settings  # noqa: PLC0415 - likewise

        settings = Settings(anonymized_telemetry=False, _env_file=None)
        return chromadb.HttpClient(host=self._url, settings=settings)  # a whole URL: a bare host that starts with "http" or is IPv6 is misread

    def held(self) -> contextlib.AbstractContextManager[bool]:
        """Hold nothing."""
        return contextlib.nullcontext(enter_result=False)

    def wrote(self, *, dropped_text: bool) -> None:
        """Tell nobody."""

    def scrub(self, collection: Any) -> None:
        """Leave the server's files to the server."""

    def forget_scrub(self) -> None:
        """Do nothing: nothing is ever due."""


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
        with self._opened() as collection:
            found = collection.query(
                query_embeddings=[_vector(vector)],
                n_results=limit,
                where={"$and": conditions} if where else conditions[0],
                include=["documents", "metadatas", "distances"],
            )
        rows = zip(found["ids"][0], found["documents"][0], found["metadatas"][0], found["distances"][0], strict=True)
        return [
            {
                "id": document_id,
                "text": text,
                "metadata": {key: metadata[key] for key in sorted(metadata) if not key.startswith("_")},
                "label": metadata[_LABEL],
                "score": min(1.0, max(0.0, 1.0 - distance)),
            }
            for document_id, text, metadata, distance in rows
        ]

    def scrub(self) -> None:
        """Remove deleted text from the files, where that is ours to do."""
        try:
            with self._opened() as collection:
                if self._place.scrub_due:  # another process may have done it meanwhile
                    self._place.scrub(collection)
        except Exception:  # noqa: BLE001 - store adapter, foreign code: the documents are served all the same, and the next delete tries again
            self._place.forget_scrub()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        with self._place.held() as changed:
            if changed:
                self._drop()
            try:
                if self._collection is None:
                    self._client = self._place.client()
                    self._collection = self._open(self._client)
                yield self._collection
            except RefusedError:
                raise
            except Exception:
                self._drop()  # whatever it was, the next call begins afresh
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

    def _drop(self) -> None:
        client, self._client, self._collection = self._client, None, None
        if client is not None:
            with contextlib.suppress(Exception):  # it is given up either way
                client.close()


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
    except RefusedError as exc:
        return {"error": exc.code, "fault": ""}
    except Exception as exc:  # noqa: BLE001 - store adapter, foreign code: the caller counts what it is told here
        return {"error": "broken", "fault": type(exc).__name__}


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


def _metadata(document: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored of a document. Chroma's upsert merges metadata with what was there, so what is gone is named with None."""
    gone = dict.fromkeys(old)
    return {**gone, **document["metadata"], _LABEL: document["label"], _TENANT: document["tenant"]}


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hold_to(host: str | None, port: int | None) -> None:
    """Refuse, for the rest of this process, every look-up and connection that Python code makes, but those to `host` and `port`."""

    def audit(event: str, args: tuple[Any, ...]) -> None:
        looked_up = event == "socket.getaddrinfo" and args[0] != host
        connected = event == "socket.connect" and isinstance(args[1], tuple) and args[1][1] != port
        if looked_up or connected:
            raise PermissionError("not the address of the document store")

    sys.addaudithook(audit)


def main() -> None:
    """Serve on the standard streams, which then belong to nobody else: a library that prints must not break a frame."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the gateway's: it ends this process when it has finished
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    hold_to(sys.argv[1] if len(sys.argv) > 1 else None, int(sys.argv[2]) if len(sys.argv) > 2 else None)
    serve(calls, answers)


if __name__ == "__main__":
    main()
