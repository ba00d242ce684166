"""The document collection: Chroma, embedded at a path or a server by URL, always behind a child process (`chroma_worker`)."""

from __future__ import annotations

import asyncio
import base64
from array import array
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import orjson

from app.config.sections import LOCAL_NETWORKS
from app.domain import Label
from app.errors import ConflictError, UnavailableError
from app.services.child_process import ChildBusyError, ChildDownError, ChildProcess
from app.utils.logging import get_logger
from app.utils.monitoring import DEGRADED, FAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network
    from pathlib import Path

_WORKER = ("-m", "app.services.chroma_worker")
_PART = "vector_store"
_READ_TIMEOUT_S = 15.0
_WRITE_TIMEOUT_S = 60.0  # 1,000 documents take 0.4 s on a quiet machine; killed while it writes, Chroma may be left damaged

_AT_PATH = (
    "The document store at CHROMA_PATH cannot be read or written. Make sure that the folder can be written to and its disk has room; move a damaged folder"
    " away and add the documents again, or set CHROMA_PATH to another folder."
)
_AT_URL = "The document store at CHROMA_URL does not answer as a Chroma server should. Start it (`chroma run`) or correct CHROMA_URL."
_EMBEDDER = (
    "The stored documents were embedded by another embedder than the one configured, so they cannot be compared. Configure the former embedder again, or {}"
    " and add the documents again."
)
_REMEDIES = {
    "locked": "Another process holds the document store at CHROMA_PATH for too long. Try again; if it stays so, end that process or set CHROMA_URL.",
    "peer_not_local": (
        "CHROMA_URL leads to an address outside local_networks, where confidential documents may not go. Point it at a server inside them, add the server's"
        " network to local_networks, or set search.clearance to internal."
    ),
    "not_installed": "Chroma is not installed. Run `make install`.",
}

log = get_logger(_PART)


class ChromaStore:
    """Documents in Chroma (`ports.VectorStore`). Made by `embedded` or `server`; nothing is started before the first call."""

    def __init__(self, child: ChildProcess, *, clearance: Label, broken: str, embedder_remedy: str) -> None:
        self.clearance = clearance
        self._child = child
        self._broken = broken
        self._embedder_remedy = embedder_remedy
        self._state: Literal["idle", "ready", "down"] = "idle"
        DEGRADED.labels("store").set(0)

    @classmethod
    def embedded(cls, path: Path, *, embedder: str, clearance: Label = Label.CONFIDENTIAL) -> ChromaStore:
        """Keep documents in the folder `path`. Several gateway processes may share it; they take turns.

        `embedder` names the vector space; a collection that holds vectors of another is refused.
        """
        greeting = orjson.dumps({"path": str(path.expanduser().absolute()), "embedder": embedder})
        child = ChildProcess(_WORKER, greeting)
        return cls(child, clearance=clearance, broken=_AT_PATH, embedder_remedy="set CHROMA_PATH to another folder")

    @classmethod
    def server(cls, url: str, *, embedder: str, clearance: Label, local_networks: Sequence[IPv4Network | IPv6Network] = LOCAL_NETWORKS) -> ChromaStore:
        """Keep documents on the Chroma server at `url` (http or https, host, port), which may hold documents of up to `clearance`. Raises ValueError.

        One cleared for confidential is connected to inside `local_networks` alone, whatever its name leads to.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("CHROMA_URL must look like http://127.0.0.1:8000: scheme, host and port, and nothing else")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        greeting = orjson.dumps({"url": f"{parts.scheme}://{host}:{port}", "embedder": embedder})
        networks = [str(network) for network in local_networks] if clearance is Label.CONFIDENTIAL else []
        if clearance is Label.CONFIDENTIAL and not networks:
            raise ValueError("local_networks is empty, so that no server may hold confidential documents; set search.clearance to internal")
        child = ChildProcess((*_WORKER, parts.hostname, str(port), *networks), greeting)
        return cls(child, clearance=clearance, broken=_AT_URL, embedder_remedy="point CHROMA_URL at another server")

    @property
    def state(self) -> Literal["idle", "ready", "down"]:
        """How the last call went; `idle` before the first."""
        return self._state

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._child.pid

    async def add(self, documents: Sequence[Mapping[str, Any]], *, max_label: Label) -> None:
        """Store documents (`id`, `text`, `metadata`, `label`, `tenant`, `vector`), each in the place of one of its id.

        Raises ConflictError, and stores none, when an id belongs to a document above `max_label`; UnavailableError.
        """
        payload = await asyncio.to_thread(_add_frame, documents, max_label)
        await self._call(payload, _WRITE_TIMEOUT_S)

    async def delete(self, document_id: str, *, max_label: Label) -> bool:
        """Delete one document of at most that label; False where there is none. Raises UnavailableError."""
        payload = orjson.dumps({"op": "delete", "document_id": document_id, "max_label": int(max_label)})
        return bool(await self._call(payload, _WRITE_TIMEOUT_S))

    async def search(self, vector: Sequence[float], *, limit: int, max_label: Label, where: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """Return the nearest documents of at most that label whose metadata equals `where`, best first.

        Each has `id`, `text`, `metadata`, `label` and `score`: the cosine similarity, 0 where it is negative. Raises UnavailableError.
        """
        payload = orjson.dumps({"op": "search", "vector": _pack(vector), "limit": limit, "max_label": int(max_label), "where": where or {}})
        found = await self._call(payload, _READ_TIMEOUT_S)
        return [{**document, "label": Label(document["label"])} for document in found]

    async def close(self) -> None:
        """End the child process."""
        await self._child.close()

    async def _call(self, payload: bytes, timeout_s: float) -> Any:
        try:
            answer = await self._child.call(payload, timeout_s=timeout_s)
        except ChildBusyError:
            raise UnavailableError("The document store is busy. Try again in a moment.", code="search_busy", headers={"retry-after": "1"}) from None
        except ChildDownError as exc:
            raise self._unavailable(exc.reason, type(exc).__name__, exc.retry_after_s) from exc
        if "error" in answer and answer["error"] != "id_taken":
            raise self._unavailable(answer["error"], answer["fault"], 5.0)
        self._state = "ready"
        DEGRADED.labels("store").set(0)
        if "error" in answer:
            raise ConflictError("One of these ids cannot be used. Choose others, or leave them out to have them generated.", code="document_id_taken")
        return answer["ok"]

    def _unavailable(self, reason: str, fault: str, retry_after_s: float) -> UnavailableError:
        self._state = "down"
        DEGRADED.labels("store").set(1)
        FAULTS.labels(_PART).inc()
        log.warning("vector_store_unavailable", reason=reason, fault=fault)
        message = _EMBEDDER.format(self._embedder_remedy) if reason == "embedder_differs" else _REMEDIES.get(reason, self._broken)
        return UnavailableError(message, code="search_unavailable", headers={"retry-after": str(round(retry_after_s))})


def _add_frame(documents: Sequence[Mapping[str, Any]], max_label: Label) -> bytes:
    """Return the call as bytes, document by document, so that the interpreter lock is free in between."""
    fragments = [orjson.Fragment(orjson.dumps({**document, "label": int(document["label"]), "vector": _pack(document["vector"])})) for document in documents]
    return orjson.dumps({"op": "add", "max_label": int(max_label), "documents": fragments})


def _pack(vector: Sequence[float]) -> str:
    """Return 32-bit floats, little-endian (as every machine that Chroma is built for), in base64: a fifth of their decimal length."""
    return base64.b64encode(array("f", vector).tobytes()).decode("ascii")
