"""Embedders (`ports.Embedder`): one that is in the installation, and any embedding deployment of the configuration."""

from __future__ import annotations

import asyncio
import math
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from app.domain import Failure, Label
from app.errors import AttemptsFailedError, LabelNotClearedError, UnavailableError, UpstreamError
from app.utils.logging import get_logger
from app.utils.monitoring import FAULTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from app.domain import Deployment

    Send = Callable[[Label, Deployment, str, bytes], Awaitable[bytes]]

log = get_logger("embeddings")

_SLICE = 32  # texts tokenised at once: 100,000 characters each are then some 50 MB of token lists
_BATCH = 128  # texts a remote call: OpenAI takes 2,048 and 300,000 tokens, others less


class WordLlamaEmbedder:
    """The token vectors that the `wordllama` wheel carries, averaged: ranks by meaning, needs no network and no model server (16 µs a short text).

    The package itself is not imported (its loader looks for the tokenizer in the wrong folder and then downloads); the two files are read as they are.
    Everything is loaded at the first use, in 0.1 s.
    """

    name = "wordllama/l2_supercat_256"
    clearance = Label.CONFIDENTIAL

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._parts: tuple[Any, Any] | None = None

    async def embed(self, texts: Sequence[str], label: Label) -> list[list[float]]:  # noqa: ARG002 - the port's; nothing leaves this process
        """Return one unit vector of 256 a text, all zeros for a text without a token. Raises UnavailableError when the wheel's files are missing."""
        return await asyncio.to_thread(self._embed, texts)

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        import numpy as np  # noqa: PLC0415 - at first use: the gateway starts and idles without it

        tokenizer, weights = self._load()
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _SLICE):
            for encoding in tokenizer.encode_batch_fast(list(texts[start : start + _SLICE]), add_special_tokens=False):
                ids = np.asarray(encoding.ids, dtype=np.int64)
                mean = weights[ids].mean(axis=0, dtype=np.float32) if len(ids) else np.zeros(weights.shape[1], dtype=np.float32)
                norm = float(np.linalg.norm(mean))
                vectors.append((mean / norm if norm else mean).tolist())
        return vectors

    def _load(self) -> tuple[Any, Any]:
        with self._loading:
            if self._parts is None:
                self._parts = _read_wheel()
            return self._parts


def _read_wheel() -> tuple[Any, Any]:
    """Return the tokenizer and the weights (32,000 rows of 256, float16) of the installed wheel."""
    try:
        from safetensors.numpy import load_file  # noqa: PLC0415 - at first use, see above
        from tokenizers import Tokenizer  # noqa: PLC0415 - likewise

        spec = find_spec("wordllama")
        folder = Path((spec.submodule_search_locations or [""])[0] if spec is not None else "")
        tokenizer = Tokenizer.from_str((folder / "tokenizers" / "l2_supercat_tokenizer_config.json").read_text(encoding="utf-8"))
        return tokenizer, load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    except (ImportError, OSError, KeyError) as exc:
        FAULTS.labels("embedder").inc()
        raise UnavailableError(
            "The built-in embedder's files are missing. Run `make install`, or name an embedding deployment in the configuration.",
            code="search_unavailable",
        ) from exc


class RemoteEmbedder:
    """An embedding deployment of the configuration, asked in OpenAI's dialect (`POST /embeddings`).

    `send(label, deployment, path, body)` makes the call through egress, `path` below the deployment's base URL, and returns a 2xx answer's body or raises
    UpstreamError. What is above the deployment's clearance is refused before it is called. `timeout_s` is for all calls that some texts take.
    """

    def __init__(self, deployment: Deployment, send: Send, timeout_s: float = 600.0) -> None:
        self.name = f"{deployment.provider}/{deployment.model}"
        self.clearance = deployment.clearance
        self._deployment = deployment
        self._send = send
        self._timeout_s = timeout_s

    async def embed(self, texts: Sequence[str], label: Label) -> list[list[float]]:
        """Return one unit vector a text. Raises LabelNotClearedError and AttemptsFailedError."""
        if label > self.clearance:
            raise LabelNotClearedError(f"The embedding deployment is cleared for {self.clearance}, and this is {label}.")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._embed(texts, label)
        except (TimeoutError, UpstreamError) as exc:
            error = exc if isinstance(exc, UpstreamError) else UpstreamError(Failure.TIMEOUT)
        name, remedy = self._deployment.name, {"remedy": error.remedy} if error.remedy else {}
        log.warning("embedding_failed", deployment=name, code=error.label, failure=str(error.failure), **remedy)
        raise AttemptsFailedError([(name, error)]) from error

    async def _embed(self, texts: Sequence[str], label: Label) -> list[list[float]]:
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            body = orjson.dumps({"model": self._deployment.model, "input": batch, "encoding_format": "float"})
            answer = await self._send(label, self._deployment, "/embeddings", body)
            vectors += await asyncio.to_thread(_read_vectors, answer, len(batch))
        return vectors


class AbsentEmbedder:
    """Stands for an embedding deployment that is configured but inactive: nothing is embedded by another in its place."""

    clearance = Label.CONFIDENTIAL

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self._why = why

    async def embed(self, texts: Sequence[str], label: Label) -> list[list[float]]:  # noqa: ARG002 - the port's
        """Raise UnavailableError, which says what to set."""
        raise UnavailableError(f"The embedding deployment '{self.name}' is inactive: {self._why}. Set it and restart.", code="search_unavailable")


def _read_vectors(answer: bytes, count: int) -> list[list[float]]:
    """Return the unit vectors of an OpenAI `CreateEmbeddingResponse`, in the order of the texts."""
    try:
        rows = orjson.loads(answer)["data"]
        by_index = {row["index"]: [float(number) for number in row["embedding"]] for row in rows}
        vectors = [by_index[index] for index in range(count)]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as exc:
        raise UpstreamError(Failure.BROKEN) from exc
    if not vectors[0] or any(len(vector) != len(vectors[0]) for vector in vectors):
        raise UpstreamError(Failure.BROKEN)
    return [_unit(vector) for vector in vectors]


def _unit(vector: list[float]) -> list[float]:
    norm = math.hypot(*vector)
    if not math.isfinite(norm):
        raise UpstreamError(Failure.BROKEN)
    return [number / norm for number in vector] if norm else vector
