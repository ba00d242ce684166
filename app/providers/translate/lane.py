"""The translate lane: LiteLLM writes the request and reads the answer as pure functions; every byte goes over our own wire."""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.ask import ask
from app.providers.faults import failure_in_stream
from app.providers.residence import Residence
from app.providers.translate import foreign, openai
from app.providers.translate.dialect import refuse_error
from app.providers.translate.forced_call import ForcedCall
from app.providers.translate.framing import parse_object
from app.providers.translate.schema_tool import SchemaTool
from app.providers.translate.wanted import want

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from app.domain import Call, Deployment
    from app.providers.translate.dialect import Dialect, Outgoing, Reader
    from app.providers.translate.pieces import Piece
    from app.providers.wire import Wire
    from app.providers.wire_response import WireResponse

_P = ParamSpec("_P")
_T = TypeVar("_T")
_DIALECTS = {
    "anthropic": ("anthropic", "AnthropicDialect"),
    "bedrock": ("bedrock", "BedrockDialect"),
    "cohere": ("cohere", "CohereDialect"),
    "cohere_chat": ("cohere", "CohereDialect"),
    "gemini": ("gemini", "GeminiDialect"),
    "ollama": ("ollama", "OllamaDialect"),
    "ollama_chat": ("ollama", "OllamaDialect"),
}
_DRAIN_S = 0.05  # how long a whole stream's connection may take to end, so that it can be used again


class TranslateLane:
    """Makes attempts at deployments that speak a dialect of their own. `load` was called before."""

    def __init__(self, wire: Wire, residence: Residence | None = None) -> None:
        self._wire = wire
        self._residence = Residence(wire) if residence is None else residence
        self._dialects: dict[str, tuple[Deployment, Dialect]] = {}

    async def open(self, call: Call) -> TranslatedAnswer:
        """Send the call and return its answer once the status is known to be 2xx. Raises UpstreamError."""
        deadline = asyncio.get_running_loop().time() + call.timeout_s
        dialect, outgoing, dropped = self._build(call)
        await self._residence.check(call)
        response = await ask(
            self._wire,
            call.label,
            call.deployment,
            path=outgoing.path,
            headers=outgoing.headers,
            body=outgoing.body,
            connect_s=call.connect_s,
            timeout_s=call.timeout_s,
            idle_s=call.idle_s,
        )
        return TranslatedAnswer(response, call, dialect, outgoing, self._residence, dropped_params=dropped, deadline=deadline)

    def _build(self, call: Call) -> tuple[Dialect, Outgoing, tuple[str, ...]]:
        """Return the request and what is left out of it. This edge catches whatever LiteLLM raises."""
        deployment = call.deployment
        dialect: Dialect | None = None
        try:
            dialect = self._dialect(deployment)
            wanted = want(call.body, dialect.limits)
            outgoing = dialect.build(wanted, stream=call.stream)
        except UpstreamError:
            raise
        except Exception as exc:  # noqa: BLE001 - foreign code; counted in `building`
            raise foreign.building(exc, deployment.provider, reads_body=dialect is not None) from None
        return dialect, outgoing, tuple(sorted(wanted.dropped | outgoing.dropped))

    def _dialect(self, deployment: Deployment) -> Dialect:
        known = self._dialects.get(deployment.name)
        if known is not None and known[0] is deployment:
            return known[1]
        module, name = _DIALECTS[deployment.provider]
        dialect: Dialect = getattr(importlib.import_module(f"app.providers.translate.{module}"), name)(deployment)
        self._dialects[deployment.name] = (deployment, dialect)
        return dialect


