"""A deployment's own certificate authorities, from gateway.yaml to the handshake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.integration.gateway_server import serve
from tests.integration.test_chat_relay import ask, chat
from tests.integration.wire.certificates import Authority
from tests.unit.gateway.test_attempts import ANSWER

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    import aiohttp

HOST = "127.0.0.1"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))
    writer.close()


async def _listen(context: ssl.SSLContext) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(_answer, HOST, 0, ssl=context)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("trusted", "status"), [("own", 200), ("other", 503), (None, 503)])
async def test_a_server_is_spoken_to_where_its_deployment_names_who_signed_it(
    http: aiohttp.ClientSession, tmp_path: Path, trusted: str | None, status: int
) -> None:
    authorities = {}
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        authorities[name] = Authority(tmp_path / name, name)
    server, port = await _listen(authorities["own"].server_context(HOST))
    named = "" if trusted is None else f', ca_file: "{trusted}/ca.pem"'  # a path from the file's folder
    config = f'deployments:\n  home: {{model: openai/llama, api_base: "https://{HOST}:{port}/v1", clearance: confidential{named}}}\nrules: [{{use: home}}]\n'

    async with server:
        with serve(tmp_path, config) as gateway:
            response, _ = await ask(http, gateway, chat())

    assert response.status == status
