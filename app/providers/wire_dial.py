"""Makes connections: egress is asked about every address before and after it is connected to, and before a byte (TLS hello included) leaves."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.egress import EgressRefusedError
from app.providers.wire_connection import Connection
from app.utils.net import reaching

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domain import Address, Label
    from app.providers.egress import Egress
    from app.providers.wire_names import Names, Peer
    from app.providers.wire_pool import Pool


def verified_tls(ca_file: str | None = None) -> ssl.SSLContext:
    """Return the context of every TLS connection: certificate and name verified, TLS 1.2 at least, no key log whatever SSLKEYLOGFILE says.

    `ca_file` (PEM) holds all authorities that are believed, in place of the system's. Raises OSError, of which ssl.SSLError is one.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.keylog_filename = None  # type: ignore[assignment] # typeshed leaves out what turns it off
    return context


class Dialer:
    """Opens connections for one egress."""

    def __init__(self, egress: Egress, tls: Callable[[], ssl.SSLContext], names: Names) -> None:
        self._egress = egress
        self._tls = tls
        self._names = names

    async def dial(self, label: Label, target: Address, pool: Pool, limit_s: float) -> Connection:
        """Return a connection to `target` (in its canonical spelling), made within `limit_s`: name, TCP and TLS together.

        Raises UpstreamError with `sent` False: NOT_CLEARED where egress admits none of the addresses, TIMEOUT, UNREACHABLE.
        """
        try:
            async with asyncio.timeout(limit_s):
                peers = self._admitted(label, target, await self._names.peers(target))
                return await self._first_open(label, target, peers, pool, asyncio.get_running_loop().time() + limit_s)
        except TimeoutError:
            raise UpstreamError(Failure.TIMEOUT, sent=False) from None
        except ssl.SSLError as exc:
            remedy = f"TLS with {target} failed: look at its certificate (authority, name, dates), and whether it speaks TLS 1.2."
            raise UpstreamError(Failure.UNREACHABLE, sent=False, remedy=remedy) from exc
        except (OSError, ValueError) as exc:  # ValueError: a host that cannot be a name
            raise UpstreamError(Failure.UNREACHABLE, sent=False) from exc

    def _admitted(self, label: Label, target: Address, peers: list[Peer]) -> list[Peer]:
        admitted = []
        refused: EgressRefusedError | None = None
        for peer in peers:
            try:
                self._egress.admit_peer(label, target, peer[1])
            except EgressRefusedError as exc:
                refused = exc
            else:
                admitted.append(peer)
        if refused is not None and not admitted:
            try:
                raise refused
            finally:
                del refused  # as below
        return admitted

    async def _first_open(self, label: Label, target: Address, peers: list[Peer], pool: Pool, deadline: float) -> Connection:
        """Try the addresses in order; each gets its share of what time is left, so that one that swallows packets does not use it up."""
        failure: Exception = OSError("the name has no address")
        for index, peer in enumerate(peers):
            now = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout_at(now + (deadline - now) / (len(peers) - index)):
                    return await self._open(label, target, peer, pool)
            except (OSError, ValueError) as exc:
                failure = exc
        try:
            raise failure
        finally:
            del failure  # whose frames this one is among: the garbage collector would have to find both

    async def _open(self, label: Label, target: Address, peer: Peer, pool: Pool) -> Connection:
        loop = asyncio.get_running_loop()
        family, _, address = peer
        with ExitStack() as on_error:
            sock = socket.socket(family, socket.SOCK_STREAM)
            on_error.callback(sock.close)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with reaching(address):
                await loop.sock_connect(sock, address)
            self._egress.admit_peer(label, target, sock.getpeername()[0])
            on_error.pop_all()  # from here on the transport owns the socket
        if target.scheme != "https":
            return (await loop.create_connection(lambda: Connection(sock, pool), sock=sock))[1]
        name = target.host.partition("%")[0]
        try:
            return (await loop.create_connection(lambda: Connection(sock, pool), sock=sock, ssl=self._tls(), server_hostname=name))[1]
        except ConnectionError as exc:  # many servers end a handshake that they do not like with a reset
            raise ssl.SSLError("the handshake was cut") from exc
