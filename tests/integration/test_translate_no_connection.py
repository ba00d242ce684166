"""LiteLLM opens no connection: while every provider is driven, any socket, name or client that is not the wire's own fails the test."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.translate import load
from tests.simulators import DIALECTS
from tests.unit.providers.translate.support import MODELS, PNG, SCHEMA, TOOL, call, deployment, lane_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from app.domain import Deployment

DIALECT = {"anthropic": "anthropic", "bedrock": "bedrock", "cohere_chat": "cohere", "gemini": "gemini", "ollama_chat": "ollama"}
PDF = "data:application/pdf;base64,JVBERi0xLjQK"
ANSWERED = [
    {"role": "user", "content": "call the tool"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "x"}'}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
]
REQUESTS: dict[str, dict[str, Any]] = {
    "text": {},
    "tools": {"tools": [TOOL], "tool_choice": "auto", "messages": [{"role": "user", "content": "call the tool"}]},
    "tool result": {"tools": [TOOL], "messages": ANSWERED},
    "schema": {"response_format": SCHEMA},
    "image": {"messages": [{"role": "user", "content": [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PNG}}]}]},
    "image by address": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/a.png"}}]}]},
    "image by https": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://127.0.0.1:9/a.png"}}]}]},
    "image in a bucket": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "gs://bucket/a"}}]}]},
    "file": {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}]}]},
    "file by address": {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "http://127.0.0.1:9/a.pdf"}}]}]},
    "tool by address": {"tools": [{"type": "mcp", "server_url": "http://127.0.0.1:9", "server_label": "x"}]},
    "effort": {"reasoning_effort": "low", "max_tokens": 8000},
    "steering": {"api_base": "http://127.0.0.1:9", "extra_headers": {"x": "y"}, "custom_llm_provider": "openai", "web_search_options": {}},
}


@pytest.fixture(autouse=True)
def only_the_wire(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse, and remember, what does not come out of `wire_dial` or `wire_names`."""
    load()
    strangers: list[str] = []

    def guard(owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if not _called_by_the_wire():
                strangers.append(f"{name}{args[1:]}")
                raise AssertionError(strangers[-1])
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, guarded)

    loop = asyncio.SelectorEventLoop
    for owner, name in (
        (socket.socket, "connect"),
        (socket.socket, "connect_ex"),
        (socket, "getaddrinfo"),
        (socket, "create_connection"),
        (loop, "create_connection"),
        (loop, "sock_connect"),
        (loop, "getaddrinfo"),
        (loop, "create_datagram_endpoint"),
        (urllib.request, "urlopen"),
    ):
        guard(owner, name)
    return strangers


def _called_by_the_wire() -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.endswith(("app/providers/wire_dial.py", "app/providers/wire_names.py")):
        frame = frame.f_back
    return frame is not None


async def drive(to: Deployment, *, stream: bool, body: dict[str, Any]) -> Failure | None:
    """Return how the request failed; None where it was answered."""
    lane, wire = lane_to(to)
    try:
        answer = await lane.open(call(to, stream=stream, **body))
        if stream:
            assert b"".join([part async for part in answer.events()]).endswith(b"data: [DONE]\n\n")
        else:
            assert json.loads(await answer.body())["choices"]
    except UpstreamError as error:
        return error.failure
    finally:
        await wire.aclose()
    return None


def refusal_of(provider: str, request_of: str) -> Failure | None:
    by_address = request_of in ("image by address", "image in a bucket", "file by address", "tool by address")
    fetched_here = request_of == "image by https" and provider != "anthropic"
    without_files = request_of == "file" and provider in ("ollama_chat", "cohere_chat")
    return Failure.REJECTED if by_address or fetched_here or without_files else None


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("request_of", REQUESTS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("provider", sorted(MODELS))
async def test_no_provider_makes_litellm_open_a_connection(provider: str, request_of: str, stream: bool, only_the_wire: list[str]) -> None:
    with DIALECTS[DIALECT[provider]]() as simulator:
        failure = await drive(deployment(provider, simulator.base_url, max_output_tokens=8192), stream=stream, body=REQUESTS[request_of])

    assert only_the_wire == []
    assert failure is refusal_of(provider, request_of)


async def test_the_guard_refuses_what_is_not_the_wires(only_the_wire: list[str]) -> None:
    with pytest.raises(AssertionError):
        await asyncio.open_connection("127.0.0.1", 9)

    assert only_the_wire
