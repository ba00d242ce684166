"""The whole gateway on a real socket, served by uvicorn in a thread, for tests that speak HTTP to it."""

from __future__ import annotations

import contextlib
import socket
import textwrap
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from app.config.settings import load_settings
from app.http_protocol import HeldHttpProtocol
from app.main import build_app
from app.parts import compose

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from pathlib import Path

    from uvicorn.server import ServerState

    from app.parts import Parts


class GatewayServer:
    """A running gateway: `url` has no trailing slash, `parts` are its insides, `state` is uvicorn's."""

    def __init__(self, parts: Parts, port: int, state: ServerState) -> None:
        self.parts = parts
        self.state = state
        self.port = port
        self.url = f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def serve(folder: Path, config: str, **settings: Any) -> Iterator[GatewayServer]:
    """Serve `config` (the text of a gateway.yaml) until the block ends. `settings` are fields of Settings."""
    path = folder / "gateway.yaml"
    path.write_text(textwrap.dedent(config))
    given = {"gateway_config": path, "chroma_path": folder / "chroma", "rate_limit_per_minute": 0} | settings
    parts = compose(load_settings(dotenv=folder / "none.env", **given), {})
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(parts),
            http=cast("type[asyncio.Protocol]", partial(HeldHttpProtocol, write_idle_s=parts.settings.stream_idle_s)),
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        ),
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the gateway did not start")
        time.sleep(0.005)
    try:
        yield GatewayServer(parts, listener.getsockname()[1], server.server_state)
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
