"""A server on loopback whose every byte a test decides, and the wire that talks to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from app.config.sections import LOCAL_NETWORKS
from app.domain import Address, EgressPolicy, Label
from app.providers.egress import Egress
from app.providers.wire import Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

    from app.providers.wire import WireResponse

DEADLINE_S = 10.0


class Session:
    """One connection that a peer accepted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = bytearray()
        self.closed = asyncio.Event()  # set when the client's end or reset was seen

    async def request(self) -> bytes:
        """Return the next request, head and body; empty when the client closed instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
            request = head + await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            self.received += getattr(exc, "partial", b"")
            self.closed.set()
            return b""
        self.received += request
        return request

    async def send(self, *pieces: bytes) -> None:
        """Send each piece as a segment of its own: the loop turns between two, so that the client reads the first before the second is written."""
        for index, piece in enumerate(pieces):
            if index:
                for _ in range(4):
                    await asyncio.sleep(0)
            self.writer.write(piece)
            await self.writer.drain()

    async def until_closed(self) -> None:
        """Return when the client closed; what it sends until then is kept."""
        with suppress(ConnectionError):
            while data := await self.reader.read(65_536):
                self.received += data
        self.closed.set()

    def reset(self) -> None:
        """Close with a reset."""
        self.writer.transport.abort()


Script = Callable[[Session], Awaitable[None]]


class Peer:
    """The server: where it is, and the connections that it accepted."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.sessions: list[Session] = []

    @property
    def received(self) -> bytes:
        return b"".join(bytes(session.received) for session in self.sessions)


@asynccontextmanager
async def serving(script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Serve `script` to every connection; it is closed when the script returns."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(session: Session) -> None:
        try:
            await script(session)
        except ConnectionError:
            session.closed.set()
        finally:
            session.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.sessions.append(Session(reader, writer))
        tasks.add(asyncio.get_running_loop().create_task(serve(peer.sessions[-1])))

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    peer = Peer(Address("http" if tls is None else "https", host, port))
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for session in peer.sessions:
            session.writer.transport.abort()
        await asyncio.sleep(0)
    faults = [result for result in results if isinstance(result, Exception)]
    assert faults == []


def answering(*raw: bytes) -> Script:
    """Answer every request of a connection in turn, the last answer again and again."""

    async def script(session: Session) -> None:
        answers = list(raw)
        while await session.request():
            await session.send(answers.pop(0) if len(answers) > 1 else answers[0])

    return script


def make_egress(*targets: Address, clearance: Label = Label.CONFIDENTIAL) -> Egress:
    return Egress(EgressPolicy(dict.fromkeys(targets, clearance), LOCAL_NETWORKS))


@asynccontextmanager
async def wire_to(*targets: Address, egress: Egress | None = None, **options: object) -> AsyncIterator[Wire]:
    """Make a wire that admits `targets` for every label, and close it at the end."""
    wire = Wire(egress or make_egress(*targets), **options)  # type: ignore[arg-type] # the options are Wire's own
    try:
        yield wire
    finally:
        await wire.aclose()


async def ask(
    wire: Wire,
    target: Address,
    label: Label = Label.CONFIDENTIAL,
    *,
    method: str = "POST",
    path: str = "/v1",
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"{}",
    connect_s: float = DEADLINE_S,
    timeout_s: float = DEADLINE_S,
    idle_s: float = DEADLINE_S,
) -> WireResponse:
    return await wire.request(label, target, method=method, path=path, headers=headers, body=body, connect_s=connect_s, timeout_s=timeout_s, idle_s=idle_s)


async def fetch(wire: Wire, target: Address, label: Label = Label.CONFIDENTIAL, *, method: str = "POST", streamed: bool = False) -> tuple[int, bytes]:
    """Return status and body."""
    response = await ask(wire, target, label, method=method)
    try:
        body = b"".join([chunk async for chunk in response.chunks()]) if streamed else await response.read(DEADLINE_S)
    finally:
        response.close()
    return response.status, body


def unused_port(host: str = "127.0.0.1") -> int:
    """Return a port where nothing listens."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port
