"""What the lane asks of each provider's dialect, and what the dialects share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.faults import failure_in_stream
from app.providers.translate.framing import ServerSentEvents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from app.domain import Deployment
    from app.providers.translate.framing import Framing
    from app.providers.translate.pieces import Piece, Spoken
    from app.providers.translate.wanted import Limits, Wanted

# The names of two things that LiteLLM puts among its parameters for its own use; a provider would refuse them.
INTERNAL_PARAMS = ("json_mode", "fake_stream")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it goes on the wire.

    `schema_tool` names the tool that stands for a JSON schema; `forces_call`: the answer's text is a call; `renamed` gives tools their own names back;
    `dropped` is what turned out untranslatable.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    schema_tool: str | None = None
    forces_call: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict, repr=False)
    dropped: frozenset[str] = frozenset()


class Dialect(Protocol):
    """One deployment's dialect; holds what its requests have in common."""

    limits: Limits

    def build(self, wanted: Wanted, *, stream: bool) -> Outgoing:
        """Translate a request. May raise anything that LiteLLM raises."""
        ...

    def whole(self, answer: dict[str, Any]) -> Spoken:
        """Read a whole answer. May raise anything that LiteLLM raises."""
        ...

    def reader(self) -> Reader:
        """Return what reads one stream."""
        ...


class Reader:
    """Reads one stream. `ended` is set by the dialect's own end, `usage` and `model` once the provider has said them.

    `remote` is an event that says that another host gives the answer (Ollama's alone do).
    """

    def __init__(self, deployment: Deployment, framing: Framing | None = None) -> None:
        self._deployment = deployment
        self._framing: Framing = framing if framing is not None else ServerSentEvents()
        self.ended = False
        self.usage: dict[str, Any] | None = None
        self.model: str | None = None
        self.remote: dict[str, Any] | None = None

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Take bytes and yield the pieces that they complete. Raises UpstreamError, and anything that LiteLLM raises, after the pieces before it."""
        return self._read(self._framing.feed(data))

    def flush(self) -> Iterator[Piece]:
        """Take the body's end."""
        return self._read(self._framing.flush())

    def beats(self) -> bool:
        """Say whether the provider has said since the last time that it is still there."""
        alive, self._framing.alive = self._framing.alive, False
        return alive

    def _read(self, events: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[Piece]:
        for kind, event in events:
            refuse_error(event, self._deployment)
            for piece in self.event(kind, event):
                if piece.says_something:
                    yield piece
            if self.ended:  # what comes after the end is no part of the answer
                return

    def event(self, kind: str, event: dict[str, Any]) -> list[Piece]:
        """Return what one event says."""
        raise NotImplementedError


def refuse_error(answer: Mapping[str, Any], deployment: Deployment) -> None:
    """Raise what an error object means that came with status 200."""
    if answer.get("error") or answer.get("type") == "error":
        raise failure_in_stream(answer, provider=deployment.provider, deployment=deployment)


def joined(deployment: Deployment, path: str) -> str:
    """Return a dialect's path below the deployment's address, which may end anywhere on the way (`https://host`, `https://host/v1`, ...)."""
    base = urlsplit(deployment.base_url).path.rstrip("/")
    if base.endswith(path):
        return base
    steps = path.strip("/").split("/")
    for count in range(len(steps) - 1, 0, -1):
        start = "/" + "/".join(steps[:count])
        if base.endswith(start):
            return base.removesuffix(start) + path
    return base + path


def checked_path(url: str, deployment: Deployment) -> str:
    """Return the path and query of a URL that LiteLLM built. Raises UpstreamError when it is of another origin than the deployment's."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    address = deployment.address
    if address is None or (parts.scheme, parts.hostname, port) != (address.scheme, address.host.lower(), address.port):
        raise UpstreamError(Failure.BROKEN, remedy=f"LiteLLM built an address for `{deployment.name}` that is not the configuration's.", sent=False)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def unhonoured(wanted: Wanted, mapped: Mapping[str, Any], shown_as: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the parameters that LiteLLM was given and left out without a word: none of the names that each would have is among `mapped`."""
    return frozenset(name for name, names in shown_as.items() if name in wanted.params and names.isdisjoint(mapped))