class TranslatedAnswer:
    """An upstream's 2xx answer, unread; read once, whole or as a stream."""

    def __init__(
        self,
        response: WireResponse,
        call: Call,
        dialect: Dialect,
        outgoing: Outgoing,
        residence: Residence,
        *,
        dropped_params: tuple[str, ...],
        deadline: float,
    ) -> None:
        self.dropped_params = dropped_params
        self._response = response
        self._call = call
        self._deployment = call.deployment
        self._residence = residence
        self._dialect = dialect
        self._outgoing = outgoing
        self._deadline = deadline
        self._turned: SchemaTool | ForcedCall | None = SchemaTool(outgoing.schema_tool) if outgoing.schema_tool is not None else None
        if outgoing.forces_call:
            self._turned = ForcedCall(call.deployment.name)

    async def body(self) -> bytes:
        """Return the whole answer as a `chat.completion`. Raises UpstreamError."""
        answer = parse_object(await self._response.read(_left(self._deadline)))
        refuse_error(answer, self._deployment)
        self._residence.refuse(self._call, answer)
        return self._reading(self._completion, answer)

    def _completion(self, answer: dict[str, Any]) -> bytes:
        spoken = self._dialect.whole(answer)
        return openai.completion(replace(spoken, pieces=tuple(self._settled(spoken.pieces))), self._deployment.model)

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the stream in OpenAI's dialect. Raises UpstreamError when the upstream breaks, or ends without its dialect's own end."""
        reader = self._reading(self._dialect.reader)
        writer: openai.ChunkWriter | None = None
        chunks = self._response.chunks()
        async for pieces in self._pieces(chunks, reader):
            if writer is None:
                writer = openai.ChunkWriter(reader.model or self._deployment.model)
            written = b"".join(writer.write(piece) for piece in pieces)
            if written or not pieces:
                yield written or openai.KEEP_ALIVE
        if not reader.ended or writer is None:
            raise UpstreamError(Failure.BROKEN)
        yield writer.end(reader.usage)
        await self._drain(chunks)

    async def _pieces(self, chunks: AsyncIterator[bytes], reader: Reader) -> AsyncIterator[list[Piece]]:
        """Yield what each of the upstream's chunks says, when it says something, and nothing for one that only says that the provider is still there.

        What it said before it broke is yielded too. Until it says something the call's own deadline holds.
        """
        data: bytes | None = b""
        said = False
        while data is not None and not reader.ended:
            data = await (anext(chunks, None) if said else self._first(chunks))
            read, fault = self._read(reader.flush() if data is None else reader.feed(data))
            if reader.remote is not None:
                self._residence.refuse(self._call, reader.remote)
            pieces = self._settled(read)
            beats = reader.beats() and said
            if pieces or beats:
                said = True
                yield pieces
            if fault is not None:
                raise fault

    def _read(self, pieces: Iterator[Piece]) -> tuple[list[Piece], UpstreamError | None]:
        """Return what can be read, and what stopped the reading."""
        read: list[Piece] = []
        try:
            self._reading(read.extend, pieces)  # keeps what came before a fault
        except UpstreamError as fault:
            return read, fault
        return read, None

    async def _first(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await anext(chunks, None)
        except TimeoutError:
            self.close()
            raise UpstreamError(Failure.TIMEOUT) from None

    async def _drain(self, chunks: AsyncIterator[bytes]) -> None:
        """Read to the body's end, so that the connection can be used again; a server that leaves it open loses it."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                async for _ in chunks:
                    pass
        except (TimeoutError, UpstreamError):
            self.close()

    def _settled(self, pieces: Iterable[Piece]) -> list[Piece]:
        """Give renamed tools their own names back, the schema's tool its place as content, and the text of a forced call its place as one."""
        named = [self._named(piece) for piece in pieces] if self._outgoing.renamed else list(pieces)
        return named if self._turned is None else [out for piece in named for out in self._turned.take(piece)]

    def _named(self, piece: Piece) -> Piece:
        return replace(piece, tools=tuple(replace(tool, name=self._outgoing.renamed.get(tool.name or "", tool.name)) for tool in piece.tools))

    def _reading(self, read: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call LiteLLM's readers. This edge catches whatever they raise."""
        try:
            return read(*args, **kwargs)
        except UpstreamError:
            raise
        except Exception as exc:  # noqa: BLE001 - foreign code; counted in `reading`
            raise foreign.reading(exc, self._deployment.provider) from None

    def offer(self, take: Callable[[bytes], bool]) -> None:
        """Offer nothing: what comes is read and written anew."""

    def error_inside(self, error: Mapping[str, Any]) -> UpstreamError:
        """Return what an error object means; this lane's own streams hold none, it raises instead."""
        return failure_in_stream(error, provider=self._deployment.provider, deployment=self._deployment)

    def close(self) -> None:
        """Give up what is left. Idempotent."""
        self._response.close()


def _left(deadline: float) -> float:
    return max(0.001, deadline - asyncio.get_running_loop().time())
