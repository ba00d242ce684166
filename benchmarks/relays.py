"""What the gateway is compared with: an echo, the barest relay that ASGI allows, and the same relay as one would write it with FastAPI.

`UPSTREAM` is the provider's base URL. uvicorn serves them: `uvicorn benchmarks.relays:bare`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import aiohttp
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse

from benchmarks.payloads import ANSWER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

URL = os.environ.get("UPSTREAM", "http://127.0.0.1:9001") + "/v1/chat/completions"
_HEADERS = {"content-type": "application/json", "authorization": "Bearer any"}
_sessions: list[aiohttp.ClientSession] = []


def _session() -> aiohttp.ClientSession:
    if not _sessions:  # inside the running loop
        _sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()))
    return _sessions[0]


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _send(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request and answer without a provider."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    await _read(receive)
    await _send(send, ANSWER)


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Pass the request on and the answer back, and nothing else."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = await _read(receive)
    async with _session().post(URL, data=body, headers=_HEADERS) as answer:
        if answer.content_type != "text/event-stream":
            await _send(send, await answer.read())
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", b"text/event-stream")]})
        async for part in answer.content.iter_any():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


fastapi_relay = FastAPI(openapi_url=None)


@fastapi_relay.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    """Pass the request on as a path operation."""
    answer = await _session().post(URL, data=await request.body(), headers=_HEADERS)
    if answer.content_type == "text/event-stream":
        return StreamingResponse(_parts(answer), media_type="text/event-stream")
    async with answer:
        return Response(await answer.read(), media_type="application/json")


async def _parts(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with answer:
        async for part in answer.content.iter_any():
            yield part
