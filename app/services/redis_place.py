"""Where a Redis is, what may go there, and connections that go nowhere else: the name is resolved, each address is checked, and a literal is connected to."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection

from app.config.addresses import METADATA, confidential_fault, is_within, parse_literal
from app.domain import Address, Label
from app.utils.logging import get_logger
from app.utils.monitoring import EGRESS_REFUSED
from app.utils.net import reaching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

_log = get_logger("redis")


class RefusedPeerError(OSError):
    """The name led to no address that is cleared; nothing was sent."""


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """An address and its clearance: confidential on this machine, in the local networks, and for trusted hosts; internal anywhere else.

    `address` is None for a Unix socket. Its scheme is https where TLS is verified: what trusts a host by TLS asks for that.
    """

    clearance: Label
    address: Address | None = None
    local_networks: Sequence[IPv4Network | IPv6Network] = ()
    trusted_hosts: Mapping[str, IPv4Network | IPv6Network | None] = field(default_factory=dict)

    def admits(self, peer: str) -> bool:
        """Say whether an IP literal that the name led to may be connected to."""
        literal = parse_literal(peer)
        if literal is None or literal in METADATA or self.address is None:
            return False
        if self.clearance < Label.CONFIDENTIAL or is_within(literal, self.local_networks):
            return True
        if self.address.host not in self.trusted_hosts:
            return False
        network = self.trusted_hosts[self.address.host]
        return self.address.scheme == "https" if network is None else literal in network


def place_of(
    url: str,
    local_networks: Sequence[IPv4Network | IPv6Network],
    trusted_hosts: Mapping[str, IPv4Network | IPv6Network | None],
) -> RedisPlace:
    """Return where `url` leads, as redis-py reads it. Raises ValueError for a URL that is not Redis's."""
    pool = BlockingConnectionPool.from_url(url)
    if "path" in pool.connection_kwargs:
        return RedisPlace(Label.CONFIDENTIAL)
    given = pool.connection_kwargs
    verified = issubclass(pool.connection_class, SSLConnection) and not {"ssl_cert_reqs", "ssl_check_hostname"} & given.keys()
    host = str(given.get("host", "localhost")).lower().removesuffix(".")
    address = Address("https" if verified else "http", host, int(given.get("port", 6379)))
    clearance = Label.INTERNAL if confidential_fault(address, local_networks, trusted_hosts) else Label.CONFIDENTIAL
    return RedisPlace(clearance, address, tuple(local_networks), trusted_hosts)


class _Checked(Connection):
    def __init__(self, *, place: RedisPlace, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._place = place

    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):
            options = dict(self._connection_arguments())
            host, port = options.pop("host"), options.pop("port")
            sock = await _connected(self._place, host, int(port))
            try:
                if "ssl" in options:
                    options["server_hostname"] = host
                self._reader, self._writer = await asyncio.open_connection(sock=sock, **options)
            except BaseException:
                sock.close()
                raise


class _CheckedTLS(_Checked, SSLConnection):
    """The same over TLS, verified for the name."""


def hold_to(pool: BlockingConnectionPool, place: RedisPlace) -> None:
    """Let every connection of `pool` be checked against `place`. A Unix socket leads nowhere else."""
    if place.address is not None:
        pool.connection_class = _CheckedTLS if issubclass(pool.connection_class, SSLConnection) else _Checked
        pool.connection_kwargs["place"] = place


async def _connected(place: RedisPlace, host: str, port: int) -> socket.socket:
    """Return a socket connected to the first address of `host` that is admitted and answers."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    admitted = [(family, address) for family, _, _, _, address in found if place.admits(str(address[0]))]
    if not admitted:
        EGRESS_REFUSED.labels(str(place.clearance)).inc()
        _log.warning("redis_peer_refused", address=str(place.address), clearance=str(place.clearance))
        raise RefusedPeerError("REDIS_URL leads to an address that is not cleared")
    failure: OSError = OSError("no address")
    for family, address in admitted:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with reaching(address):
                await loop.sock_connect(sock, address)
        except OSError as exc:
            sock.close()
            failure = exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure
