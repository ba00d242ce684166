"""Deployments, calls and readers of streams for the translate lane's tests."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from app.domain import Address, Call, Deployment, EgressPolicy, Label, LaneName
from app.providers.egress import Egress
from app.providers.translate import TranslateLane
from app.providers.wire import Wire

MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere_chat": "command-a-03-2025",
    "gemini": "gemini-2.5-flash",
    "ollama_chat": "llama3.1",
}
AWS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "wJalrXUtnFEMI", "aws_region_name": "us-east-1"}
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


def call(to: Deployment, *, stream: bool = False, messages: list[dict[str, Any]] | None = None, timeout_s: float = 5.0, idle_s: float = 5.0, **body: Any) -> Call:
    said = messages if messages is not None else [{"role": "user", "content": "hello"}]
    return Call(to, Label.CONFIDENTIAL, {"model": "auto", "messages": said, "stream": stream, **body}, stream, timeout_s=timeout_s, idle_s=idle_s, connect_s=2.0)


def lane_to(*deployments: Deployment) -> tuple[TranslateLane, Wire]:
    clearances = {to.address: Label.CONFIDENTIAL for to in deployments if to.address is not None}
    wire = Wire(Egress(EgressPolicy(clearances, (ip_network("127.0.0.0/8"),))))  # type: ignore[arg-type]  # one network of the two families
    return TranslateLane(wire), wire


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """Read a whole stream of ours; the last event must be `[DONE]`."""
    events = stream.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""], stream[-300:]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


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
