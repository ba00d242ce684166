"""Streams of every lane and dialect as bytes, and a way to play them, cut or split anywhere, to a caller of the gateway, without a socket.

The bytes are the simulators' own answers to the requests that the lanes write.
"""

from __future__ import annotations

import asyncio
import copy
import copyreg
import json
import re
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app.domain import Attempt, Deployment, Facts, Failure, Label, LaneName, Plan, Price, Tenant
from app.errors import GatewayError, UpstreamError
from app.gateway.attempts import Walk
from app.gateway.bounds import ChatLimits
from app.gateway.cache_control import CacheControl
from app.gateway.flights import Flights
from app.gateway.hints import NO_HINTS
from app.gateway.receipt import Receipt
from app.gateway.reply import StreamReply, WholeReply
from app.gateway.request import ChatRequest
from app.gateway.stored import Place
from app.providers.relay import RelayLane
from app.providers.residence import Residence
from app.providers.translate import TranslateLane, load
from app.providers.translate.dialect import Outgoing
from app.providers.translate.lane import TranslatedAnswer
from tests.simulators import DIALECTS
from tests.simulators.faults import HEALTHY
from tests.simulators.script import Body, Stream
from tests.simulators.server import Received
from tests.unit.providers.translate.support import MODELS, FakeResponse, FakeWire, call, deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from app.providers.translate.dialect import Reader

load()
copyreg.pickle(MappingProxyType, lambda proxy: (MappingProxyType, (dict(proxy),)))  # LiteLLM's readers hold some, and are copied below

PROMPT_TOKENS = 7  # by estimate, where a provider does not count
PROVIDERS = ("openai", *sorted(MODELS))
_USAGE_METADATA = re.compile(rb'"usageMetadata":\{.*?\}\]\},')
_SIMULATORS = {"cohere_chat": "cohere", "ollama_chat": "ollama"}


@dataclass(frozen=True)
class Source:
    """One provider's stream: its chunks as they would arrive, and what it says."""

    to: Deployment
    chunks: tuple[bytes, ...] = field(repr=False)
    text: str

    @property
    def raw(self) -> bytes:
        return b"".join(self.chunks)


def target(provider: str) -> Deployment:
    price = Price(2e-6, 8e-6, 5e-7)
    if provider != "openai":
        return deployment(provider, price=price)
    return replace(deployment("anthropic", price=price), name="openai-test", provider="openai", model="gpt-4o", lane=LaneName.RELAY)


def lane_over(to: Deployment, wire: FakeWire) -> RelayLane | TranslateLane:
    return RelayLane(wire) if to.lane is LaneName.RELAY else TranslateLane(wire)  # type: ignore[arg-type]  # stands for the wire


async def source(provider: str, text: str) -> Source:
    """Return the stream in which a provider says `text`, a word a chunk."""
    to = target(provider)
    answer = await _answer(to, text, stream=True)
    assert isinstance(answer, Stream)
    chunks = (*answer.chunks, *answer.end)
    if provider == "gemini":  # it counts in each chunk, which makes a stream of one byte after the other twice as long to read
        chunks = (*(_USAGE_METADATA.sub(b"", chunk) for chunk in chunks[:-1]), chunks[-1])
    return Source(to, chunks, text)


async def whole_source(provider: str, text: str) -> bytes:
    """Return the answer in which a provider says `text` in one piece."""
    answer = await _answer(target(provider), text, stream=False)
    assert isinstance(answer, Body)
    return answer.content


async def _answer(to: Deployment, text: str, *, stream: bool) -> Body | Stream:
    wire = FakeWire(b"{}")
    answer = await lane_over(to, wire).open(call(to, stream=stream))
    answer.close()
    sent = wire.sent[-1]
    simulator = DIALECTS[_SIMULATORS.get(to.provider, to.provider)]()
    simulator.says = text
    simulator.api_key = None
    headers = (("host", f"{to.address.host}:{to.address.port}"), *sent["headers"]) if to.address else ()
    return simulator.answer(Received("POST", sent["path"], headers, sent["body"], 0.0, 0), HEALTHY)


class Cut(FakeResponse):
    """An answer whose connection breaks after its last part."""

    async def chunks(self) -> AsyncIterator[bytes]:
        async for part in super().chunks():
            yield part
        raise UpstreamError(Failure.BROKEN)


@dataclass
class Heard:
    """What the caller received, and the account of it."""

    raw: bytes
    receipt: Receipt
    refused: GatewayError | None = None

    @property
    def events(self) -> list[Any]:
        found = [line[6:] for line in self.raw.split(b"\n\n") if line.startswith(b"data: ")]
        return [None if data == b"[DONE]" else json.loads(data) for data in found]

    @property
    def is_clean(self) -> bool:
        return bool(self.raw.endswith(b"data: [DONE]\n\n"))

    @property
    def is_error(self) -> bool:
        """Whether it is refused, or ends in one typed error event."""
        if self.refused is not None:
            return not self.raw
        last = self.events[-1]
        return last is not None and bool(last["error"]["code"]) and b"[DONE]" not in self.raw

    @property
    def text(self) -> str:
        return "".join(choice["delta"].get("content") or "" for event in self.events if event for choice in event.get("choices", ()))

    @property
    def usages(self) -> list[Any]:
        return [event["usage"] for event in self.events if event and event.get("usage")]


async def play(to: Deployment, parts: Sequence[bytes], *, cut: bool = False, include_usage: bool = False, n: int = 1) -> Heard:
    """Return what a caller hears when a provider sends `parts`, and its connection then ends as it should, or is `cut`."""
    wire = FakeWire()
    wire.parts, wire.make = list(parts), Cut if cut else FakeResponse
    receipt = Receipt()
    reply = StreamReply(receipt, _walk(to, wire, stream=True, include_usage=include_usage, n=n), _nowhere())
    try:
        await reply.begin(60)
    except GatewayError as error:
        reply.drop()
        return Heard(b"", receipt, error)
    heard = b"".join([data async for data in reply.chunks()])
    await reply.finish()
    return Heard(heard, receipt)


async def play_whole(to: Deployment, answer: bytes) -> Heard:
    """Return what a caller who asked for no stream receives when a provider sends `answer`."""
    receipt = Receipt()
    reply = WholeReply(receipt, _walk(to, FakeWire(answer), stream=False), _nowhere())
    await reply.begin()
    await reply.finish()
    return Heard(reply.body, receipt)


def _walk(to: Deployment, wire: FakeWire, *, stream: bool, include_usage: bool = False, n: int = 1) -> Walk:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "stream": stream, "n": n}
    if include_usage:
        body["stream_options"] = {"include_usage": True}
    return Walk(
        Plan("rule", "pool", (Attempt(to, ""),)),
        ChatRequest(body, 100, Tenant("ann", "key:ann"), NO_HINTS, CacheControl()),
        Facts(Label.PUBLIC, "default", (), prompt_tokens=PROMPT_TOKENS),
        {to.lane: lane_over(to, wire)},
        ChatLimits(),
        asyncio.get_running_loop().time() + 60,
        stream,
    )


def _nowhere() -> Place:
    return Place(None, Flights(), None, CacheControl(), 60)


class _Resumed:
    """A dialect whose reader has read the beginning of a stream already."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def reader(self) -> Reader:
        return self._reader


def resumed(to: Deployment, reader: Reader, parts: Sequence[bytes]) -> TranslatedAnswer:
    """Return the answer whose `reader` goes on with `parts`, after which HTTP ends as it should."""
    dialect: Any = _Resumed(reader)
    response: Any = FakeResponse(list(parts), 200, {})
    residence = Residence(FakeWire())  # type: ignore[arg-type]  # nothing is asked
    deadline = asyncio.get_running_loop().time() + 60
    return TranslatedAnswer(response, call(to, stream=True), dialect, Outgoing("/", (), b""), residence, dropped_params=(), deadline=deadline)


def readers(of: Source) -> Iterator[Callable[[], Reader]]:
    """Yield, for each chunk of a stream, what makes a reader that has read all chunks before it."""
    lane = TranslateLane(FakeWire())  # type: ignore[arg-type]  # nothing is sent
    reader = lane._dialect(of.to).reader()

    def copied(known: Reader) -> Reader:
        return copy.deepcopy(known, {id(of.to): of.to})

    for chunk in of.chunks:
        yield partial(copied, copied(reader))
        deque(reader.feed(chunk), maxlen=0)
