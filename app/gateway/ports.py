"""What the gateway asks of the world outside: lanes, a cache, an embedder, a vector store, a second opinion. Each has at least two real implementations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from app.domain import Call, Label, Window
    from app.domain_opinion import Spotted
    from app.errors import UpstreamError


class Answer(Protocol):
    """An upstream's answer whose status was 2xx, in OpenAI's dialect. The caller reads it to its end, or closes it."""

    dropped_params: tuple[str, ...]

    async def body(self) -> bytes:
        """Return the whole answer as a `chat.completion` object. Raises UpstreamError."""
        ...

    def events(self) -> AsyncIterator[bytes]:
        """Yield the bytes of a server-sent event stream of `chat.completion.chunk` objects, cut anywhere.

        A lane raises UpstreamError when its upstream breaks, or ends without its dialect's own end.
        """
        ...

    def offer(self, take: Callable[[bytes], bool]) -> None:
        """From now on offer bytes that arrive while `events` is waited for to `take`, which says whether it took them; `events` yields what it did not.

        A chunk that is taken so wakes no task. A lane that has no bytes to pass on as they come offers none.
        """
        ...

    def error_inside(self, error: Mapping[str, Any]) -> UpstreamError:
        """Return what an error object inside the stream means."""
        ...

    def close(self) -> None:
        """Give up what is left: the connection is closed unless the answer was read to its end. Idempotent."""
        ...


class Lane(Protocol):
    """One way to make an attempt."""

    async def open(self, call: Call) -> Answer:
        """Send the call and return its answer once the status is known to be 2xx. Raises UpstreamError."""
        ...


class Cache(Protocol):
    """Answers by key, for a time. Never raises: a store that fails is a miss, and is counted."""

    async def get(self, key: bytes) -> bytes | None:
        """Return what is stored and not yet expired."""
        ...

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Store `value` for `ttl_s` seconds."""
        ...


class Rests(Protocol):
    """Tells other replicas which deployments rest. Never raises, never waits."""

    def tell(self, name: str, seconds: float) -> None:
        """Say that a deployment rests for so long from now on."""
        ...


class Quota(Protocol):
    """A rate limit that replicas share. Never raises and never hangs: a store that fails is counted, and cannot say."""

    async def hit(self, key: str) -> Window | None:
        """Count one hit of `key`; None when the store cannot say, and the caller counts in process."""
        ...


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    name: str  # names the vector space: vectors of two names cannot be compared
    clearance: Label

    async def embed(self, texts: Sequence[str], label: Label) -> list[list[float]]:
        """Return one vector a text. Raises UpstreamError or UnavailableError."""
        ...


class VectorStore(Protocol):
    """Stores texts with their vectors, and finds the nearest. Raises UnavailableError, with what to do, when it cannot serve."""

    clearance: Label

    async def add(self, documents: Sequence[Mapping[str, Any]], *, max_label: Label) -> None:
        """Store documents (`id`, `text`, `metadata`, `label`, `tenant`, `vector`), each in the place of one of its id.

        Raises ConflictError, and stores none, when an id belongs to a document above `max_label`.
        """
        ...

    async def delete(self, document_id: str, *, max_label: Label) -> bool:
        """Delete one document of at most that label; False where there is none."""
        ...

    async def search(self, vector: Sequence[float], *, limit: int, max_label: Label, where: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """Return the nearest documents of at most that label: `id`, `text`, `metadata`, `label`, `score` in 0..1, best first."""
        ...


class OpinionReader(Protocol):
    """Reads a text for what a scanner of patterns does not find."""

    async def read(self, text: str, *, tenant: str, timeout_s: float) -> Sequence[Spotted]:
        """Return what is sensitive in `text`. Raises UpstreamError, also for an answer that is not of the shape that was asked for."""
        ...


class Marks(Protocol):
    """Which marks (keyed hashes of 16 bytes) a tenant left behind, for a time. Never raises and never hangs: this process's own memory always serves."""

    @property
    def status(self) -> str:
        """`ok`, or a word or sentence that says why other replicas' marks are not seen."""
        ...

    def may_hold(self, tenant: str) -> bool:
        """Say, without asking anybody, whether the tenant can have left anything behind."""
        ...

    async def known(self, tenant: str, marks: Sequence[bytes]) -> frozenset[bytes]:
        """Return those of `marks` that the tenant left behind and that have not expired."""
        ...

    async def add(self, tenant: str, marks: Sequence[bytes]) -> None:
        """Keep these marks, anew where they are kept already."""
        ...
