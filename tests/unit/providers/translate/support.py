"""Deployments, calls and readers of streams for the translate lane's tests."""

from __future__ import annotations

import json
import struct
import zlib
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.domain import Address, Call, Deployment, EgressPolicy, Label, LaneName
from app.providers.egress import Egress
from app.providers.translate import TranslateLane
from app.providers.wire import Wire
from tests.simulators import BEDROCK_CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere_chat": "command-a-03-2025",
    "gemini": "gemini-2.5-flash",
    "ollama_chat": "llama3.1",
}
AWS = {"aws_access_key_id": BEDROCK_CREDENTIALS.access_key_id, "aws_secret_access_key": BEDROCK_CREDENTIALS.secret_access_key, "aws_region_name": "us-east-1"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "values": {"type": "array", "items": {"type": "integer"}}},
            "required": ["name", "values"],
            "additionalProperties": False,
        },
    },
}
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def address_of(url: str) -> Address:
    parts = urlsplit(url)
    return Address(parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme])


def deployment(provider: str, base_url: str = "http://127.0.0.1:1", model: str | None = None, **more: Any) -> Deployment:
    if provider == "bedrock":
        more.setdefault("params", AWS)
    elif provider != "ollama_chat":
        more.setdefault("api_key", "test-key")
    return Deployment(
        name=f"{provider}-test",
        provider=provider,
        model=model or MODELS[provider],
        lane=LaneName.TRANSLATE,
        clearance=Label.CONFIDENTIAL,
        base_url=base_url,
        address=address_of(base_url),
        **more,
    )


def call(
    to: Deployment, *, stream: bool = False, messages: list[dict[str, Any]] | None = None, timeout_s: float = 5.0, idle_s: float = 5.0, **body: Any
) -> Call:
    said = messages if messages is not None else [{"role": "user", "content": "hello"}]
    return Call(
        to, Label.CONFIDENTIAL, {"model": "auto", "messages": said, "stream": stream, **body}, stream, timeout_s=timeout_s, idle_s=idle_s, connect_s=2.0
    )


def lane_to(*deployments: Deployment) -> tuple[TranslateLane, Wire]:
    clearances = {to.address: Label.CONFIDENTIAL for to in deployments if to.address is not None}
    wire = Wire(Egress(EgressPolicy(clearances, (ip_network("127.0.0.0/8"),))))
    return TranslateLane(wire), wire


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """Read a whole stream of ours; the last event must be `[DONE]`."""
    events = stream.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""], stream[-300:]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2] if not event.startswith(":")]


def text_of(chunks: list[dict[str, Any]], choice: int = 0) -> str:
    return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"] if c["index"] == choice)


def calls_of(chunks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Put the tool calls of a stream together, as an SDK does: by their index."""
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            for delta in choice["delta"].get("tool_calls") or ():
                known = calls.setdefault(delta["index"], ["", ""])
                known[0] += delta["function"].get("name") or ""
                known[1] += delta["function"].get("arguments") or ""
    return [(name, arguments) for _, (name, arguments) in sorted(calls.items())]


class FakeResponse:
    """An answer of the wire's, cut as it is given."""

    head_by = 0.0

    def __init__(self, parts: list[bytes], status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.closed = False
        self._parts = parts

    async def read_start(self, timeout_s: float, limit_bytes: int) -> bytes:
        self.close()
        return (await self.read(timeout_s))[:limit_bytes]

    async def read(self, timeout_s: float) -> bytes:
        assert timeout_s > 0
        return b"".join(self._parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part

    def close(self) -> None:
        self.closed = True


_DESCRIBES = {"/api/tags": b'{"models": []}', "/api/show": b'{"details": {}}'}


class FakeWire:
    """Answers every request alike and keeps what was asked; of an Ollama's model it says that it runs there, and keeps nothing of that question."""

    def __init__(self, answer: bytes = b"", *, size: int | None = None, status: int = 200, headers: dict[str, str] | None = None) -> None:
        size = size or max(1, len(answer))
        self.parts = [answer[at : at + size] for at in range(0, len(answer), size)]
        self.status = status
        self.headers = headers or {}
        self.sent: list[dict[str, Any]] = []
        self.responses: list[FakeResponse] = []
        self.make: type[FakeResponse] = FakeResponse

    async def request(self, label: Label, target: Address, **given: Any) -> FakeResponse:
        if given["path"].endswith(tuple(_DESCRIBES)):
            return FakeResponse([_DESCRIBES["/api/" + given["path"].rpartition("/")[2]]], 200, {})
        self.sent.append({"label": label, "target": target, **given})
        self.responses.append(self.make(self.parts, self.status, self.headers))
        return self.responses[-1]

    @property
    def body(self) -> Any:
        return json.loads(self.sent[-1]["body"])

    @property
    def header(self) -> dict[str, str]:
        return dict(self.sent[-1]["headers"])


async def asked(to: Deployment, **body: Any) -> tuple[FakeWire, tuple[str, ...]]:
    """Return what a request becomes on the wire, and what was left out of it."""
    wire = FakeWire(b"{}")
    answer = await TranslateLane(wire).open(call(to, **body))  # type: ignore[arg-type]  # stands for the wire
    return wire, answer.dropped_params


async def answered(to: Deployment, raw: bytes, **body: Any) -> dict[str, Any]:
    answer = await TranslateLane(FakeWire(raw)).open(call(to, **body))  # type: ignore[arg-type]  # stands for the wire
    whole: dict[str, Any] = json.loads(await answer.body())
    return whole


async def streamed(to: Deployment, raw: bytes, *, size: int | None = None, **body: Any) -> list[dict[str, Any]]:
    answer = await TranslateLane(FakeWire(raw, size=size)).open(call(to, stream=True, **body))  # type: ignore[arg-type]  # stands for the wire
    return chunks_of(b"".join([part async for part in answer.events()]))


def sse(*events: dict[str, Any]) -> bytes:
    """Write events as Anthropic and Cohere do: named by their type, where they have one."""
    return b"".join(_named(event) + b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in events)


def _named(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\n".encode() if "type" in event else b""


def amazon(kind: str, payload: dict[str, Any], *, exception: bool = False) -> bytes:
    """Write a message of Amazon's event stream: prelude, headers of type 7 (string), payload, each part checksummed."""
    pairs = {
        ":exception-type" if exception else ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception" if exception else "event",
    }
    headers = b"".join(bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode() for name, value in pairs.items())
    data = json.dumps(payload, ensure_ascii=False).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(data), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + data
    return message + struct.pack(">I", zlib.crc32(message))
