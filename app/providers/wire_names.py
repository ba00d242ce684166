"""Names become addresses: each look-up in a thread of its own, for the system's resolver cannot be cancelled and may hang for as long as it likes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from app.domain import Address

MAX_LOOKUPS = 32  # threads that hang at worst; names come from the configuration, so there are few

Peer: TypeAlias = "tuple[int, str, tuple[Any, ...]]"  # the address family, the IP literal, and the socket address of that family
_Found: TypeAlias = "list[Peer] | Exception"


class Names:
    """The look-ups under way of one event loop: at most one for each host and port, shared by all who wait for it, kept no longer than it takes.

    A name that hangs keeps its own waiters and no others. The loop's own executor is left alone: a handful of hung look-ups would fill it.
    """

    def __init__(self) -> None:
        self._flights: dict[tuple[str, int], asyncio.Future[_Found]] = {}

    async def peers(self, target: Address) -> list[Peer]:
        """Return the addresses of `target`; a literal is its own, `localhost` is ::1 and then 127.0.0.1 (RFC 6761, 6.3), and nobody is asked.

        Raises OSError, also when too many look-ups hang.
        """
        if target.host == "localhost":
            return [(socket.AF_INET6, "::1", ("::1", target.port, 0, 0)), (socket.AF_INET, "127.0.0.1", ("127.0.0.1", target.port))]
        try:
            literal = ip_address(target.host)
        except ValueError:
            key = (target.host, target.port)
            found = await asyncio.shield(self._flights.get(key) or self._start(key))
            if isinstance(found, Exception):
                raise OSError("the name was not found") from found
            return found
        if isinstance(literal, IPv4Address):
            return [(socket.AF_INET, str(literal), (str(literal), target.port))]
        host, _, scope = str(literal).partition("%")
        scope_id = 0 if not scope else int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
        return [(socket.AF_INET6, host, (host, target.port, 0, scope_id))]

    def _start(self, key: tuple[str, int]) -> asyncio.Future[_Found]:
        if len(self._flights) >= MAX_LOOKUPS:
            raise OSError("too many names are being looked up")
        loop = asyncio.get_running_loop()
        flight: asyncio.Future[_Found] = loop.create_future()
        thread = threading.Thread(target=self._look_up, args=(key, loop), name="name", daemon=True)  # an exit waits for no resolver
        try:
            thread.start()
        except RuntimeError as exc:
            raise OSError("no thread to look a name up") from exc
        self._flights[key] = flight
        return flight

    def _look_up(self, key: tuple[str, int], loop: asyncio.AbstractEventLoop) -> None:
        found: _Found = OSError("the look-up failed")
        try:
            found = _peers_of(*key)
        except (OSError, ValueError) as exc:  # ValueError: what cannot be a name
            found = exc
        finally:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                loop.call_soon_threadsafe(self._land, key, found)

    def _land(self, key: tuple[str, int], found: _Found) -> None:
        flight = self._flights.pop(key)
        if not flight.done():
            flight.set_result(found)


def _peers_of(host: str, port: int) -> list[Peer]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, str(address[0]), address) for family, _, _, _, address in found if family in (socket.AF_INET, socket.AF_INET6)]
